"""What vLLM does for one token, stage by stage."""

from tonnage.engines.torch.frame import weights_answer
from tonnage.engines.torch.work import Runs, work_of
from tonnage.engines.vllm.pages import state_bytes
from tonnage.engines.vllm.settings import resolve
from tonnage.model.types import Model
from tonnage.question import Question
from tonnage.work import Work


def work(question: Question, model: Model) -> Work:
    """The work of a token for the question's settings, at its depth."""
    settings = resolve(question, model)
    stored = weights_answer(model, settings.storage, ())
    return work_of(
        question,
        model,
        Runs(
            engine="vllm",
            storage=settings.storage,
            ranks=settings.ranks,
            users=settings.users,
            kv_bits=8 * settings.kv_bytes,
            ubatch=settings.batched_tokens,
            state=lambda mixer: state_bytes(model, mixer, settings),
            file_bytes=stored.file_bytes or stored.tensor_bytes,
            drafted=settings.drafted,
            mtp=settings.mtp,
            looks_up="ngram" in (question.speculative or "").lower(),
        ),
    )
