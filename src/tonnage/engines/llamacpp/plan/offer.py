"""What an answer adds where the question does not fit as it is asked: a plan, and settings that would fit."""

from tonnage.answer import Estimate, Verdict
from tonnage.engines.llamacpp.plan import plan
from tonnage.engines.llamacpp.plan.remedies import remedies
from tonnage.engines.llamacpp.plan.words import in_ram, short
from tonnage.frozen import replace
from tonnage.model.types import Attached, Model
from tonnage.question import Question
from tonnage.units import GIB

PLANNED = "llama.cpp, as planned"
"""the command of the plan, beside that of the question"""


def offered(question: Question, model: Model, attached: Attached, found: Estimate, verdict: Verdict, *, others: bool = True) -> Estimate:
    """The estimate with its verdict, a plan if there is one, and what else would fit. Placement must be free."""
    planned = plan(question, model, attached)
    settings = tuple(remedies(question, model, attached)) if others else ()
    if planned is None:
        if others:
            from tonnage.engines.llamacpp.plan.more import more  # it plans again: only where nothing else is left

            settings += tuple(more(question, model, attached))
            settings = settings or ("a larger machine: `tonnage fit` lists those that hold it",)
        return replace(found, verdict=replace(verdict, would_fit_with=settings))
    does = short(planned.task, planned.checked)
    text = f"{_gib(verdict.short_by_bytes)} short on the GPUs as asked; fits with {does}"
    word = "offload" if in_ram(planned.task, planned.checked) else verdict.word
    told = replace(verdict, word=word, text=text, would_fit_with=(does, *settings))
    command = {**found.command, PLANNED: planned.checked.estimate.command["llama.cpp"]}
    return replace(found, verdict=told, plan=planned.plan, command=command)


def _gib(nbytes: int) -> str:
    return f"{nbytes / GIB:.2f} GiB"
