"""The frame of an answer that engines of ranks share: sizes of the weights, the question as it was resolved."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tonnage.answer import Part, WeightsAnswer
from tonnage.engines.torch.cuts import whole
from tonnage.engines.torch.layouts import LAYOUTS
from tonnage.engines.torch.storage import Storage
from tonnage.frozen import replace
from tonnage.model.pieces import Piece, pieces
from tonnage.model.towers import tower
from tonnage.model.types import Model
from tonnage.question import Question, to_dict

DEFAULT_CONTEXT = 32768
Sizer = Callable[[Piece, Storage], int]
"""bytes of a piece as it is stored"""


def context_of(question: Question, model: Model) -> int:
    """Tokens that one request may hold: as asked, else 32,768, or the model's own limit if smaller."""
    if question.context == "native":
        return model.context
    return int(question.context or min(DEFAULT_CONTEXT, model.context))


def stored_bytes(piece: Piece, storage: Storage) -> int:
    """Bytes of a piece on one rank, as engines on PyTorch keep it."""
    if not storage.quantises(piece) or storage.scheme is None:
        return piece.elements * (4 if piece.float32 else 2)
    held, layout = whole(piece), LAYOUTS[storage.name]
    return held.copies * layout(storage.scheme, piece.n_out, piece.n_in)


@lru_cache(maxsize=64)
def weights_answer(model: Model, storage: Storage, per_rank: tuple[int, ...], sizer: Sizer = stored_bytes) -> WeightsAnswer:
    """Sizes of the stored weights; the published files' own where they are loaded as they are."""
    text = (*pieces(model), *(tower(model) or ()))
    count: Counter[str] = Counter()
    nbytes: Counter[str] = Counter()
    for piece in text:
        kind = storage.name if storage.quantises(piece) else "f32" if piece.float32 else "bf16"
        count[kind] += piece.copies
        nbytes[kind] += sizer(piece, storage)
    as_published = model.published is not None and storage.name == (model.published.format or "bf16")
    return WeightsAnswer(
        tensor_bytes=sum(nbytes.values()),
        file_bytes=model.published.file_bytes if model.published is not None and as_published else None,
        parameters=sum(piece.elements for piece in text),
        by_type={kind: (count[kind], nbytes[kind]) for kind in sorted(nbytes, key=lambda k: -nbytes[k])},
        recipe=storage.name,
        rules=None,
        imatrix=False,
        basis="config",
        per_rank_bytes=per_rank,
    )


def resolved(question: Question, filled: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The question with its defaults filled in, and which of its keys were defaults."""
    given = to_dict(question)
    known = {key: value for key, value in filled.items() if value is not None}
    return {**given, **known}, tuple(key for key in known if key not in given)


def known(model: Model, parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts; those of a model that was told in bare numbers rest on assumptions, whatever the rule."""
    return tuple(replace(part, basis="assumed") for part in parts) if model.basis == "assumed" else tuple(parts)


def per_device(stages: Sequence[int], tp: int, dp: int) -> tuple[int, ...]:
    """One number for every device, of one for every stage: replicas one after another, stages within, ranks within these."""
    return tuple(value for _ in range(dp) for value in stages for _ in range(tp))
