"""One question asked of every engine: what each needs, what it takes, and what capacity that gives. Pure."""

from collections.abc import Iterable

from tonnage.answer import Estimate
from tonnage.errors import QuestionError, TonnageError, nearest
from tonnage.estimation import ENGINES, judged
from tonnage.frozen import dataclass, replace
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question
from tonnage.verdict import slack

MOST_USERS = 256


@dataclass(frozen=True, slots=True)
class Row:
    """An engine and its answer, or why there is none. Bytes are of the device that has the least room."""

    engine: str
    answer: Estimate | None
    why: str = ""
    needed_bytes: int | None = None
    taken_bytes: int | None = None
    """what the engine takes from the start, whatever it needs"""
    kv_tokens: int | None = None
    users: int | None = None
    """requests of the whole context at a time; None where no device has a limit"""


def engines_of(asked: str | Iterable[str]) -> tuple[str, ...]:
    """The engines that are named, one by one or separated by commas; all where none is. QuestionError for one that is not known."""
    words = asked.split(",") if isinstance(asked, str) else asked
    names = tuple(name.strip().lower() for name in words if name.strip())
    for name in names:
        if name not in ENGINES:
            raise QuestionError(f"engines={name!r}: known are {', '.join(ENGINES)}", nearest(name, ENGINES))
    return names or tuple(ENGINES)


def compare(question: Question, model: Model, attached: Attached = NOTHING, engines: Iterable[str] = tuple(ENGINES)) -> tuple[Row, ...]:
    """A row for every engine, in their order."""
    return tuple(_row(replace(question, engine=engine), model, attached) for engine in engines)


def _row(question: Question, model: Model, attached: Attached) -> Row:
    engine = str(question.engine)
    try:
        found = judged(question, model, attached)
    except TonnageError as error:
        return Row(engine, None, str(error))
    gpu = max((device for device in found.devices if device.kind != "host"), key=lambda d: d.total_bytes, default=found.devices[-1])
    if found.capacity:
        taken = [nbytes for nbytes in found.capacity.get("taken_bytes", ()) if nbytes is not None]
        replicas = int(found.capacity.get("replicas") or 1)
        times = found.capacity["concurrency"]
        users = None if times is None else int(times) * replicas
        return Row(engine, found, "", gpu.total_bytes, max(taken, default=None), found.capacity["kv_tokens"], users)
    users = _most_users(question, model, attached, found)
    tokens = users * int(found.question["context"]) if users is not None else None
    return Row(engine, found, "", gpu.total_bytes, gpu.total_bytes, tokens, users)


def _most_users(question: Question, model: Model, attached: Attached, found: Estimate) -> int | None:
    """The most users whose need fits, of engines that take what they need; None without a limit."""
    margin = int(found.question.get("margin") or 0)
    if slack(found.devices, margin) is None:
        return None

    def fits(users: int) -> bool:
        return (slack(judged(replace(question, users=users), model, attached).devices, margin) or 0) >= 0

    if not fits(1):
        return 0
    low, high = 1, 2
    while high <= MOST_USERS and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle <= MOST_USERS and fits(middle) else (low, middle)
    return low
