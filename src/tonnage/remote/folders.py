"""A folder of this machine -> the file that it stands for, and the headers of the safetensors beside a config."""

import os
from typing import TYPE_CHECKING

from tonnage.errors import CorruptError, SourceError, TruncatedError

if TYPE_CHECKING:
    from tonnage.model.safetensors import Header

CONFIG = "config.json"
INDEX = "model.safetensors.index.json"
MAX_DEPTH = 2
"""folders within the folder: uploaders put each quant into one"""


def model_file(folder: str, quant: str | None) -> tuple[str, bool]:
    """The file that the folder stands for, and whether it holds the quant that is asked for."""
    from tonnage.remote import choice

    stored = choice.models(choice.RepoFile(path, 0) for path in _ggufs(folder))
    config = os.path.join(folder, CONFIG)
    wanted = "" if quant is None or quant.lower() == "file" else quant
    if os.path.exists(config) and not any(wanted.lower() == model.quant.lower() for model in stored):
        return config, False
    if not stored:
        raise SourceError(f"{folder} is a folder with neither a config.json nor a .gguf file")
    if len(stored) == 1 and wanted.lower() != stored[0].quant.lower():
        return os.path.join(folder, stored[0].files[0].path), False
    return os.path.join(folder, choice.choose(stored, wanted, folder).files[0].path), bool(wanted)


def _ggufs(folder: str) -> list[str]:
    """Paths of the GGUF files, with `/` between their parts."""
    found = []
    for at, folders, names in os.walk(folder):
        inner = os.path.relpath(at, folder)
        parts = [] if inner == "." else inner.split(os.sep)
        if len(parts) == MAX_DEPTH:
            folders.clear()
        found += ["/".join([*parts, name]) for name in names if name.endswith(".gguf")]
    return sorted(found)


def safetensors_header(folder: str) -> "Header | None":
    """What the safetensors of the folder hold, all together; None where there are none."""
    from tonnage.model import safetensors

    names = sorted(name for name in os.listdir(folder or ".") if name.endswith(".safetensors") and not name.startswith(("adapter", "consolidated")))
    index = None
    if os.path.exists(os.path.join(folder, INDEX)):
        index = safetensors.parse_index(_read(os.path.join(folder, INDEX), safetensors.MAX_INDEX_BYTES))
        missing = [name for name in index.shards if not os.path.exists(os.path.join(folder, name))]
        if missing:
            raise SourceError(f"{folder} lacks {len(missing)} of {len(index.shards)} safetensors files of its index: {', '.join(missing[:3])}")
        names = list(index.shards)
    return safetensors.merge({name: _header(os.path.join(folder, name)) for name in names}, index) if names else None


def _header(path: str) -> "Header":
    from tonnage.model import safetensors

    nbytes = os.path.getsize(path)
    try:
        try:
            return safetensors.parse(_read(path, 64 * 1024), file_bytes=nbytes)
        except TruncatedError as error:
            return safetensors.parse(_read(path, error.need_bytes), file_bytes=nbytes)
    except CorruptError as error:
        raise CorruptError(f"{path}: {error}") from None


def _read(path: str, nbytes: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(nbytes)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
