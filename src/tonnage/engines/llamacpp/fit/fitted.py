"""What --fit ends with, and why it may end early."""

from tonnage.frozen import dataclass, replace
from tonnage.question import Question


@dataclass(frozen=True, slots=True)
class Fitted:
    """The flags that `--fit` sets; None is what it leaves as it was asked."""

    n_ctx: int
    """-c: cells of all slots together"""
    keeps_n_ctx: bool
    """the context is the one that was asked for"""
    gpu_layers: int | None
    tensor_split: tuple[int, ...] | None
    """layers of each device, the output layer counted; None also on one device"""
    override_tensor: str | None
    """tensors that leave their layer's device, as --fit writes the patterns"""
    used_bytes: tuple[int, ...] | None
    """what --fit last measured of this plan on each device; None where it was not measured"""
    steps: tuple[str, ...]
    """what was tried, in order, in words"""
    reason: str | None = None
    """why --fit gave up; llama.cpp then goes on with what stands here, and may run out of memory"""

    @property
    def success(self) -> bool:
        """Whether --fit reports that it found a plan."""
        return self.reason is None


class GaveUpError(Exception):
    """--fit stops without a plan; the message is its reason."""


def question_of(fitted: Fitted, question: Question) -> Question:
    """The question with what --fit sets filled in: `estimate` then answers what is really allocated."""
    n_ctx = question.n_ctx if fitted.keeps_n_ctx else fitted.n_ctx
    if fitted.gpu_layers is None:
        return replace(question, n_ctx=n_ctx)
    split = None if fitted.tensor_split is None else tuple(float(layers) for layers in fitted.tensor_split)
    return replace(question, n_ctx=n_ctx, gpu_layers=fitted.gpu_layers, tensor_split=split, override_tensor=fitted.override_tensor)
