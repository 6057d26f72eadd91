"""Model files for tests: real headers, as large as the real files but without their data."""

import os
from pathlib import Path

from gguf_writer import real_header
from tonnage.model import gguf


def sparse_gguf(folder: Path, name: str) -> str:
    """A file of the size that its header tells, all zero behind the header; takes a few KB of disk."""
    head = real_header(name)
    path = folder / f"{name}.gguf"
    path.write_bytes(head)
    os.truncate(path, gguf.parse(head).file_bytes_needed)
    return str(path)
