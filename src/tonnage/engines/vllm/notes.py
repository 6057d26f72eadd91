"""What a careful person would add to an answer about vLLM."""

from collections.abc import Iterator, Sequence

from tonnage.engines.torch.weights import RankWeights
from tonnage.engines.vllm.capacity import Pool
from tonnage.engines.vllm.pages import SLIDING, STATE
from tonnage.engines.vllm.settings import Settings
from tonnage.hardware.devices import find_all
from tonnage.hardware.types import Budget
from tonnage.model.types import Model
from tonnage.question import Question


def notes(
    question: Question, model: Model, settings: Settings, pool: Pool, weights: Sequence[RankWeights], gpus: Sequence[Budget]
) -> tuple[str, ...]:
    """In the order of what matters most."""
    return tuple(_notes(question, model, settings, pool, weights, gpus))


def _notes(question: Question, model: Model, settings: Settings, pool: Pool, weights: Sequence[RankWeights], gpus: Sequence[Budget]) -> Iterator[str]:
    yield from model.notes if model.basis == "assumed" else ()
    if any(gpu.usable_bytes for gpu in gpus):
        yield f"vLLM takes {settings.utilization:g} of each device whatever the model needs, and what is left of that is cache."
    if not settings.build.sampler_proven:
        yield f"The activation peak is reckoned, no log of vLLM {settings.build.name} confirms it; fewer --max-num-seqs lower it the most."
    if any(group.page.kind == STATE for group in pool.layout.groups):
        least = len(pool.layout.groups)
        yield f"A request holds at least {least} blocks of {pool.layout.block:,} tokens, however short it is, since states and keys share one pool."
    if any(group.page.kind == SLIDING for group in pool.layout.groups):
        yield f"Sliding layers keep {settings.in_flight:,} tokens in flight besides their window: fewer --max-num-batched-tokens give more cache."
    if any(rank.uncertain for rank in weights):
        yield "Experts are counted with the padding of the Marlin kernel; other kernels pad otherwise."
    if any(rank.assumed_vision for rank in weights):
        yield "The vision tower's shape is not known: its published size is taken as shared out evenly."
    if settings.mtp:
        yield f"The model drafts {settings.drafted} token ahead with its own block of multi-token prediction."
    elif settings.drafted:
        yield "The draft model of speculative decoding is not counted; its tokens are."
    idle = len(find_all(question.device or ())) - len(gpus)
    if idle > 0:
        yield f"{idle} of the devices that are named stay idle."
