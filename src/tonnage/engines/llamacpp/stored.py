"""The tensors as they are stored: those of the file, or what the quantiser would write."""

from collections import Counter
from functools import lru_cache

from tonnage.answer import Band, WeightsAnswer
from tonnage.model.types import Model, Tensor
from tonnage.quant import filesize
from tonnage.quant.recipes import FILE, Recipe, parse, usual
from tonnage.quant.rules import quantise
from tonnage.question import Question


def recipe_of(question: Question, model: Model) -> Recipe:
    """The recipe asked for: as stored for a file, for a config its own or llama.cpp's usual one."""
    name = question.quant or (FILE if model.basis == "file" else _usual(model))
    return parse(
        name,
        rules=question.rules or "2026",
        imatrix=bool(question.imatrix),
        output_type=question.output_type,
        embedding_type=question.embedding_type,
    )


@lru_cache(maxsize=64)
def _usual(model: Model) -> str:
    return usual(tensor.type for tensor in model.tensors)


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
    file_bytes, file_error = _file_size(model, tensors, as_stored)
    return WeightsAnswer(
        tensor_bytes=sum(nbytes.values()),
        file_bytes=file_bytes,
        parameters=sum(t.elements for t in tensors),
        by_type={kind: (count[kind], nbytes[kind]) for kind in sorted(nbytes, key=lambda k: -nbytes[k])},
        recipe=recipe.full_name,
        rules=None if as_stored else recipe.rules,
        imatrix=recipe.imatrix,
        basis="file" if as_stored and model.basis == "file" else "rule",
        file_error=file_error,
    )


def _file_size(model: Model, tensors: tuple[Tensor, ...], as_stored: bool) -> tuple[int | None, Band | None]:
    """Bytes of the file: its own, or predicted with the band of its metadata; None where no file and no tokenizer is known."""
    if as_stored and model.file_bytes:
        return model.file_bytes, None
    predicted = None if model.basis == "assumed" else filesize.predict(model.architecture, tensors)
    return (predicted.bytes, Band(-predicted.doubt, predicted.doubt)) if predicted else (None, None)
