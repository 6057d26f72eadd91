"""Whole files that were published, against the sizes that the product predicts for them."""

import pytest

import published_sizes as published
from published_sizes import Published

FILES = published.files()
STANDARD = [file for file in FILES if file.standard and file.bytes is not None]
MIXES = [file for file in FILES if published.status(file) in ("exact", "inferred")]
UNKNOWN = [file for file in FILES if published.status(file) == "unknown"]
EXCEPTIONS = published.exceptions()


def larger_by(file: Published) -> int:
    """Bytes that the file has beyond the prediction."""
    ours = published.plain(file) if file.standard else published.mixed(file)

    return file.bytes - ours.file_bytes


def test_the_list_is_whole() -> None:
    """70 plain files to the byte, 13 mixes to the byte, 126 rounded."""
    found = (len(STANDARD), len([f for f in FILES if f.bytes and not f.standard]), len([f for f in FILES if f.gib]))

    assert (70, 13, 126) == found
    assert len(FILES) == len({str(file) for file in FILES})


@pytest.mark.parametrize("file", [file for file in STANDARD if str(file) not in EXCEPTIONS], ids=str)
def test_plain_files_have_the_predicted_size(file: Published) -> None:
    """Tensor data and table to the byte; the metadata, known by tokenizer, to 16,000 bytes."""
    assert published.agrees(file, published.plain(file)), larger_by(file)


@pytest.mark.parametrize("file", [file for file in MIXES if str(file) not in EXCEPTIONS], ids=str)
def test_known_mixes_have_the_predicted_size(file: Published) -> None:
    """A mix that the table calls exact or inferred is as large as its file, or rounds to the same."""
    ours = published.mixed(file)

    assert ours is not None
    assert published.agrees(file, ours)


@pytest.mark.parametrize("file", UNKNOWN, ids=str)
def test_unknown_mixes_are_not_answered(file: Published) -> None:
    """Where the table says that a content is not known, no size is predicted."""
    assert published.mixed(file) is None


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_what_they_are(name: str) -> None:
    """A file that is named as an exception is one, by the very bytes that are written down, and has a reason."""
    file = next(file for file in FILES if str(file) == name)

    assert EXCEPTIONS[name]["larger_by"] == larger_by(file)
    assert not published.agrees(file, published.plain(file) if file.standard else published.mixed(file))
    assert EXCEPTIONS[name]["reason"]
