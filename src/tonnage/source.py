"""Whatever a user can name -> Model. With `remote` and the faces the only place that touches files.

Of a file only the head is read. Models are remembered by path, time and size, so that many questions
about one file read it once. What lies elsewhere is read by `tonnage.remote`, imported when it is named.
"""

import os
import re
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tonnage.errors import CorruptError, QuestionError, SourceError, UnsupportedError, nearest
from tonnage.frozen import replace
from tonnage.model.types import NOTHING, Attached, Model, Tensor
from tonnage.question import Question

if TYPE_CHECKING:
    from tonnage.remote.access import Access

FIRST_READ_BYTES = 64 * 1024
MAX_CONFIG_BYTES = 64 * 1024 * 1024
_QUANT = r"[A-Za-z][A-Za-z0-9_.-]*"
_OWN_COLON = ("ollama:", "hub:", "hf:")
_WINDOWS_DRIVE = r"[A-Za-z]:[\\/]"


class Opened(NamedTuple):
    """A question whose model has been read; `id:QUANT` is taken apart."""

    question: Question
    model: Model
    attached: Attached


def open_question(question: Question, access: "Access | None" = None) -> Opened:
    """Read the model that the question names, and what it names besides; `access` limits where from."""
    question, notes = _on_this_machine(with_named_quant(question), access)
    try:
        found = _find(question.model, question.quant, access)
    except UnsupportedError:
        if not question.approximate:
            raise
        found = _Found(_bracketed(question.model, access))
    if found.holds_quant:
        # the file in that quant is read as it is stored, not predicted
        question = replace(question, model=found.name or question.model, quant=None)
    attached = _attached(question, access)
    return Opened(question, found.model, replace(attached, notes=notes) if notes else attached)


def _on_this_machine(question: Question, access: "Access | None") -> tuple[Question, tuple[str, ...]]:
    """The question with `this` and the user's own devices told in full."""
    if not question.device and not question.device_file:
        return question, ()
    from tonnage import machine

    return machine.resolve(question, files=access is None or access.files)


def _bracketed(name: str, access: "Access | None") -> Model:
    """A bracket around a built-in model or a config.json on disk whose architecture has no rules."""
    from tonnage.model import bracket, catalogue

    row = catalogue.find(name)
    if row is not None:
        params = row["params"].get("text") or row["params"].get("hf_total")
        return bracket.model(row["config"], row["hf_id"], f"catalogue: {row['hf_id']}", params)
    path = os.path.join(name, "config.json") if os.path.isdir(name) else name
    if (access is None or access.files) and path.endswith(".json") and os.path.exists(path):
        return bracket.model(_json_of(path), name, path, None)
    raise UnsupportedError(f"approximate: {name} is neither a built-in model nor a config.json on disk, so there is nothing to bracket")


class _Found(NamedTuple):
    model: Model
    holds_quant: bool = False
    """the quant that was asked for chose the file"""
    name: str = ""
    """the words that name this file alone; empty where the question's do"""


def with_named_quant(question: Question) -> Question:
    """The question with `id:QUANT` as model and quant."""
    name, colon, quant = question.model.rpartition(":")
    if not colon or not name or os.path.lexists(question.model) or re.match(_WINDOWS_DRIVE, question.model) or not re.fullmatch(_QUANT, quant):
        return question
    if question.model.lower().startswith(_OWN_COLON) and (":" not in name or name.lower().startswith("ollama:")):
        return question
    if question.quant is not None and question.quant.lower() != quant.lower():
        raise QuestionError(f"quant is given twice: {quant} in {question.model!r}, and {question.quant}")
    return replace(question, model=name, quant=quant)


def _attached(question: Question, access: "Access | None") -> Attached:
    if not (question.mmproj or question.lora or question.draft):
        return NOTHING
    draft = open_question(Question(model=question.draft), access) if question.draft else None
    return Attached(
        projector=tensors_of(question.mmproj, access) if question.mmproj else (),
        adapters=tuple(tensors_of(path, access) for path in question.lora or ()),
        draft=draft.model if draft else None,
        draft_quant=draft.question.quant if draft else None,
    )


def load(name: str, access: "Access | None" = None) -> Model:
    """The model called `name`: a file, a built-in model by name or hub id, or one that lies elsewhere."""
    return _find(name, None, access).model


def _find(name: str, quant: str | None, access: "Access | None") -> _Found:
    """A file comes before a built-in model, and that before the hub, unless the hub itself is asked for."""
    if (access is None or access.files) and os.path.exists(name):
        return _local(name, quant)
    if "params=" in name:
        from tonnage.model import custom

        return _Found(custom.model(name))
    from tonnage.model import catalogue

    if catalogue.find(name) is not None:
        return _Found(_built_in(name))
    if _may_lie_elsewhere(name):
        found = _elsewhere(name, quant, access)
        if found is not None:
            return found
    if _looks_like_path(name):
        raise SourceError(f"no such file: {name}", _beside(name) if access is None or access.files else ())
    raise SourceError(f"no file and no built-in model is called {name!r}: `tonnage models` lists them", nearest(name, catalogue.names()))


def _may_lie_elsewhere(name: str) -> bool:
    """Whether `tonnage.remote` is worth its import: what lies elsewhere has a `/` or a prefix, and is no path."""
    return name.lower().startswith(_OWN_COLON) or ("/" in name and not name.startswith((".", "/", "~")) and "\\" not in name)


