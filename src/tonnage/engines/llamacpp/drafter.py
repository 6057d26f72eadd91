"""A second model that drafts (`-md`): loaded behind the first, with the same cells, slots and batches, in what is then free.

Source: common/speculative.cpp of build 11434 (common_base_params_to_speculative, common_speculative_init_result).
"""

from collections.abc import Iterator, Mapping, Sequence

from tonnage.answer import Part
from tonnage.engines.llamacpp.cache import cache_by_device
from tonnage.engines.llamacpp.compute import compute_by_device
from tonnage.engines.llamacpp.output import output_bytes
from tonnage.engines.llamacpp.placement import HOST, Placement, place
from tonnage.engines.llamacpp.settings import Settings, resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.engines.llamacpp.weights import weights_by_device
from tonnage.frozen import replace
from tonnage.model.types import Attached, Model, Tensor
from tonnage.question import Question


def question_of(question: Question, settings: Settings, attached: Attached) -> Question:
    """The draft as a question of its own: all layers on GPUs, keys and values in f16, whatever is asked of the first model."""
    return replace(
        question,
        quant=attached.draft_quant,
        mtp=None,
        mmproj=None,
        lora=None,
        draft=None,
        speculative=None,
        context=None,
        users=None,
        n_ctx=settings.n_ctx,
        slots=settings.slots,
        kv_unified=settings.unified,
        gpu_layers=None,
        n_cpu_moe=None,
        cpu_moe=None,
        override_tensor=None,
        cache_type_k=None,
        cache_type_v=None,
    )


def parts(question: Question, settings: Settings, attached: Attached, free_bytes: Sequence[int]) -> Iterator[tuple[int, Part]]:
    """What the draft takes on every device, the host as -1, where so much is free on each GPU before it is loaded; nothing without a draft."""
    model = attached.draft
    if model is None:
        return
    asked = question_of(question, settings, attached)
    # a draft gives one row of logits for every slot, in any profile
    own = replace(resolve(asked, model), outputs=settings.slots)
    tensors = stored_tensors(model, recipe_of(asked, model), asked.mtp)
    placement = place(asked, model, [max(nbytes, 1) for nbytes in free_bytes])
    basis = "file" if model.basis == "file" and tensors is model.tensors else "rule"
    for device, nbytes in sorted(weights_by_device(model, tensors, placement, False).items()):
        yield device, Part("draft", nbytes, basis, None, "draft", _held(device, own, placement))
    for device, nbytes in sorted(_by_device(cache_by_device(model, own, placement)).items()):
        yield device, Part("draft", nbytes, "rule", None, "draft_kv", "gpu" if device != HOST else "allocated")
    yield from _computed(model, tensors, own, placement)


def _computed(model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement) -> Iterator[tuple[int, Part]]:
    """The graph's buffers, and the rows of logits that the host reads."""
    for device, computed in sorted(compute_by_device(model, tensors, settings, placement).items()):
        nbytes = computed.bytes + (output_bytes(model, settings) if device == HOST else 0)
        yield device, Part("draft", nbytes, computed.basis, computed.error, "draft_compute", "gpu" if device != HOST else _pinned(placement))


def _by_device(cached: Mapping[tuple[str, int], int]) -> dict[int, int]:
    """Cache and state together."""
    return {device: sum(n for (_, at), n in cached.items() if at == device) for _, device in cached}


def _held(device: int, settings: Settings, placement: Placement) -> str:
    return "gpu" if device != HOST else "mapped" if settings.mmap else _pinned(placement)


def _pinned(placement: Placement) -> str:
    return "pinned" if placement.devices else "allocated"
