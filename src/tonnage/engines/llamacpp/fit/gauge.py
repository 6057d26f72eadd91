"""What --fit measures: the memory of a placement, as it sees it."""

from collections.abc import Sequence
from typing import NamedTuple

from tonnage.engines.llamacpp import drafter
from tonnage.engines.llamacpp.cache import cache_by_device
from tonnage.engines.llamacpp.compute import compute_by_device
from tonnage.engines.llamacpp.extras import attached_parts, draft_parts
from tonnage.engines.llamacpp.placement import HOST, place
from tonnage.engines.llamacpp.settings import resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.engines.llamacpp.weights import weights_by_device
from tonnage.frozen import replace
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question


class Memory(NamedTuple):
    """Bytes on one device."""

    model: int
    context: int
    compute: int

    @property
    def total(self) -> int:
        """All three."""
        return self.model + self.context + self.compute


def memory(question: Question, model: Model, free_bytes: Sequence[int]) -> tuple[Memory, ...]:
    """Memory of every device under the question's placement, the host last, as a load without allocation reports it.

    Nothing that a server adds later is in it: no adapters, no output buffer of the host, no projector.
    """
    settings = resolve(question, model)
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)
    placement = place(question, model, free_bytes)
    weights = weights_by_device(model, tensors, placement, bool(settings.n_draft))
    cached = cache_by_device(model, settings, placement)
    computed = compute_by_device(model, tensors, settings, placement, as_fit_sees_it=True)
    return tuple(
        Memory(weights.get(d, 0), sum(n for (_, device), n in cached.items() if device == d), computed[d].bytes if d in computed else 0)
        for d in (*range(len(free_bytes)), HOST)
    )


def draft_memory(question: Question, model: Model, free_bytes: Sequence[int], attached: Attached = NOTHING) -> dict[int, int]:
    """A draft model, or cache and compute of the model's own prediction block, which --fit adds to each measurement.

    It is laid out by the free memory of the devices, whatever split of the model is tried.
    """
    if attached.draft is not None:
        return _second_model(question, model, free_bytes, attached)
    if not question.speculative:
        return {}
    settings = resolve(question, model)
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)
    default = place(replace(question, gpu_layers=None, tensor_split=None, override_tensor=None), model, free_bytes)
    found: dict[int, int] = {}
    for device, part in draft_parts(model, tensors, settings, default):
        # its weights are the main model's, and counted there
        found[device] = found.get(device, 0) + (part.bytes if part.why != "draft" else 0)
    return found


def _second_model(question: Question, model: Model, free_bytes: Sequence[int], attached: Attached) -> dict[int, int]:
    found: dict[int, int] = {}
    for device, part in drafter.parts(replace(question, tensor_split=None), resolve(question, model), attached, free_bytes):
        found[device] = found.get(device, 0) + part.bytes
    return found


def projector_memory(question: Question, model: Model, free_bytes: Sequence[int], attached: Attached) -> dict[int, int]:
    """The projector, by which llama-server raises the margin of its device."""
    settings, placement = resolve(question, model), place(question, model, free_bytes)
    found: dict[int, int] = {}
    for device, part in attached_parts(attached, settings, placement):
        if part.part == "projector":
            found[device] = found.get(device, 0) + part.bytes
    return found
