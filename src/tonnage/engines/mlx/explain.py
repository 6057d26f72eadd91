"""Why a part has its size: the rule of mlx-lm with this question's numbers put in."""

from tonnage.answer import Explanation
from tonnage.engines.formulas import Formulas, explained
from tonnage.engines.mlx import answer
from tonnage.model.types import Model
from tonnage.question import Question

FORMULAS: Formulas = {
    "weights": ("weights", "bits per weight and 32 more per group, embedding and head too; norms in BF16; no vision tower"),
    "kv": ("keys and values", "KV heads x head x tokens, rounded up to 256; sliding layers window + chunk - 1"),
    "state": ("states", "channels x (taps - 1) x 2 bytes, and 4 bytes per element of states"),
    "activations": ("the last chunk of the prompt", "tokens of a chunk x 2 x (logits + 4 x hidden)"),
}


def explain(question: Question, model: Model, part: str) -> Explanation:
    """The explanation of `part`; QuestionError with the nearest names for a part there is none of."""
    return explained(FORMULAS, part, lambda: answer(question, model))
