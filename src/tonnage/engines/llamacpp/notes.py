"""What a careful person would add to an answer."""

from collections.abc import Iterator, Sequence

from tonnage.engines.llamacpp.compute.constants import SPARSE
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.runtime import HIGH, LOW, runtime_part
from tonnage.engines.llamacpp.settings import UNPROVEN_BACKENDS, Settings, context_of
from tonnage.engines.llamacpp.stored import recipe_of
from tonnage.frozen import replace
from tonnage.hardware.types import Budget
from tonnage.model.types import Attached, Attention, Model, Recurrent, Tensor
from tonnage.question import Question
from tonnage.units import GIB


def notes(
    question: Question,
    model: Model,
    tensors: tuple[Tensor, ...],
    settings: Settings,
    placement: Placement,
    gpus: Sequence[Budget] = (),
    *,
    fitted: bool = False,
) -> tuple[str, ...]:
    """One sentence each, the most surprising first; `fitted` says that the compute buffer has a band."""
    return (
        *_context(question, model, settings),
        *_slots(settings),
        *_weights(model, tensors, settings, placement),
        *_caches(model, settings, fitted),
        *_devices(gpus),
        *_machines(gpus),
        *_margin(settings, gpus),
        *_backend(settings),
        *model.notes,
    )


MOST_UNLIKE = 128
"""tokens by which the vocabularies of a model and its draft may differ in size (common/speculative.cpp)"""


def draft_notes(question: Question, model: Model, attached: Attached) -> Iterator[str]:
    """What there is to say of a second model that drafts."""
    draft = attached.draft
    if draft is None:
        return
    if draft.n_vocab and model.n_vocab and abs(draft.n_vocab - model.n_vocab) > MOST_UNLIKE:
        yield f"llama.cpp refuses this draft: it knows {draft.n_vocab:,} tokens and the model {model.n_vocab:,}, {MOST_UNLIKE} apart at most."
    recipe = recipe_of(replace(question, quant=attached.draft_quant), draft).full_name
    stored = "as in its file" if recipe == "file" else f"in {recipe}"
    yield f"{draft.name} {stored} drafts: all its layers on GPUs, its cache in f16."


def _context(question: Question, model: Model, settings: Settings) -> Iterator[str]:
    asked = question.n_ctx or context_of(question, model)
    per_slot = settings.cells
    if per_slot > model.context:
        yield f"{per_slot:,} tokens is above the {model.context:,} that the model was trained for: it needs rope scaling (--rope-scaling yarn)."
    if question.n_ctx is not None and question.context is not None:
        yield f"n_ctx wins over context: each slot gets {per_slot:,} tokens."
    elif not settings.unified and per_slot * (question.users or 1) != asked:
        yield f"Each of the {settings.slots} slots gets {per_slot:,} tokens of the {settings.n_ctx:,}."


def _slots(settings: Settings) -> Iterator[str]:
    if settings.unified and settings.slots > 1:
        yield (
            f"llama-server runs {settings.slots} slots that share one cache: one request can fill it, {settings.slots} at a time share it. "
            "-np 1 drops the state of the other slots."
        )


def _weights(model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement) -> Iterator[str]:
    if not placement.devices:
        return
    embedding = next((t for t in tensors if t.name == "token_embd.weight"), None)
    if embedding is not None and placement.override(embedding.name) is None:
        tied = not any(t.name == "output.weight" for t in tensors)
        more = ", and once more on the GPU as the output matrix" if tied and placement.output != HOST else ""
        yield f"The token embedding ({embedding.nbytes:,} bytes) stays in host memory{more}."
    trunk = len(model.layers) - model.n_nextn
    # the blocks of prediction come last
    if model.n_nextn and not settings.n_draft and any(t.block is not None and t.block >= trunk for t in reversed(tensors)):
        yield "The multi-token-prediction block is in the file but is not loaded; --speculative mtp counts it."


def _caches(model: Model, settings: Settings, fitted: bool) -> Iterator[str]:
    mixers = [m for layer in model.layers if not layer.nextn for m in layer.mixers]
    growing = sum(not isinstance(m, Recurrent) and not (isinstance(m, Attention) and (m.window or m.kv_layer is not None)) for m in mixers)
    if growing < len(mixers):
        yield f"Only {growing} of {len(mixers)} layers have a cache that grows with the context."
    if fitted and model.architecture in SPARSE:
        yield "Sparse attention: the compute buffer is known to a wide band only."
    if settings.swa_full and not any(isinstance(m, Attention) and m.window for m in mixers):
        yield "swa_full changes nothing: the model has no sliding-window layers."


def _devices(gpus: Sequence[Budget]) -> Iterator[str]:
    for name, others in {gpu.name: gpu.device.instead_of for gpu in gpus}.items():
        if others:
            yield f"{name} is meant; the same words may mean {' or '.join(others)}."


def _machines(gpus: Sequence[Budget]) -> Iterator[str]:
    if sum(gpu.kind == "unified" for gpu in gpus) > 1:
        yield (
            "Each unified memory is a machine of its own: rpc-server runs on the others, and --rpc HOST:50052 names them. "
            "The host is one of them; the network's time is not counted."
        )


def _margin(settings: Settings, gpus: Sequence[Budget]) -> Iterator[str]:
    if gpus and any(runtime_part(gpu, settings.backend) is None for gpu in gpus):
        uncounted = "" if settings.backend == "metal" else f"Not counted: the CUDA context and libraries ({_gib(LOW)} to {_gib(HIGH)} GiB per GPU). "
        yield f"{uncounted}llama.cpp's own --fit keeps 1 GiB free per device."


def _gib(nbytes: int) -> str:
    return f"{nbytes / GIB:.2f}"


def _backend(settings: Settings) -> Iterator[str]:
    if settings.backend in UNPROVEN_BACKENDS:
        yield f"{settings.backend} is not proven: CUDA's rules are used, with a wider band."
