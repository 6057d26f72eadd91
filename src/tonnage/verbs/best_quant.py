"""`tonnage best-quant`: the recipe that keeps the most bits of those that fit."""

from tonnage.question import of_pairs
from tonnage.solve import best_quant
from tonnage.source import open_question
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.found import print_found


def run(call: Call) -> int:
    """Print the best recipe."""
    opened = open_question(of_pairs(pairs_of(call)), call.access)
    found = best_quant(opened.question, opened.model, opened.attached)
    return print_found(call, opened, "context", "quant", [(f"{found.answer.question['context']:,}", found)])
