"""`tonnage schema`: the contract, for programs."""

from tonnage import data
from tonnage.errors import QuestionError, nearest
from tonnage.verbs import Call

KINDS = ("question", "answer")


def run(call: Call) -> int:
    """Print the JSON Schema as it is packaged."""
    (kind,) = call.words_between(1, 1)
    if kind not in KINDS:
        raise QuestionError(f"no schema of {kind!r}: there are {' and '.join(KINDS)}", nearest(kind, KINDS))
    call.print(data.read(f"schema/{kind}.json").decode().rstrip("\n"))
    return 0
