"""Which GGUF files of a repo are the model in the quant that is asked for. Pure.

Uploaders write the quant into the file's name, or into the folder's: `Q4_K_M/model-Q4_K_M-00001-of-00003.gguf`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tonnage.errors import SourceError, nearest
from tonnage.model.gguf import shard_names

_QUANT = re.compile(
    r"(?:^|[-._])((?:UD-|i1-)?(?:IQ[1-4]_(?:XXS|XS|NL|S|M|XL)|TQ[12]_0|Q[1-8]_K(?:_(?:XXL|XL|L|M|S|P))?|Q[1-8]_(?:0|1|K)|"
    r"MXFP4(?:_MOE)?|NVFP4|BF16|FP16|F16|FP32|F32)(?:_[0-9]_[0-9](?:_[0-9])?)?)(?=$|[-._])",
    re.IGNORECASE,
)
_NO_MODEL = re.compile(r"(?:^|[-._/])(?:mmproj|imatrix|ggml-vocab)(?:[-._]|$)", re.IGNORECASE)
_SHOWN = 40


class RepoFile(NamedTuple):
    """One file of a listing."""

    path: str
    size: int | None
    etag: str = ""


class Stored(NamedTuple):
    """A model in a repo: one file, or all parts of one."""

    quant: str
    """as the name tells; empty where it tells none"""
    files: tuple[RepoFile, ...]

    @property
    def file_bytes(self) -> int | None:
        """Of all parts; None where the listing has no sizes."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def name(self) -> str:
        """How it is asked for: by quant, else by file."""
        return self.quant or self.files[0].path.rpartition("/")[2]


def quant_of(path: str) -> str:
    """The quant that a path names; empty where it names none."""
    folder, _, name = path.rpartition("/")
    stem = re.sub(r"-[0-9]{5}-of-[0-9]{5}$", "", name.removesuffix(".gguf"))
    for text in (stem, folder.rpartition("/")[2]):
        found = list(_QUANT.finditer(text))
        if found:
            return found[-1][1]
    return ""


def models(files: Iterable[RepoFile], folder: str = "") -> tuple[Stored, ...]:
    """Every model among the files (below `folder`), smallest first; SourceError where parts are missing."""
    by_path = {f.path: f for f in files if f.path.endswith(".gguf") and f.path.startswith(folder) and not _is_extra(f.path)}
    found: dict[tuple[str, ...], Stored] = {}
    for path in by_path:
        parts = _parts(path)
        if parts not in found:
            found[parts] = Stored(quant_of(path), tuple(by_path[part] for part in parts if part in by_path))
    return tuple(sorted(found.values(), key=lambda stored: (stored.file_bytes or 0, stored.name)))


def extras(files: Iterable[RepoFile]) -> tuple[RepoFile, ...]:
    """Projectors beside the models."""
    return tuple(f for f in files if f.path.endswith(".gguf") and "mmproj" in f.path.rpartition("/")[2].lower())


def _is_extra(path: str) -> bool:
    return bool(_NO_MODEL.search(path.rpartition("/")[2].removesuffix(".gguf")))


def _parts(path: str) -> tuple[str, ...]:
    folder, slash, name = path.rpartition("/")
    return tuple(folder + slash + part for part in shard_names(name))


def choose(stored: tuple[Stored, ...], wanted: str, where: str) -> Stored:
    """The model of the quant or file called `wanted`; the only one where nothing is wanted."""
    if not wanted:
        if len(stored) == 1:
            return whole(stored[0], where)
        raise SourceError(f"{where} holds several quants: {listed(stored)}; name one, as in {where}:{_usual(stored)} (--list tells sizes)")
    same = [model for model in stored if wanted.lower() in _names(model)]
    if len(same) == 1:
        return whole(same[0], where)
    if same:
        paths = ", ".join(model.files[0].path for model in same[:_SHOWN])
        raise SourceError(f"{where} holds {len(same)} models in {wanted}: {paths}; name the file, as in {where}/{same[0].files[0].path}")
    raise SourceError(f"{where} holds no {wanted}, but {listed(stored)}", nearest(wanted, [model.name for model in stored]))


def _names(model: Stored) -> tuple[str, ...]:
    """Everything that it may be called, in lower case."""
    path = model.files[0].path.lower()
    name = path.rpartition("/")[2]
    return (model.quant.lower(), path, name, name.removesuffix(".gguf"))


def listed(stored: tuple[Stored, ...]) -> str:
    """The names of all, for a message."""
    names = list(dict.fromkeys(model.name for model in stored))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _usual(stored: tuple[Stored, ...]) -> str:
    """An example: the most common quant where there is one."""
    by_name: Mapping[str, Stored] = {model.name.upper(): model for model in stored}
    return (by_name.get("Q4_K_M") or stored[0]).name


def whole(model: Stored, where: str) -> Stored:
    """The model, if all its parts are there."""
    paths = {file.path for file in model.files}
    missing = [part for part in _parts(model.files[0].path) if part not in paths]
    if missing:
        raise SourceError(f"{where} lacks {len(missing)} of {len(missing) + len(paths)} parts of the model: {', '.join(missing[:3])}")
    return model
