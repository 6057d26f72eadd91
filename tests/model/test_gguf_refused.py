"""GGUF files that are cut short, damaged or hostile: an error that says what is wrong, and nothing worse."""

import struct
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_writer import Typed, file_of, pair, preamble, real_header, row, text, write
from tonnage.errors import CorruptError
from tonnage.model.gguf import Skipped, TruncatedError, parse
from tonnage.model.types import Tensor

MODELS = ("llama3.1-8b", "qwen3.5-122b-a10b", "gemma3-27b", "gpt-oss-20b", "lfm2-1.2b")
A = Tensor("a.weight", (32, 3), "q8_0")  # 102 bytes, padded to 128
B = Tensor("b.weight", (5,), "f32")


def error(data: bytes, file_bytes: int | None = None) -> str:
    """Why the file is refused."""
    with pytest.raises(CorruptError) as caught:
        parse(data, file_bytes=file_bytes)
    return str(caught.value)


def peak_bytes(work: Callable[[], object]) -> int:
    """What `work` allocates at its peak."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# --- a prefix that is too short ---------------------------------------------------------------------


def cut_everywhere(data: bytes, step: int = 1) -> set[tuple[bool, bool]]:
    """Whether each cut's `need_bytes` is more than there was, and no more than the header has."""
    header_bytes, view, found = parse(data).header_bytes, memoryview(data), set()
    for cut in range(0, header_bytes, step):
        with pytest.raises(TruncatedError) as caught:
            parse(view[:cut])
        found.add((cut < caught.value.need_bytes, caught.value.need_bytes <= header_bytes))
    return found


def test_every_prefix_says_how_much_is_missing() -> None:
    """Cut at any byte, the reader asks for more than it had and never for more than there is."""
    data = write({"general.architecture": "x", "x.list": [1, 2, 3], "x.words": ["", "a", "bc" * 200], "x.text": "é" * 40}, [A, B])

    assert {(True, True)} == cut_everywhere(data)


@pytest.mark.slow
def test_every_prefix_of_a_real_header_says_how_much_is_missing() -> None:
    """All 9,716 cuts of a real header."""
    assert {(True, True)} == cut_everywhere(real_header("lfm2-1.2b"))


@pytest.mark.parametrize("name", MODELS)
def test_prefixes_of_real_headers_say_how_much_is_missing(name: str) -> None:
    """Some cuts of each real header."""
    assert {(True, True)} == cut_everywhere(real_header(name), 199)


def test_fetching_what_is_asked_for_ends() -> None:
    """A caller that fetches just the bytes asked for gets the header in the end."""
    data, have = write({"a": ["x" * 50] * 20, "b": 1}, [A, B]), 0
    while True:
        try:
            header = parse(data[:have])
            break
        except TruncatedError as short:
            have = short.need_bytes

    assert parse(data) == header


@pytest.mark.parametrize("cut", [0, 3, 24, 30, 100])
def test_a_file_that_ends_inside_its_header_is_corrupt(cut: int) -> None:
    """With the file's size known there is nothing more to fetch."""
    message = error(real_header("lfm2-1.2b")[:cut], file_bytes=cut)

    assert "header is not within the file bounds" in message


@pytest.mark.parametrize(("missing", "accepted"), [(0, True), (12, True), (13, False), (5000, False)])
def test_a_file_shorter_than_its_header_says_is_corrupt(missing: int, accepted: bool) -> None:
    """All data must be there; as in llama.cpp the 12 bytes of padding behind the last tensor need not."""
    data = write({}, [A, B], data=True)
    try:
        parse(data, file_bytes=len(data) - missing)
        message = ""
    except CorruptError as short:
        message = str(short)

    assert accepted == (message == "")
    assert accepted or "not within the file bounds" in message


# --- files that are refused -------------------------------------------------------------------------

