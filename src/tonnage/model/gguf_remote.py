"""A remote GGUF's header in few bytes: the vocabulary between the keys that matter and the tensor table is not read.

The reading is a plan without I/O: a generator that asks for byte ranges and is sent what they hold. A
tokenizer that is known tells about where the table begins. Nothing is taken on trust: the table's offsets
must follow each other and its data must end with the file, and every key of the header must be accounted
for, read or part of the vocabulary. What is not proved is read through.
"""

import re
import struct
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tonnage.errors import CorruptError, TruncatedError
from tonnage.model import gguf, tokenizers
from tonnage.model.types import Tensor
from tonnage.units import pad

FIRST_BYTES = 24 * 1024
"""what the keys before the vocabulary take at most in published files, per-layer arrays included"""
MARGIN = 24 * 1024
"""how far a header of a known tokenizer may lie from its usual size: chat templates differ"""
MOST_BEHIND = 256 * 1024
"""how far the keys behind the vocabulary are followed back"""
TABLE_ROW_BYTES = 72
"""an average row of the tensor table: name, dimensions, type, offset"""
LEAST_STEP = 64 * 1024
STEP = 2 * 1024 * 1024
CHUNK = 4 * 1024 * 1024
"""reading through stops at its multiples, so that it never takes more than ranges of this size would"""

Range = tuple[int, int]
"""offset and length"""
Plan = Generator[Range, bytes, gguf.Header]
Vocabulary = tuple[str, str, int]
"""tokenizer.ggml.model, tokenizer.ggml.pre, and how many tokens"""

_TOKENS = "tokenizer.ggml.tokens"
_PER_TOKEN = (_TOKENS, "tokenizer.ggml.token_type", "tokenizer.ggml.scores", "tokenizer.ggml.merges")
_MOST_UNREAD = 3
"""a vocabulary is tokens, their types, and merges or scores: every key beyond these three must have been read"""
_MOST_CANDIDATES = 128
"""places behind a vocabulary that look like keys; real files have some thirty"""
_MOST_GUESSED = 32 * 1024 * 1024
_PREAMBLE_BYTES = gguf._PREAMBLE.size
_ARRAY_OF = struct.Struct("<IIQ")
_OF_TEXTS = (gguf._ARRAY, gguf._STRING)
_KEY = re.compile(rb"[\x03-\xff]\0{7}(?=[a-z0-9_]+\.)")
_KEY_NAME = re.compile(r"[a-z0-9_]+(\.[A-Za-z0-9_-]+)+")
_FIRST_NAMES = (b"token_embd.", b"output", b"rope_freqs.", b"rope_factors_", b"blk.", b"per_layer_", b"position_embd.", b"token_types.")


class _Start(NamedTuple):
    """What the beginning of the file tells."""

    version: int
    n_tensors: int
    n_keys: int
    metadata: dict[str, tuple[str, Any]]
    """the keys before the vocabulary"""
    tokens: int
    """how many the vocabulary has; 0 where the beginning does not reach it"""

    @property
    def vocabulary(self) -> Vocabulary:
        """What the tokenizer is known by."""
        model, pre = (str(self.metadata.get(f"tokenizer.ggml.{key}", ("", ""))[1]) for key in ("model", "pre"))
        return model, pre, self.tokens


class _Table(NamedTuple):
    """A proved tensor table."""

    tensors: tuple[Tensor, ...]
    tensor_bytes: int
    end: int
    """in the window"""


def plan(file_bytes: int, seen: Mapping[Vocabulary, int] = MappingProxyType({})) -> Plan:
    """Ask for ranges of a file of this size until its header is known; CorruptError as `gguf.parse` raises it.

    `seen` tells how far it is to the table in files read before, by their vocabulary.
    """
    data = yield 0, min(FIRST_BYTES, file_bytes)
    try:
        return gguf.parse(data, file_bytes=file_bytes)
    except gguf.TruncatedError:
        pass
    start = _start(data)
    kv_bytes = (seen.get(start.vocabulary) or tokenizers.kv_bytes(*start.vocabulary)) if start and start.tokens else None
    found = (yield from _jump(start, kv_bytes, len(data), file_bytes)) if start and kv_bytes else None
    return found if found is not None else (yield from _through(data, file_bytes, _guess(start, len(data))))


def vocabulary(header: gguf.Header) -> tuple[Vocabulary, int] | None:
    """The vocabulary of a header and the bytes before its table, for `seen`; None where it has none."""
    tokens = header.metadata.get(_TOKENS)
    if not isinstance(tokens, gguf.Skipped) or header.shards > 1:
        return None
    model, pre = (str(header.metadata.get(f"tokenizer.ggml.{key}", "")) for key in ("model", "pre"))
    return (model, pre, tokens.count), header.kv_bytes + _PREAMBLE_BYTES


# --- reading through ------------------------------------------------------------------------------


def _guess(start: _Start | None, have: int) -> int:
    """About where the header ends, rather too early: what is missing costs one more range, what is too much is lost."""
    if start is None:
        return 0
    keys = tokenizers.about_bytes(start.vocabulary[0], start.tokens) + MARGIN
    about = max(keys, have) + TABLE_ROW_BYTES * start.n_tensors
    return min(about, _MOST_GUESSED)


