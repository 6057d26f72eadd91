"""A remote GGUF's header in few bytes: the vocabulary between the keys that matter and the tensor table is not read.

The reading is a plan without I/O: a generator that asks for byte ranges and is sent what they hold. A
tokenizer that is known tells about where the table begins; the guess is proved by the table itself,
whose offsets must follow each other and whose data must end with the file. What is not proved is read through.
"""

from collections.abc import Generator, Iterator
from typing import Any

from tonnage.errors import CorruptError
from tonnage.model import gguf, tokenizers
from tonnage.model.types import Tensor
from tonnage.units import pad

FIRST_BYTES = 24 * 1024
"""what the keys before the vocabulary take at most in published files, per-layer arrays included"""
MARGIN = 24 * 1024
"""how far a header of a known tokenizer may lie from its usual size: chat templates differ"""
TABLE_ROW_BYTES = 72
"""an average row of the tensor table: name, dimensions, type, offset"""
CHUNK = 4 * 1024 * 1024

Range = tuple[int, int]
"""offset and length"""
Plan = Generator[Range, bytes, gguf.Header]

_TOKENS = b"tokenizer.ggml.tokens"
_SMALL_KEYS = ("general.file_type", "general.quantization_version", "split.no", "split.count", "split.tensors.count")
"""keys behind the vocabulary that are worth finding"""
_FIRST_NAMES = (b"token_embd.", b"output", b"rope_freqs.", b"rope_factors_", b"blk.", b"per_layer_", b"position_embd.", b"token_types.")


_Table = tuple[tuple[Tensor, ...], int, int]
"""tensors, bytes of their data, end of the table in the window"""


def plan(file_bytes: int) -> Plan:
    """Ask for ranges of a file of this size until its header is known; CorruptError as `gguf.parse` raises it."""
    data = yield 0, min(FIRST_BYTES, file_bytes)
    try:
        return gguf.parse(data, file_bytes=file_bytes)
    except gguf.TruncatedError:
        pass
    found = yield from _by_vocabulary(data, file_bytes)
    return found if found is not None else (yield from _through(data, file_bytes))


def _through(data: bytes, file_bytes: int) -> Plan:
    """Read on until the header is whole, every byte once."""
    held = bytearray(data)
    while True:
        try:
            return gguf.parse(bytes(held), file_bytes=file_bytes)
        except gguf.TruncatedError as error:
            want = min(max(error.need_bytes - len(held), min(len(held), CHUNK)), file_bytes - len(held))
            if want <= 0:
                raise
            more = yield len(held), want
            if not more:
                raise
            held += more


def _by_vocabulary(data: bytes, file_bytes: int) -> Generator[Range, bytes, gguf.Header | None]:
    """Jump over a vocabulary that is known; None where there is none, or where the guess is not proved."""
    start = _before_vocabulary(data)
    if start is None:
        return None
    version, n_tensors, metadata, tokens = start
    name = metadata.get("tokenizer.ggml.pre") or metadata.get("tokenizer.ggml.model")
    known = tokenizers.of_header(name, tokens)
    if known is None:
        return None
    offset = max(known.kv_bytes - MARGIN, 0)
    length = min(2 * MARGIN + TABLE_ROW_BYTES * n_tensors, file_bytes - offset)
    if length <= 0:
        return None
    window = yield offset, length
    for at in _candidates(window):
        found = yield from _table(window, at, n_tensors, offset, file_bytes)
        if found is not None:
            tensors, total, end = found
            header_bytes = offset + end
            kv_bytes = offset + at - 24
            return gguf.Header(version, {**metadata, **_small(window[:at])}, tensors, 32, kv_bytes, header_bytes, pad(header_bytes, 32), total)
    return None


def _before_vocabulary(data: bytes) -> tuple[int, int, dict[str, Any], int] | None:
    """Version, tensors, the keys before the vocabulary, and how many tokens it has."""
    where = data.find(len(_TOKENS).to_bytes(8, "little") + _TOKENS)
    if where < 0 or where + 8 + len(_TOKENS) + 16 > len(data):
        return None
    reader = gguf._Reader(data, None)
    version = gguf._read_preamble(reader)
    n_tensors, metadata = reader.tensors_left, {}
    reader.keys_left = reader.tensors_left = 0
    while reader.at < where:
        key = reader.text(gguf.MAX_KEY_BYTES, "metadata key")
        metadata[key] = gguf._read_value(reader, key)[1]
    if metadata.get("general.alignment", 32) != 32 or reader.at != where:
        return None
    head = where + 8 + len(_TOKENS)
    return version, n_tensors, metadata, int.from_bytes(data[head + 8 : head + 16], "little")


def _candidates(window: bytes) -> Iterator[int]:
    """Places where a tensor table may begin: a tensor's name behind its length."""
    found = set()
    for name in _FIRST_NAMES:
        at = window.find(name)
        while at >= 8:
            size = int.from_bytes(window[at - 8 : at], "little")
            if len(name) <= size <= gguf.MAX_NAME_BYTES:
                found.add(at - 8)
                break
            at = window.find(name, at + 1)
    return iter(sorted(found))


def _table(window: bytes, at: int, n_tensors: int, offset: int, file_bytes: int) -> Generator[Range, bytes, _Table | None]:
    """The table at this place, its data's bytes and its end, if it is one and the file ends where its data do."""
    while True:
        reader = gguf._Reader(window, None)
        reader.at, reader.tensors_left = at, n_tensors
        try:
            tensors, total = gguf._read_tensors(reader, 32)
        except gguf.TruncatedError as error:
            have = offset + len(window)
            want = min(max(error.need_bytes - len(window), MARGIN), file_bytes - have)
            more = (yield have, want) if want > 0 else b""
            if not more:
                return None
            window += more
        except CorruptError:
            return None
        else:
            # the last tensor's padding may be missing
            whole = pad(offset + reader.at, 32) + total
            return (tensors, total, reader.at) if whole - 32 < file_bytes <= whole else None


def _small(behind: bytes) -> dict[str, Any]:
    """Small keys behind the vocabulary, found by their spelling."""
    found: dict[str, Any] = {}
    for key in _SMALL_KEYS:
        at = behind.rfind(len(key).to_bytes(8, "little") + key.encode())
        if at >= 0:
            reader = gguf._Reader(behind, None)
            reader.at = at + 8 + len(key)
            found[key] = gguf._read_value(reader, key)[1]
    return found
