"""Whatever a user can name -> Model. With the faces the only place that touches files.

Of a file only the head is read. Models are remembered by path, time and size, so that many questions
about one file read it once.
"""

import os
import re
import stat
from collections.abc import Callable
from typing import Any, NamedTuple

from tonnage.errors import CorruptError, QuestionError, SourceError, nearest
from tonnage.frozen import replace
from tonnage.model.types import NOTHING, Attached, Model, Tensor
from tonnage.question import Question

FIRST_READ_BYTES = 64 * 1024
MAX_CONFIG_BYTES = 64 * 1024 * 1024
_QUANT = r"[A-Za-z][A-Za-z0-9_.-]*"
_WINDOWS_DRIVE = r"[A-Za-z]:[\\/]"


class Opened(NamedTuple):
    """A question whose model has been read; `id:QUANT` is taken apart."""

    question: Question
    model: Model
    attached: Attached


def open_question(question: Question) -> Opened:
    """Read the model that the question names, and what it names besides."""
    question = with_named_quant(question)
    return Opened(question, load(question.model), _attached(question))


def with_named_quant(question: Question) -> Question:
    """The question with `id:QUANT` as model and quant."""
    name, colon, quant = question.model.rpartition(":")
    if not colon or not name or os.path.lexists(question.model) or re.match(_WINDOWS_DRIVE, question.model) or not re.fullmatch(_QUANT, quant):
        return question
    if question.quant is not None and question.quant.lower() != quant.lower():
        raise QuestionError(f"quant is given twice: {quant} in {question.model!r}, and {question.quant}")
    return replace(question, model=name, quant=quant)


def _attached(question: Question) -> Attached:
    if not (question.mmproj or question.lora or question.draft):
        return NOTHING
    return Attached(
        projector=tensors_of(question.mmproj) if question.mmproj else (),
        adapters=tuple(tensors_of(path) for path in question.lora or ()),
        draft=load(question.draft) if question.draft else None,
    )


def load(name: str) -> Model:
    """The model called `name`: a file, or a built-in model by name or hub id."""
    if os.path.exists(name):
        model: Model = _remembered(_model_file(name), _read_model)
        return model
    if "params=" in name:
        from tonnage.model import custom

        return custom.model(name)
    from tonnage.model import catalogue

    if catalogue.find(name) is not None:
        return _built_in(name)
    if _looks_like_path(name):
        raise SourceError(f"no such file: {name}", _beside(name))
    raise SourceError(f"no file and no built-in model is called {name!r}: `tonnage models` lists them", nearest(name, catalogue.names()))


def tensors_of(path: str) -> tuple[Tensor, ...]:
    """The tensor table of a GGUF that is no model of its own: a projector or an adapter."""
    tensors: tuple[Tensor, ...] = _remembered(path, _read_tensors)
    return tensors


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


def _model_file(path: str) -> str:
    """The file that a folder stands for."""
    if not os.path.isdir(path):
        return path
    config = os.path.join(path, "config.json")
    if os.path.exists(config):
        return config
    ggufs = sorted(name for name in os.listdir(path) if name.endswith(".gguf") and not name.startswith("mmproj"))
    if not ggufs:
        raise SourceError(f"{path} is a folder with neither a config.json nor a .gguf file")
    return os.path.join(path, ggufs[0])


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


def _read_config(path: str) -> Model:
    import json

    from tonnage.model import build

    if _stat(path).st_size > MAX_CONFIG_BYTES:
        raise CorruptError(f"{path} is too large for a config.json, and it is no GGUF file")
    try:
        raw = json.loads(_read_bytes(path, MAX_CONFIG_BYTES))
    except (ValueError, RecursionError):
        raise CorruptError(f"{path} is neither a GGUF file nor JSON") from None
    if not isinstance(raw, dict):
        raise CorruptError(f"{path} is no config.json: it must hold one JSON object")
    try:
        return build.from_config(raw, _config_name(path), path)
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise CorruptError(f"{path}: a field is not of the kind that its model needs ({type(error).__name__}: {error})") from error


def _config_name(path: str) -> str:
    """The folder of a `config.json`, or what another file is called."""
    name = os.path.basename(path)
    return os.path.basename(os.path.dirname(os.path.abspath(path))) if name == "config.json" else name.removesuffix(".json")
