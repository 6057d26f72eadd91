"""Why a part has its size: the rule of ExLlamaV3 with this question's numbers put in."""

from tonnage.answer import Explanation
from tonnage.engines.exllamav3 import answer
from tonnage.engines.formulas import Formulas, explained
from tonnage.model.types import Model
from tonnage.question import Question

FORMULAS: Formulas = {
    "weights": (
        "weights",
        "bits x outputs x inputs / 8, both padded to 128, and 2 bytes per output and input; head 6 bits; embedding in host memory",
    ),
    "kv": ("keys and values", "KV heads x head x tokens, in pages of 256, at 16 bits or bits + 0.5"),
    "state": ("states", "4 bytes per element, and the convolutions' tails"),
    "runtime": ("what is held besides", "fitted: peaks of ten public runs less the parts above"),
}


def explain(question: Question, model: Model, part: str) -> Explanation:
    """The explanation of `part`; QuestionError with the nearest names for a part there is none of."""
    return explained(FORMULAS, part, lambda: answer(question, model))
