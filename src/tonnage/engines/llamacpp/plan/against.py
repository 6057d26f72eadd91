"""What a plan changes against llama.cpp's own --fit, and why."""

from tonnage.engines.llamacpp import gpus_of
from tonnage.engines.llamacpp.fit import Fitted, fit, question_of
from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan.check import Checked, Task, check
from tonnage.engines.llamacpp.plan.words import in_ram
from tonnage.engines.llamacpp.settings import resolve, wanted_cells
from tonnage.frozen import replace
from tonnage.question import Question
from tonnage.units import GIB


def fitted(task: Task, *, keep_context: bool) -> tuple[Fitted, Checked]:
    """What --fit decides for the question, with its context given or left to it as it is asked; and what that really takes."""
    asked = replace(task.question, n_ctx=wanted_cells(task.question, task.model)) if keep_context else task.question
    decided = fit(asked, task.model, _free(asked, task), task.machine.margin, attached=task.attached)
    return decided, check(task, question_of(decided, asked))


def _free(question: Question, task: Task) -> list[int]:
    """What the driver reports of every GPU."""
    gpus = gpus_of(question, resolve(question, task.model))
    return [getattr(gpu, "free_bytes", None) or gpu.usable_bytes or 0 for gpu in gpus]


def against_fit(task: Task, ours: Checked) -> str:
    """The plan beside --fit with the same context, in a few sentences."""
    decided, theirs = fitted(task, keep_context=True)
    if not decided.success:
        return f"llama.cpp's --fit gives up with this context: {decided.reason}."
    ratio = theirs.seconds / ours.seconds
    told = f"By bytes read alone this plan is {ratio:.2f} times as fast as llama.cpp's --fit with the same context."
    return " ".join((told, _why(task, ours, theirs), _margins(task, theirs))).strip()


def _why(task: Task, ours: Checked, theirs: Checked) -> str:
    held = in_ram(task, theirs)
    if not held:
        return "--fit leaves nothing in RAM that a GPU could hold."
    from_ram, mine = (f"{checked.reads[HOST].total / GIB:.2f}" if HOST in checked.reads else "0.00" for checked in (theirs, ours))
    told = f"--fit leaves {held} in RAM"
    return f"{told}." if from_ram == mine else f"{told}, so that a token reads {from_ram} GiB from there instead of {mine}."


def _margins(task: Task, theirs: Checked) -> str:
    broken = [(d, over) for d, over in enumerate(theirs.over(task.machine)) if over > 0]
    return "".join(f" On GPU {d} it leaves {over / GIB:.2f} GiB less than the margin." for d, over in broken).strip()
