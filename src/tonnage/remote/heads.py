"""Headers of remote files -> tables: GGUF by the plan of few bytes, safetensors in one request each."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from tonnage.errors import CorruptError, TonnageError, TruncatedError
from tonnage.model import gguf, gguf_remote, safetensors
from tonnage.remote.file import File
from tonnage.remote.progress import Progress

MAX_JSON_BYTES = 32 * 1024 * 1024
_ENTRY_BYTES = 96
"""a tensor in a safetensors header besides its name: `"":{"dtype":"F8_E4M3","shape":[..],"data_offsets":[..,..]},`"""
_FIRST_BYTES = 64 * 1024

T = TypeVar("T")
R = TypeVar("R")


def gguf_header(file: File, seen: dict[gguf_remote.Vocabulary, int] | None = None) -> gguf.Header:
    """The header of one GGUF file, in as few bytes as the plan needs; `seen` is what files before it taught, and learns from it."""
    seen = {} if seen is None else seen
    if file.size is None:
        file.read(0, gguf_remote.FIRST_BYTES)
    if not file.size:
        raise CorruptError(f"{file.url} is empty, or its server does not tell its size")
    try:
        plan = gguf_remote.plan(file.size, seen)
        offset, nbytes = next(plan)
        while True:
            offset, nbytes = plan.send(file.read(offset, nbytes))
    except StopIteration as end:
        header: gguf.Header = end.value
    except TruncatedError as error:
        raise CorruptError(f"{file.url} ends within its header: {error}") from None
    except CorruptError as error:
        raise CorruptError(_at(file, error)) from None
    file.save()
    learned = gguf_remote.vocabulary(header)
    if learned:
        seen.setdefault(*learned)
    return header


def safetensors_header(file: File, names: Iterable[str] = ()) -> safetensors.Header:
    """The header of one safetensors file; `names` of its tensors, where an index tells them, say how long it is."""
    expected = 8 + 256 + sum(len(name) + _ENTRY_BYTES for name in names)
    data = file.read(0, expected if expected > 264 else _FIRST_BYTES)
    try:
        size = safetensors.header_bytes(data, file_bytes=file.size)
        if size > len(data):
            data += file.read(len(data), size - len(data))
        header = safetensors.parse(data, file_bytes=file.size)
    except CorruptError as error:
        raise CorruptError(_at(file, error)) from None
    file.save()
    return header


def whole(file: File) -> bytes:
    """All of a small file: a config or an index."""
    data = file.read_all(MAX_JSON_BYTES)
    file.save()
    return data


def json_object(data: bytes, where: object) -> dict[str, Any]:
    """The JSON object that a file holds."""
    import json

    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CorruptError(f"{where} is not one JSON object")
    return found


def together(read: Callable[[T], R], items: Sequence[T], threads: int, progress: Progress | None = None) -> list[R]:
    """`read` of every item, several at a time; the first error ends it. `progress` counts them."""
    if progress:
        progress.total += len(items)

    def counted(item: T) -> R:
        found = read(item)
        if progress:
            progress.done += 1
        return found

    if len(items) < 2:
        return [counted(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(min(threads, len(items)))
    try:
        return list(pool.map(counted, items))
    except TonnageError:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _at(file: File, error: Exception) -> str:
    text = str(error)
    return text if str(file.url) in text else f"{file.url}: {text}"
