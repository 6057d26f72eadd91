"""The pages in a browser: one function answers a query, another takes the head of a file that was dropped. Nothing is uploaded."""

import json

from tonnage.errors import CorruptError, TruncatedError
from tonnage.model import build, gguf, upload
from tonnage.model.types import NOTHING, Model
from tonnage.pages.routes import reply
from tonnage.pages.site import Site
from tonnage.question import Question
from tonnage.source import Opened

_models: dict[str, Model] = {}
"""name of a dropped file -> its model"""
_parts: dict[str, tuple[gguf.Header, int]] = {}
"""heads of files that are parts of one model, with the files' sizes"""


class _Browser(Site):
    """The site, with the files that were dropped on it."""

    __slots__ = ()

    def opened(self, question: Question) -> Opened:
        """The question with its model; a dropped file is known by its name."""
        found = _models.get(question.model)
        return Opened(question, found, NOTHING) if found else super().opened(question)


_site = [_Browser()]


def stand(base: str) -> None:
    """Where the pages stand: before every link."""
    _site[0] = _Browser(base=base)


def answer(query: str) -> str:
    """The fragment that the server would send; an error is one too."""
    return str(reply("/fragment", query, _site[0]).body)


def take(name: str, head: object, file_bytes: int) -> int:
    """Take the first bytes of a file: 0 where they are enough, else how many are needed. CorruptError for what is no model."""
    data = head if isinstance(head, bytes) else bytes(head.to_py())  # type: ignore[attr-defined]
    if data[:4] != b"GGUF":
        return _config(name, data, file_bytes)
    try:
        header = gguf.parse(data, file_bytes=file_bytes)
    except TruncatedError as error:
        if len(data) >= file_bytes:
            raise CorruptError(f"{name} ends within its header") from None
        return error.need_bytes
    _parts[name] = (header, file_bytes)
    shards = gguf.shard_names(name)
    if all(shard in _parts for shard in shards):
        whole = gguf.merge(_parts[shard][0] for shard in shards)
        size = sum(_parts[shard][1] for shard in shards)
        model = build.from_header(whole.metadata, whole.tensors, name.removesuffix(".gguf"), name, file_bytes=size)
        _models.update(dict.fromkeys(shards, model))
    return 0


def _config(name: str, data: bytes, file_bytes: int) -> int:
    if len(data) < file_bytes and file_bytes <= MAX_CONFIG_BYTES:
        return file_bytes
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        raise CorruptError(f"{name} is neither a GGUF file nor JSON") from None
    _models[name] = upload.model(told, None, name.removesuffix(".json"), name)
    return 0


MAX_CONFIG_BYTES = 64 * 1024 * 1024