def _through(data: bytes, file_bytes: int, guess: int) -> Plan:
    """Read on until the header is whole, every byte once."""
    held = bytearray(data)
    while True:
        try:
            return gguf.parse(bytes(held), file_bytes=file_bytes)
        except gguf.TruncatedError as error:
            have = len(held)
            step = min(have + max(min(have // 2, STEP), LEAST_STEP), pad(max(error.need_bytes, have + 1), CHUNK))
            want = min(max(error.need_bytes, guess, step), file_bytes) - have
            if want <= 0:
                raise
            more = yield have, want
            if not more:
                raise
            held += more
            guess = 0


# --- jumping over the vocabulary ------------------------------------------------------------------


def _start(data: bytes) -> _Start | None:
    """The keys before the vocabulary, as far as they reach; None where no sound header begins so."""
    reader = gguf._Reader(data, None)
    try:
        version = gguf._read_preamble(reader)
    except CorruptError:
        return None
    n_keys, n_tensors = reader.keys_left, reader.tensors_left
    reader.keys_left = reader.tensors_left = 0
    metadata: dict[str, tuple[str, Any]] = {}
    try:
        for _ in range(n_keys):
            key = reader.text(gguf.MAX_KEY_BYTES, "metadata key")
            if key == _TOKENS:
                kind, inner, tokens = reader.unpack(_ARRAY_OF)
                return _Start(version, n_tensors, n_keys, metadata, tokens) if (kind, inner) == _OF_TEXTS else None
            if key in metadata:
                return None
            metadata[key] = gguf._read_value(reader, key)
    except TruncatedError:
        pass
    except CorruptError:
        return None
    return _Start(version, n_tensors, n_keys, metadata, 0)


def _jump(start: _Start, kv_bytes: int, have: int, file_bytes: int) -> Generator[Range, bytes, gguf.Header | None]:
    """Read where the table should be; None where it is not proved to be there."""
    offset = max(kv_bytes - MARGIN, have)
    length = min(2 * MARGIN + TABLE_ROW_BYTES * start.n_tensors, file_bytes - offset)
    if length <= 0:
        return None
    window = yield offset, length
    for at in _candidates(window):
        table = yield from _table(window, at, start.n_tensors, offset, file_bytes)
        if table is not None:
            first = max(at - MOST_BEHIND, 0)
            keys = yield from _keys(start, window[first:at], offset + first, have)
            return None if keys is None else _header(start, keys, table, offset, at)
    return None


def _header(start: _Start, keys: dict[str, tuple[str, Any]], table: _Table, offset: int, at: int) -> gguf.Header | None:
    """The header, if its parts are sound together; reading through says what is wrong with others."""
    typed = {**start.metadata, _TOKENS: ("arr", gguf.Skipped("str", start.tokens)), **keys}
    try:
        gguf._check_architecture(typed)
        if gguf._alignment(typed) != gguf.DEFAULT_ALIGNMENT:
            return None
    except CorruptError:
        return None
    metadata = {key: value for key, (_, value) in typed.items()}
    end = offset + table.end
    kv_bytes = offset + at - _PREAMBLE_BYTES
    return gguf.Header(start.version, metadata, table.tensors, gguf.DEFAULT_ALIGNMENT, kv_bytes, end, pad(end, 32), table.tensor_bytes)


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
    """The table at this place, if it is one and the file ends where its data do."""
    while True:
        reader = gguf._Reader(window, None)
        reader.at, reader.tensors_left = at, n_tensors
        try:
            tensors, total = gguf._read_tensors(reader, gguf.DEFAULT_ALIGNMENT)
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
            return _Table(tensors, total, reader.at) if whole - 32 < file_bytes <= whole else None


def _keys(start: _Start, behind: bytes, offset: int, have: int) -> Generator[Range, bytes, dict[str, tuple[str, Any]] | None]:
    """The keys between vocabulary and table; None where one may have been missed. A long template needs more of the file."""
    while True:
        keys = _chain(behind)
        unread = start.n_keys - len(start.metadata) - len(keys)
        most = _MOST_UNREAD - sum(key in keys for key in _PER_TOKEN)
        if not keys.keys().isdisjoint((*start.metadata, _TOKENS)):
            return None
        if 1 <= unread <= most:
            return keys
        want = min(len(behind), MOST_BEHIND - len(behind), offset - have)
        if unread < 1 or want <= 0:
            return None
        more = yield offset - want, want
        if len(more) < want:
            return None
        behind, offset = more + behind, offset - want


def _chain(behind: bytes) -> dict[str, tuple[str, Any]]:
    """The longest run of keys that ends with these bytes, found from behind: each must lead to one that is known."""
    known: dict[int, tuple[str, tuple[str, Any], int]] = {}
    first = len(behind)
    for at in reversed(deque((found.start() for found in _KEY.finditer(behind)), _MOST_CANDIDATES)):
        one = _one_key(behind, at)
        if one is not None and (one[2] in known or one[2] == len(behind)):
            known[at] = one
            first = at
    chain: dict[str, tuple[str, Any]] = {}
    while first in known:
        key, value, first = known[first]
        if key in chain:
            return {}
        chain[key] = value
    return chain


def _one_key(data: bytes, at: int) -> tuple[str, tuple[str, Any], int] | None:
    """The key at this place, its value, and where the next one begins."""
    reader = gguf._Reader(data, None)
    reader.at = at
    try:
        key = reader.text(255, "metadata key")
        return (key, gguf._read_value(reader, key), reader.at) if _KEY_NAME.fullmatch(key) else None
    except (CorruptError, TruncatedError):
        return None
