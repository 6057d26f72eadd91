"""What llama.cpp's own `--fit` decides: the context, layers and experts that it sets where they are not given.

Source: common/fit.cpp of build 11434, its steps in their order and with its whole numbers. Each of its
measurements is a load without allocation; here it is this project's own arithmetic, in the view that such a load has.
"""

from collections.abc import Sequence

from tonnage.engines.llamacpp.fit.context import shrink
from tonnage.engines.llamacpp.fit.dense import fill
from tonnage.engines.llamacpp.fit.experts import convert
from tonnage.engines.llamacpp.fit.fitted import Fitted, GaveUpError, question_of
from tonnage.engines.llamacpp.fit.gauge import projector_memory
from tonnage.engines.llamacpp.fit.search import AS_ASKED, Search
from tonnage.engines.llamacpp.fit.shares import ALL_EXPERTS, Flags, flags_of
from tonnage.engines.llamacpp.settings import resolve
from tonnage.errors import QuestionError
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question

LEAST_CONTEXT = 4096
"""-fitc: --fit takes no less context per stream"""

__all__ = ["Fitted", "fit", "question_of"]


def fit(
    question: Question,
    model: Model,
    free_bytes: Sequence[int],
    margin_bytes: int | Sequence[int] | None = None,
    *,
    attached: Attached = NOTHING,
    ram_bytes: int | None = None,
    least_context: int = LEAST_CONTEXT,
) -> Fitted:
    """The flags that `--fit` would set on GPUs with so much free memory, as the driver reports it.

    `margin_bytes` is -fitt, for every device or for each; None takes the question's, else the build's.
    `least_context` is -fitc. Where there is no GPU, `ram_bytes` counts: all of the host's memory, None for no limit.
    The context is --fit's to choose where the question gives neither `context` nor `n_ctx`.
    Raises QuestionError where the question itself has no answer.
    """
    margins = _margins(question, model, free_bytes, margin_bytes, attached)
    search = Search(question, model, free_bytes, margins, ram_bytes, attached)
    flags, reason = AS_ASKED, None
    try:
        flags = _steps(search, least_context)
    except GaveUpError as why:
        reason = str(why)
        search.note(f"gives up: {reason}")
    moved = flags != AS_ASKED
    return Fitted(
        n_ctx=search.n_ctx,
        keeps_n_ctx=not search.chooses_context,
        gpu_layers=flags.gpu_layers if moved else None,
        tensor_split=flags.tensor_split,
        override_tensor=flags.override_tensor,
        used_bytes=search.measured(flags),
        steps=tuple(search.steps),
        reason=reason,
    )


def _margins(
    question: Question, model: Model, free_bytes: Sequence[int], margin: int | Sequence[int] | None, attached: Attached
) -> tuple[int, ...]:
    """What is to stay free in each place; llama-server adds its projector to it."""
    if margin is None:
        margin = resolve(question, model).build.fit_margin_bytes if question.margin is None else question.margin
    places = max(len(free_bytes), 1)
    margins = [margin] * places if isinstance(margin, int) else list(margin)
    if len(margins) != places:
        raise QuestionError(f"margin has {len(margins)} sizes for {places} devices: give one, or one for each")
    if attached.projector and free_bytes:
        for device, nbytes in projector_memory(question, model, free_bytes, attached).items():
            margins[device] += nbytes
    return tuple(margins)


def _steps(search: Search, least_context: int) -> Flags:
    """The four steps."""
    if search.question.split_mode == "tensor":
        raise GaveUpError("llama_params_fit is not implemented for SPLIT_MODE_TENSOR, abort")
    totals = search.totals(f"as asked, {search.n_ctx:,} tokens")
    if all(total <= target for total, target in zip(totals, search.targets, strict=True)):
        search.note("the margin is kept everywhere: nothing is changed")
        return AS_ASKED
    if sum(totals) > sum(search.targets) and search.chooses_context and shrink(search, least_context):
        return AS_ASKED
    _refuse(search)
    room = _room_for_experts(search) if search.experts else 0
    filled = fill(search)
    shares, _ = convert(search, filled) if room > 0 else filled
    return flags_of(shares, search.blocks)


def _refuse(search: Search) -> None:
    """What the user set is left alone, and ends the search."""
    asked = search.question
    if not search.devices:
        raise GaveUpError("was unable to fit model into system memory by reducing context, abort")
    if asked.gpu_layers not in (None, -1):
        raise GaveUpError(f"n_gpu_layers already set by user to {asked.gpu_layers}, abort")
    if search.devices > 1 and any(asked.tensor_split or ()):
        raise GaveUpError("model_params::tensor_split already set by user, abort")
    if asked.override_tensor or asked.cpu_moe or asked.n_cpu_moe:
        raise GaveUpError("model_params::tensor_buft_overrides already set by user, abort")


def _room_for_experts(search: Search) -> int:
    """What stays free on all devices together with every expert on the host."""
    totals = search.totals("all experts on the host", AS_ASKED._replace(override_tensor=f"{ALL_EXPERTS}=CPU"))
    return sum(search.targets) - sum(totals)