def _elsewhere(name: str, quant: str | None, access: "Access | None") -> _Found | None:
    from tonnage.model import catalogue
    from tonnage.remote import names, opening
    from tonnage.remote.access import DEFAULT, environment

    place = names.parse(name, environment().hub)
    if place is None:
        return None
    if isinstance(place, names.Repo) and not (place.revision or place.path or names.asks_hub(name)) and catalogue.find(place.id) is not None:
        return _Found(_built_in(place.id))
    found = opening.open_place(place, quant or "", access or DEFAULT)
    if found.path:
        local = _local(found.path, quant)
        return local._replace(model=replace(local.model, name=found.name or local.model.name))
    return _Found(found.model, bool(found.name), found.name)


def _local(path: str, quant: str | None) -> _Found:
    """A file, or what a folder stands for."""
    holds_quant = False
    if os.path.isdir(path):
        from tonnage.remote import folders

        path, holds_quant = folders.model_file(path, quant)
    model: Model = _remembered(path, _read_model)
    return _Found(model, holds_quant, path if holds_quant else "")


def tensors_of(path: str, access: "Access | None" = None) -> tuple[Tensor, ...]:
    """The tensor table of a GGUF that is no model of its own: a projector or an adapter."""
    tensors: tuple[Tensor, ...]
    if (access is None or access.files) and os.path.exists(path):
        tensors = _remembered(path, _read_tensors)
        return tensors
    if _may_lie_elsewhere(path):
        from tonnage.remote import names, opening
        from tonnage.remote.access import DEFAULT, environment

        place = names.parse(path, environment().hub)
        if place is not None:
            return opening.tensors_of(place, access or DEFAULT)
    raise SourceError(f"no such file: {path}", _beside(path) if access is None or access.files else ())


def _read_tensors(path: str) -> tuple[Tensor, ...]:
    tensors: tuple[Tensor, ...] = _read_header(path)[0].tensors
    return tensors


def _looks_like_path(name: str) -> bool:
    return name.endswith((".gguf", ".json", ".safetensors")) or name.startswith((".", "/", "~")) or "\\" in name


def _beside(name: str) -> tuple[str, ...]:
    """Files of the same folder with a like name."""
    folder = os.path.dirname(name)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return ()
    return tuple(os.path.join(folder, near) for near in nearest(os.path.basename(name), names, 1))


# --- reading --------------------------------------------------------------------------------------

_cache: dict[tuple[Any, ...], Any] = {}
_CACHED = 256


def _remembered(path: str, read: Callable[[str], Any]) -> Any:
    """What `read` makes of the file, once for every path, time and size."""
    at = _stat(path)
    key = (read.__name__, os.path.abspath(path), at.st_mtime_ns, at.st_size)
    if key not in _cache:
        if len(_cache) >= _CACHED:
            _cache.clear()
        _cache[key] = read(path)
    return _cache[key]


def _built_in(name: str) -> Model:
    from tonnage.model import catalogue

    key = ("built-in", name.lower())
    if key not in _cache:
        _cache[key] = catalogue.model(name)
    model: Model = _cache[key]
    return model


def _stat(path: str) -> os.stat_result:
    try:
        found = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise SourceError(f"{path} is not a file")
    return found


def _unreadable(path: str, error: OSError) -> SourceError:
    return SourceError(f"cannot read {path}: {error.strerror or error}")


def _read_bytes(path: str, nbytes: int) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(nbytes)
    except OSError as error:
        raise _unreadable(path, error) from None


def _read_model(path: str) -> Model:
    """A GGUF by its first bytes, else a config.json."""
    if _read_bytes(path, 4) == b"GGUF" or path.endswith(".gguf"):
        return _read_gguf(path)
    return _read_config(path)


def _read_gguf(path: str) -> Model:
    """The model of a GGUF file, or of all shards where it is one of several."""
    from tonnage.model import build, gguf

    folder, name = os.path.split(path)
    shards = [_read_header(os.path.join(folder, shard)) for shard in gguf.shard_names(name)]
    header = gguf.merge(header for header, _ in shards)
    file_bytes = sum(nbytes for _, nbytes in shards)
    return build.from_header(header.metadata, header.tensors, name.removesuffix(".gguf"), path, file_bytes=file_bytes)


def _read_header(path: str) -> tuple[Any, int]:
    """The header of one file, and the file's size; ever more is read until the header is whole."""
    from tonnage.model import gguf

    file_bytes, want = _stat(path).st_size, FIRST_READ_BYTES
    while True:
        data = _read_bytes(path, want)
        try:
            return gguf.parse(data, file_bytes=file_bytes), file_bytes
        except gguf.TruncatedError as error:
            if want >= file_bytes:
                raise SourceError(f"{path} ends within its header: {error}") from None
            want = max(4 * want, error.need_bytes)
        except CorruptError as error:
            raise CorruptError(f"{path}: {error}") from None


def header_bytes(path: str) -> bytes:
    """The bytes of a GGUF file before its tensors' data."""
    return _read_bytes(path, _read_header(path)[0].data_offset)


def _read_config(path: str) -> Model:
    """A config.json, with the headers of the safetensors beside it."""
    from tonnage.model import upload
    from tonnage.remote import folders

    folder, name = os.path.split(os.path.abspath(path))
    if name.endswith((".safetensors", ".safetensors.index.json")):
        path, name = os.path.join(folder, folders.CONFIG), folders.CONFIG
    raw = _json_of(path)
    if name != folders.CONFIG:
        return upload.model(raw, None, name.removesuffix(".json"), path)
    return upload.model(raw, folders.safetensors_header(folder), os.path.basename(folder), path)


def _json_of(path: str) -> Any:
    import json

    if _stat(path).st_size > MAX_CONFIG_BYTES:
        raise CorruptError(f"{path} is too large for a config.json, and it is no GGUF file")
    try:
        return json.loads(_read_bytes(path, MAX_CONFIG_BYTES))
    except (ValueError, RecursionError):
        raise CorruptError(f"{path} is neither a GGUF file nor JSON") from None
