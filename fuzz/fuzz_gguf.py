"""Coverage-guided fuzzing of the GGUF reader: any bytes are read or refused, within time and memory.

usage: python fuzz/fuzz_gguf.py [-atheris_runs=100000] [-max_len=16384] [-rss_limit_mb=256] [corpus folder ...]

Needs `atheris`. New inputs are written to the first folder given, so give a scratch folder before fuzz/corpus/gguf.
"""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["tonnage"]):
    from tonnage.errors import CorruptError
    from tonnage.model.gguf import Header, TruncatedError, merge, parse


def one_input(data: bytes) -> None:
    """Any other error than CorruptError ends the run; so does a header that contradicts itself."""
    with suppress(CorruptError):
        check(data)


def check(data: bytes) -> None:
    """What is read must hold; what is not long enough must ask for more."""
    header = parsed(data)
    if header is None:
        return
    assert header.header_bytes <= len(data)
    assert header == parse(data[: header.header_bytes], file_bytes=header.file_bytes_needed) or "nan" in repr(header)
    merge([header])


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
