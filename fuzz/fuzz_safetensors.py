"""Coverage-guided fuzzing of the safetensors readers: any bytes are read or refused, within time and memory.

usage: python fuzz/fuzz_safetensors.py [-atheris_runs=1000000] [-max_len=8192] [-rss_limit_mb=256] [-timeout=1] [corpus folder ...]

Needs `atheris`. New inputs are written to the first folder given, so give a scratch folder before
fuzz/corpus/safetensors. The input is a file, a header's text alone, and an index.
"""

import struct
import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["tonnage"]):
    from tonnage.errors import CorruptError, TruncatedError
    from tonnage.model.safetensors import Header, merge, parse, parse_index


def one_input(data: bytes) -> None:
    """Any other error than CorruptError ends the run; so does a header that contradicts itself."""
    with suppress(CorruptError):
        check_file(data)
    with suppress(CorruptError):
        check_file(struct.pack("<Q", len(data)) + data)
    with suppress(CorruptError):
        assert parse_index(data).shards


def check_file(data: bytes) -> None:
    """What is read must hold; what is not long enough must ask for more."""
    header = parsed(data)
    if header is None:
        return
    assert header.header_bytes <= len(data)
    assert header.tensor_bytes == sum(tensor.nbytes for tensor in header.tensors)
    assert header == parse(data[: header.header_bytes], file_bytes=header.file_bytes)
    assert header == merge([header])


def parsed(data: bytes) -> Header | None:
    """The header; None where `data` ends too early, and the reader rightly says so."""
    try:
        return parse(data)
    except TruncatedError as short:
        need = short.need_bytes
    assert len(data) < need
    return None


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
