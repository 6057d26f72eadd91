"""Why a part has its size: the rule of SGLang with this question's numbers put in."""

from tonnage.answer import Explanation
from tonnage.engines.formulas import Formulas, explained
from tonnage.engines.sglang import answer
from tonnage.model.types import Model
from tonnage.question import Question

FORMULAS: Formulas = {
    "weights": ("weights of every rank", "cut as vLLM cuts them: by heads and rows, vocabulary padded to 64"),
    "kv": ("keys and values of the question's requests", "users x (bytes a token of full layers x context + of sliding layers x (window + chunk))"),
    "state": ("states of the question's requests", "(3 x users with the radix cache, else users, + 1) x bytes of a request's states"),
    "runtime": ("context and buffers before the weights", "assumed: 0 to 1.5 GiB"),
}


def explain(question: Question, model: Model, part: str) -> Explanation:
    """The explanation of `part`; QuestionError with the nearest names for a part there is none of."""
    return explained(FORMULAS, part, lambda: answer(question, model), of_a_rank=True)
