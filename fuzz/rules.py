"""What must hold for any bytes: they are read or refused with CorruptError, and what is read does not contradict itself.

Each rule takes one input; any other error, and a broken assertion, is a finding.
"""

import struct
from collections import UserDict
from contextlib import suppress
from typing import Any

from tonnage.errors import CorruptError, TruncatedError
from tonnage.frozen import replace
from tonnage.model import gguf, gguf_remote, safetensors

# --- GGUF -----------------------------------------------------------------------------------------


def gguf_file(data: bytes) -> None:
    """A GGUF file, or the beginning of one."""
    with suppress(CorruptError):
        header = _parsed(gguf.parse, data)
        if header is not None:
            assert header.header_bytes <= len(data)
            assert header == gguf.parse(data[: header.header_bytes], file_bytes=header.file_bytes_needed) or "nan" in repr(header)
            gguf.merge([header])


def _parsed(parse: Any, data: bytes) -> Any:
    """The header; None where `data` ends too early, and the reader rightly says so."""
    try:
        return parse(data)
    except TruncatedError as short:
        need = short.need_bytes
    assert len(data) < need
    return None


# --- GGUF far away --------------------------------------------------------------------------------


class _Guess(UserDict[Any, int]):
    """The same guess for every vocabulary."""

    def __init__(self, guess: int) -> None:
        super().__init__()
        self.guess = guess

    def get(self, key: Any, default: Any = None) -> Any:
        """The guess."""
        return self.guess


def gguf_far_away(data: bytes) -> None:
    """Two bytes are the guess, the rest is the file: whatever the guess, the answer is what reading through gives."""
    guess, head = int.from_bytes(data[:2], "little"), data[2:]
    try:
        true = gguf.parse(head)
    except CorruptError:
        with suppress(CorruptError):
            _follow(head, len(head), guess)
        return
    if true.file_bytes_needed < 2**40:
        _check(_follow(head, true.file_bytes_needed, guess), true)


def _check(found: gguf.Header, true: gguf.Header) -> None:
    """Equal but for two keys at most: what a vocabulary is made of besides its tokens is not read."""
    unread = true.metadata.keys() - found.metadata.keys()
    left = {key: value for key, value in true.metadata.items() if key not in unread}
    assert len(unread) <= 2
    assert dict(found.metadata) == left or "nan" in repr(left)
    assert replace(true, metadata={}) == replace(found, metadata={})


def _follow(head: bytes, file_bytes: int, guess: int) -> gguf.Header:
    """What the plan makes of the file, which is zero behind its head."""
    plan = gguf_remote.plan(file_bytes, _Guess(guess))
    offset, nbytes = next(plan)
    while True:
        nbytes = max(min(nbytes, file_bytes - offset, 2**20), 0)
        try:
            offset, nbytes = plan.send(head[offset : offset + nbytes].ljust(nbytes, b"\0"))
        except StopIteration as end:
            header: gguf.Header = end.value
            return header


def small_ranges() -> None:
    """Make the plan's ranges so small that small files have something to jump over."""
    gguf_remote.FIRST_BYTES, gguf_remote.MARGIN, gguf_remote.MOST_BEHIND = 160, 64, 1024


# --- safetensors ----------------------------------------------------------------------------------


def safetensors_file(data: bytes) -> None:
    """The input is a file, a header's text alone, and an index."""
    with suppress(CorruptError):
        _check_safetensors(data)
    with suppress(CorruptError):
        _check_safetensors(struct.pack("<Q", len(data)) + data)
    with suppress(CorruptError):
        assert safetensors.parse_index(data).shards


def _check_safetensors(data: bytes) -> None:
    header = _parsed(safetensors.parse, data)
    if header is not None:
        assert header.header_bytes <= len(data)
        assert header.tensor_bytes == sum(tensor.nbytes for tensor in header.tensors)
        assert header == safetensors.parse(data[: header.header_bytes], file_bytes=header.file_bytes)
        assert header == safetensors.merge([header])
