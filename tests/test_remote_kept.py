"""Headers kept on disk: found by version, dropped when damaged, safe among several writers, bounded."""

import os
import threading
from pathlib import Path

import pytest

from remote import PATIENT, forget_models, gguf_file
from tonnage.remote.access import environment
from tonnage.remote.kept import Key, Store
from tonnage.source import load

KEY = Key("https://a.test/x.gguf", '"v1"', 1000)
SPANS = [(0, b"head"), (500, b"table")]


def test_what_is_kept_is_found(tmp_path):
    """The pieces come back as they were."""
    Store(str(tmp_path)).put(KEY, SPANS)
    assert SPANS == Store(str(tmp_path)).get(KEY)


@pytest.mark.parametrize("other", [KEY._replace(url="https://b.test/x.gguf"), KEY._replace(etag='"v2"'), KEY._replace(size=1001)])
def test_another_version_is_not_found(tmp_path, other):
    """Address, ETag and size must all be the same."""
    store = Store(str(tmp_path))
    store.put(KEY, SPANS)
    assert [] == store.get(other)


def _entry(folder: Path) -> Path:
    (path,) = (folder / "headers").glob("*.head")
    return path


@pytest.mark.parametrize("at", [0, 9, 41, 60, -1])
def test_a_damaged_entry_is_dropped(tmp_path, at):
    """One wrong byte anywhere, and the entry is removed and read again."""
    store = Store(str(tmp_path))
    store.put(KEY, SPANS)
    data = bytearray(_entry(tmp_path).read_bytes())
    data[at] ^= 1
    _entry(tmp_path).write_bytes(data)
    assert [] == store.get(KEY)
    assert [] == list((tmp_path / "headers").iterdir())


def test_a_cut_entry_is_dropped(tmp_path):
    """So is one that a full disk has cut."""
    store = Store(str(tmp_path))
    store.put(KEY, SPANS)
    os.truncate(_entry(tmp_path), 50)
    assert [] == store.get(KEY)


def test_an_entry_under_another_name_is_not_taken(tmp_path):
    """The entry itself says what it is of."""
    store = Store(str(tmp_path))
    store.put(KEY, SPANS)
    other = KEY._replace(etag='"v2"')
    os.rename(_entry(tmp_path), tmp_path / "headers" / other.name)
    assert [] == store.get(other)


def test_several_writers(tmp_path):
    """Whoever reads while others write sees an entry that is whole."""
    store = Store(str(tmp_path))
    wrong: list[object] = []

    def work() -> None:
        for _ in range(60):
            store.put(KEY, SPANS)
            found = store.get(KEY)
            if found != SPANS:
                wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == wrong
    assert [KEY.name] == os.listdir(tmp_path / "headers")


def test_the_store_is_bounded(tmp_path):
    """The entries that were not used for longest make room."""
    store = Store(str(tmp_path), max_bytes=5000)
    for n in range(10):
        store.put(KEY._replace(size=n), [(0, bytes(1000))])
        os.utime(tmp_path / "headers" / KEY._replace(size=n).name, (n, n))
    assert [] == store.get(KEY._replace(size=0))
    assert [(0, bytes(1000))] == store.get(KEY._replace(size=9))
    assert sum(path.stat().st_size for path in (tmp_path / "headers").iterdir()) <= 5000


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everyone may write here")
def test_a_folder_that_cannot_be_written(tmp_path):
    """Reading goes on without the store."""
    os.chmod(tmp_path, 0o500)
    store = Store(str(tmp_path / "no"))
    store.put(KEY, SPANS)
    assert [] == store.get(KEY)


def test_no_folder():
    """An empty TONNAGE_CACHE keeps nothing."""
    assert "" == environment({"TONNAGE_CACHE": ""}).cache
    store = Store("")
    store.put(KEY, SPANS)
    assert ([], []) == (store.get(KEY), list(store.entries()))


def test_entries_are_private(tmp_path):
    """Headers of private repos are for their user alone."""
    Store(str(tmp_path)).put(KEY, SPANS)
    assert (0o600, 0o700) == (_entry(tmp_path).stat().st_mode & 0o777, (tmp_path / "headers").stat().st_mode & 0o777)


def test_a_second_run_asks_for_the_version_alone(served):
    """A plain file: one small request tells that nothing has changed; a changed one is read anew."""
    served.plain["x.gguf"] = gguf_file()
    first = load(f"{served.web}/plain/x.gguf", PATIENT)
    forget_models(served)
    assert first.tensors == load(f"{served.web}/plain/x.gguf", PATIENT).tensors
    assert 1 == len(served.seen)
    served.plain["x.gguf"] = gguf_file("lfm2-1.2b")
    forget_models(served)
    assert first.tensors != load(f"{served.web}/plain/x.gguf", PATIENT).tensors


def test_a_damaged_entry_does_not_harm_an_answer(served):
    """The header is read again."""
    served.plain["x.gguf"] = gguf_file()
    first = load(f"{served.web}/plain/x.gguf", PATIENT)
    entry = _entry(Path(environment().cache))
    entry.write_bytes(entry.read_bytes()[:-100] + bytes(100))
    forget_models(served)
    assert first.tensors == load(f"{served.web}/plain/x.gguf", PATIENT).tensors
