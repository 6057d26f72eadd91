"""What SGLang does for one token, stage by stage."""

from tonnage.engines.sglang.pools import state_bytes
from tonnage.engines.sglang.settings import resolve
from tonnage.engines.torch.frame import weights_answer
from tonnage.engines.torch.work import Runs, work_of
from tonnage.model.types import Model
from tonnage.question import Question
from tonnage.work import Work

DRAFTED = 3
"""tokens drafted ahead where speculation is asked for: assumed, as the flag is not among the keys"""


def work(question: Question, model: Model) -> Work:
    """The work of a token for the question's settings, at its depth."""
    settings, kind = resolve(question, model), (question.speculative or "").lower()
    stored = weights_answer(model, settings.storage, ())
    return work_of(
        question,
        model,
        Runs(
            engine="sglang",
            storage=settings.storage,
            ranks=settings.ranks,
            users=settings.users,
            kv_bits=settings.kv_bits,
            ubatch=settings.chunk,
            state=lambda mixer: state_bytes(model, mixer, settings),
            file_bytes=stored.file_bytes or stored.tensor_bytes,
            drafted=DRAFTED if kind else 0,
            mtp=kind in ("mtp", "nextn"),
            looks_up="ngram" in kind,
        ),
    )