HUGE = 2**60
REFUSED = (
    ("magic", b"PK\x03\x04" + bytes(60), "not a GGUF file: it begins with b'PK\\x03\\x04'"),
    ("magic of a stub", b"<", "not a GGUF file"),
    ("version 0", preamble(0, 0, 0), "GGUF version 0 is not supported"),
    ("version 1", preamble(0, 0, 1), "GGUF version 1 is not supported"),
    ("version 4", preamble(0, 0, 4), "GGUF version 4 is not supported"),
    ("big-endian", struct.pack(">4sIQQ", b"GGUF", 3, 0, 0), "big-endian GGUF"),
    ("tensors", preamble(HUGE, 0), "claims 1,152,921,504,606,846,976 tensors, over the limit of 1,048,576"),
    ("keys", preamble(0, HUGE), "metadata keys, over the limit of 65,536"),
    ("empty key", file_of(pair("", 1), bytes(9), keys=1), "metadata key 0 is empty"),
    ("long key", file_of(struct.pack("<Q", 65_536), bytes(20), keys=1), "metadata key at byte 24 is 65,536 bytes long"),
    ("key twice", file_of(pair("k", 1), pair("k", 2), keys=2), "key 'k' is there twice"),
    ("type 13", file_of(text("k"), struct.pack("<I", 13), bytes(20), keys=1), "key 'k' has invalid type 13"),
    ("array type 13", file_of(text("k"), struct.pack("<IIQ", 9, 13, 1), keys=1), "key 'k' has invalid type 13"),
    ("nested array", file_of(text("k"), struct.pack("<IIQ", 9, 9, 1), keys=1), "invalid type 9 (nested array)"),
    ("long text", file_of(text("k"), struct.pack("<IQ", 8, HUGE), keys=1), "over the limit of 268,435,456"),
    ("array of numbers", file_of(text("k"), struct.pack("<IIQ", 9, 4, HUGE), keys=1), "over the limit of 268,435,456"),
    ("array of texts", file_of(text("k"), struct.pack("<IIQ", 9, 8, HUGE), keys=1), "over the limit of 268,435,456"),
    ("text in array", file_of(text("k"), struct.pack("<IIQQ", 9, 8, 2, 2**64 - 1), bytes(8), keys=1), "over the limit of 268,435,456"),
    ("last text in array", file_of(text("k"), struct.pack("<IIQQ", 9, 8, 1, 2**63), keys=1), "over the limit of 268,435,456"),
    ("alignment's type", write({"general.alignment": Typed("u64", 32)}), "'general.alignment' must be of type u32 but is u64"),
    ("alignment 0", write({"general.alignment": 0}), "alignment 0 is not a power of 2"),
    ("alignment 24", write({"general.alignment": 24}), "alignment 24 is not a power of 2"),
    ("architecture's type", write({"general.architecture": 5}), "'general.architecture' must be a short text but is of type u32"),
    ("architecture's length", write({"general.architecture": "x" * 70_000}), "'general.architecture' must be a short text but is of type str"),
    ("long tensor name", file_of(row("n" * 64, (1,), 0, 0), tensors=1), "tensor name at byte 24 is 64 bytes long, over the limit of 63"),
    ("tensor twice", file_of(row("t", (8,), 0, 0), row("t", (8,), 0, 32), tensors=2), "tensor 't' is there twice"),
    ("five dimensions", file_of(row("t", (1,) * 5, 0, 0), tensors=1), "tensor 't' has 5 dimensions, over the limit of 4"),
    ("removed type", file_of(row("t", (256,), 4, 0), tensors=1), "tensor 't' has unknown type 4"),
    ("unknown type", file_of(row("t", (256,), 43, 0), tensors=1), "tensor 't' has unknown type 43"),
    ("half a block", file_of(row("t", (48,), 8, 0), tensors=1), "rows of 48 elements, no multiple of q8_0's 32"),
    ("dimension of 2^63", file_of(row("t", (2**63, 0), 24, 0), tensors=1), "has more than 2^63 elements"),
    ("shape of 2^64", file_of(row("t", (2**32, 2**32), 24, 0), tensors=1), "has more than 2^63 elements"),
    ("2^64 bytes", file_of(row("t", (2**62,), 28, 0), tensors=1), "ends beyond 2^64 bytes"),
    ("gap", file_of(row("t", (8,), 0, 0), row("u", (8,), 0, 64), tensors=2), "tensor 'u' has offset 64, expected 32"),
    ("overlap", file_of(row("t", (9,), 0, 0), row("u", (8,), 0, 32), tensors=2), "tensor 'u' has offset 32, expected 64"),
    ("first offset", file_of(row("t", (8,), 0, 32), tensors=1), "tensor 't' has offset 32, expected 0"),
)  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), [pytest.param(*row[1:], id=row[0]) for row in REFUSED])
def test_unsound_files_are_refused(data: bytes, expected: str) -> None:
    """The message names the value and the place, in one line."""
    message = error(data)

    assert expected in message
    assert "\n" not in message


def test_hostile_counts_cost_nothing() -> None:
    """No claim of a small file leads to a long loop or a large allocation."""
    started = time.process_time()
    peaks = [peak_bytes(lambda data=data: error(data)) for _, data, _ in REFUSED]

    assert max(peaks) < 2**20
    assert time.process_time() - started < 1


def test_a_large_vocabulary_is_walked_not_built() -> None:
    """250,000 words take no more memory than a few."""
    data = file_of(pair("tokens", [str(n) for n in range(250_000)]), keys=1)

    assert {"tokens": Skipped("str", 250_000)} == parse(data).metadata
    assert peak_bytes(lambda: parse(data)) < 100_000


# --- any bytes at all -------------------------------------------------------------------------------


def outcome(data: bytes) -> str:
    """What becomes of `data`."""
    try:
        return type(parse(data)).__name__
    except CorruptError as refused:
        return type(refused).__name__


OUTCOMES = {"Header", "CorruptError", "TruncatedError"}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9727), st.binary(min_size=1, max_size=9)), min_size=1, max_size=4), st.sampled_from([2**20, 9000]))
def test_a_damaged_header_is_read_or_refused(edits: list[tuple[int, bytes]], length: int) -> None:
    """Overwriting bytes of a real header never leads to any other error."""
    data = bytearray(real_header("lfm2-1.2b"))
    for at, new in edits:
        data[at : at + len(new)] = new

    assert outcome(bytes(data[:length])) in OUTCOMES


@settings(max_examples=300)
@given(st.integers(0, 3), st.integers(0, 3), st.binary(max_size=300))
def test_noise_is_read_or_refused(tensors: int, keys: int, noise: bytes) -> None:
    """Random bytes behind a sound beginning never lead to any other error."""
    assert outcome(preamble(tensors, keys) + noise) in OUTCOMES
