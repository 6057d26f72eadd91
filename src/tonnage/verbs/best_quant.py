"""`tonnage best-quant`: the recipe that keeps the most bits of those that fit."""

from collections.abc import Iterator

from tonnage.frozen import replace
from tonnage.quant.recipes import usual
from tonnage.question import of_pairs
from tonnage.solve import Found, best_quant, in_ram
from tonnage.source import Opened, open_question
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.found import everything_on, print_found

FEW_BITS = 4.5
"""bits per weight below which it is worth a word that more bits fit with a part of the model in RAM"""


def run(call: Call) -> int:
    """Print the best recipe."""
    opened = open_question(of_pairs(pairs_of(call)), call.access)
    found = best_quant(opened.question, opened.model, opened.attached)
    return print_found(call, opened, "context", "quant", [(f"{found.answer.question['context']:,}", found)], list(_more(opened, found)))


def _more(opened: Opened, found: Found) -> Iterator[str]:
    """What parts in RAM would make of few bits."""
    recipe = usual(tensor.type for tensor in opened.model.tensors)
    if found.answer.weights.bits_per_weight < FEW_BITS and found.value != recipe:
        words = in_ram(replace(opened.question, quant=recipe), opened.model, opened.attached)
        if words:
            yield f"{everything_on(found)} With {words} {recipe} fits: `tonnage plan` finds the best way."
