"""`tonnage max-users`: how many requests at a time can each hold the context."""

from tonnage.question import of_pairs
from tonnage.solve import max_users
from tonnage.source import open_question
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.found import print_found


def run(call: Call) -> int:
    """Print the most users that fit."""
    opened = open_question(of_pairs(pairs_of(call)), call.access)
    found = max_users(opened.question, opened.model, opened.attached)
    return print_found(call, opened, "context", "users", [(f"{found.answer.question['context']:,}", found)])
