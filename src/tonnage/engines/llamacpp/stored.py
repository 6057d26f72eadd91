"""The tensors as they are stored: those of the file, or what the quantiser would write."""

from collections import Counter
from functools import lru_cache

from tonnage.answer import WeightsAnswer
from tonnage.model.types import Model, Tensor
from tonnage.quant.recipes import FILE, Recipe, parse
from tonnage.quant.rules import quantise
from tonnage.question import Question
from tonnage.units import pad

DEFAULT_RECIPE = "Q4_K_M"
"""what `llama-server -hf REPO` takes when no quant is named (common/download.cpp)"""

FILE_ALIGNMENT = 32


def recipe_of(question: Question, model: Model) -> Recipe:
    """The recipe asked for: as stored for a file, llama.cpp's usual one for a config."""
    name = question.quant or (FILE if model.basis == "file" else DEFAULT_RECIPE)
    return parse(
        name,
        rules=question.rules or "2026",
        imatrix=bool(question.imatrix),
        output_type=question.output_type,
        embedding_type=question.embedding_type,
    )


@lru_cache(maxsize=64)
def stored_tensors(model: Model, recipe: Recipe, mtp: bool | None) -> tuple[Tensor, ...]:
    """Every tensor with the type that it is stored in; `mtp` False leaves the blocks of prediction out."""
    tensors, hparams = model.tensors, dict(model.hparams)
    if mtp is False and model.n_nextn:
        trunk = len(model.layers) - model.n_nextn
        tensors = tuple(t for t in tensors if t.block is None or t.block < trunk)
        hparams |= {"block_count": trunk, "nextn_predict_layers": 0}
    return quantise(model.architecture, hparams, tensors, recipe)


@lru_cache(maxsize=64)
def weights_answer(model: Model, recipe: Recipe, mtp: bool | None) -> WeightsAnswer:
    """Sizes of the stored tensors, in all and by type."""
    tensors = stored_tensors(model, recipe, mtp)
    count: Counter[str] = Counter()
    nbytes: Counter[str] = Counter()
    for tensor in tensors:
        count[tensor.type] += 1
        nbytes[tensor.type] += tensor.nbytes
    as_stored = recipe.name == FILE
    return WeightsAnswer(
        tensor_bytes=sum(nbytes.values()),
        file_bytes=model.file_bytes if as_stored and model.file_bytes else None,
        parameters=sum(t.elements for t in tensors),
        by_type={kind: (count[kind], nbytes[kind]) for kind in sorted(nbytes, key=lambda k: -nbytes[k])},
        recipe=recipe.full_name,
        rules=None if as_stored else recipe.rules,
        imatrix=recipe.imatrix,
        basis="file" if as_stored and model.basis == "file" else "rule",
    )


def data_bytes(tensors: tuple[Tensor, ...]) -> int:
    """Bytes of the data section of a file: every tensor padded to 32."""
    return sum(pad(t.nbytes, FILE_ALIGNMENT) for t in tensors)
