"""What `llama-fit-params -fitp on` would print: the engine's own view of weights, context and compute, and the words to ask it.

Source: tools/fit-params, common_fit_print in common/fit.cpp of build 11434. It measures without allocating, with
one slot and logits of a whole batch (the tools' profile); the output buffer is in none of its columns.
"""

import re
from typing import NamedTuple

from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.cache import cache_by_device
from tonnage.engines.llamacpp.command import options
from tonnage.engines.llamacpp.compute import compute_by_device
from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.settings import resolve, wanted_cells
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.engines.llamacpp.weights import weights_by_device
from tonnage.errors import QuestionError, SourceError
from tonnage.frozen import replace
from tonnage.model.types import Model
from tonnage.question import Question

PROGRAM = "llama-fit-params"
ENDLESS = "cuda:16777216MiB-free"
"""a device without a limit, for shares that are given"""


class Row(NamedTuple):
    """Bytes of one device, as the program's columns have them."""

    model: int
    context: int
    compute: int


def words_of(question: Question, model: Model, path: str) -> list[str]:
    """What the program is called with, for the file at `path`.

    Raises QuestionError for settings that it has no flag for.
    """
    question = of_the_tools(question)
    settings = resolve(question, model)
    if settings.unified and settings.slots > 1:
        raise QuestionError(f"kv_unified: {PROGRAM} has no -kvu; leave it out, or ask for one slot")
    words = ["-m", path, "-fitp", "on", "--no-repack", "-c", str(wanted_cells(question, model))]
    words += ["-np", str(settings.slots)] if settings.slots > 1 else []
    words += ["-ngl", str(question.gpu_layers)] if question.gpu_layers is not None and question.gpu_layers >= 0 else []
    return words + [word for option in options(question, settings) for word in option]


def of_the_tools(question: Question) -> Question:
    """The question as the program measures it: the tools' profile."""
    if question.profile == "server":
        raise QuestionError(f"profile=server: {PROGRAM} measures the tools' profile alone, with logits of a whole batch")
    return replace(question, profile="tools")


def parse(printed: str) -> dict[str, Row]:
    """Device -> its columns in bytes, whole MiB; `Host` last. SourceError where no line is one of them."""
    rows = re.findall(r"^(\S+) (\d+) (\d+) (\d+) *$", printed, re.MULTILINE)
    if not rows or rows[-1][0] != "Host":
        raise SourceError(f"{PROGRAM} printed no table of devices: {printed.strip()[-120:]!r}")
    return {name: Row(*(2**20 * int(n) for n in numbers)) for name, *numbers in rows}


def predicted(question: Question, model: Model, devices: int) -> list[Row]:
    """Our own figures in the program's view: GPUs in order, the host last."""
    asked = _on(of_the_tools(question), devices)
    settings, placement = placement_of(asked, model)
    tensors = stored_tensors(model, recipe_of(asked, model), asked.mtp)
    weights = weights_by_device(model, tensors, placement, False)
    cache = cache_by_device(model, settings, placement)
    compute = compute_by_device(model, tensors, settings, placement, as_fit_sees_it=True)
    return [
        Row(weights.get(d, 0), sum(n for (_, device), n in cache.items() if device == d), compute[d].bytes if d in compute else 0)
        for d in (*range(placement.devices), HOST)
    ]


def _on(question: Question, devices: int) -> Question:
    """The question on as many GPUs as the program found."""
    if not devices:
        return replace(question, backend="cpu", device=None)
    if question.device is None and devices > 1:
        if question.tensor_split is None:
            raise QuestionError(f"{PROGRAM} found {devices} GPUs, which share layers by their free memory: name them with --device, or give -ts")
        return replace(question, device=(ENDLESS,) * devices)
    return question
