"""Model files for tests: real headers, as large as the real files but without their data."""

import os
from pathlib import Path

from gguf_writer import real_header
from tonnage.model import build, gguf
from tonnage.model.types import Model


def sparse_gguf(folder: Path, name: str) -> str:
    """A file of the size that its header tells, all zero behind the header; takes a few KB of disk."""
    head = real_header(name)
    path = folder / f"{name}.gguf"
    path.write_bytes(head)
    os.truncate(path, gguf.parse(head).file_bytes_needed)
    return str(path)


def header_model(name: str) -> Model:
    """The model of a real header."""
    header = gguf.parse(real_header(name))
    return build.from_header(header.metadata, header.tensors, name, f"{name}.gguf", file_bytes=header.file_bytes_needed)
