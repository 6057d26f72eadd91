"""`tonnage explain`: why a part has its size."""

from tonnage.errors import QuestionError, TonnageError
from tonnage.estimation import explain
from tonnage.question import of_pairs, to_dict
from tonnage.source import open_question
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.terminal import style_of


def run(call: Call) -> int:
    """Explain the part that the last word names."""
    if not call.words:
        raise QuestionError(f"usage: tonnage {call.verb.name} {call.verb.usage}")
    part = call.words[-1].lower().replace("-", "_")
    pairs = pairs_of(call._replace(words=call.words[:-1]))
    try:
        question, model, _ = open_question(of_pairs(pairs), call.access)
        told = explain(question, model, part)
    except TonnageError as error:
        if call.format == "json":
            from tonnage.render import json as form

            call.print(form.dumps(form.error(dict(pairs), error)))
        raise
    if call.format == "json":
        from tonnage.render import json as form

        call.print(form.dumps(form.explanation(to_dict(question), part, told)))
    else:
        from tonnage.render.text import explanation

        call.print(explanation(told, style_of(call)))
    return 0
