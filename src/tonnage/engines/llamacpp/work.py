"""What llama.cpp does for one token, device by device."""

from collections import Counter
from collections.abc import Iterator, Mapping

from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.build import build_of
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.reads import Reads, WeightsRead, is_expert, reads_by_device, weights_read
from tonnage.engines.llamacpp.same import Same
from tonnage.engines.llamacpp.settings import Settings
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors, weights_answer
from tonnage.model.active import attention_widths, expert_share
from tonnage.model.types import Model, Tensor
from tonnage.question import Question
from tonnage.work import Attention as Seen
from tonnage.work import Draft, Place, Work


def work(question: Question, model: Model) -> Work:
    """The work of a token for the question's settings and placement, at its depth."""
    settings, placement = placement_of(question, model)
    recipe = recipe_of(question, model)
    tensors = stored_tensors(model, recipe, question.mtp)
    depth = question.depth or 0
    read = weights_read(model, Same(tensors), placement)
    return Work(
        places=tuple(_places(model, read, reads_by_device(model, tensors, settings, placement, depth), placement)),
        depth=depth,
        expert_share=expert_share(model),
        attention=tuple(Seen(*kind) for kind in attention_widths(model)),
        is_f16=2 * sum(on_one.wide for on_one in read.values()) > sum(on_one.stored for on_one in read.values()),
        ubatch=settings.ubatch,
        file_bytes=_file_bytes(question, model) or weights_answer(model, recipe, question.mtp).tensor_bytes,
        mapped=settings.mmap,
        offloads=settings.op_offload and placement.devices > 0,
        draft=_draft(model, tensors, settings, placement),
        users=question.users or question.slots or 1,
    )


def _file_bytes(question: Question, model: Model) -> int | None:
    return model.file_bytes if question.quant in (None, "file") else None


def _places(model: Model, read: Mapping[int, WeightsRead], reads: dict[int, Reads], placement: Placement) -> Iterator[Place]:
    blocks = Counter(placement.layers[i] for i, layer in enumerate(model.layers) if not layer.nextn)
    for device in sorted(reads.keys() | blocks.keys()):
        one, weights = reads.get(device, Reads()), read.get(device, WeightsRead())
        if one.total or blocks[device]:
            yield Place(device, one.dense, one.experts, one.kv, one.state, blocks[device], weights.parameters, weights.stored)


def _draft(model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement) -> Draft | None:
    """One block of prediction and the output for each drafted token."""
    if not settings.n_draft:
        return None
    first = len(model.layers) - model.n_nextn
    block = sum(_read_of_draft(model, tensor) for tensor in tensors if tensor.block == first)
    sizes = {tensor.name: tensor.nbytes for tensor in tensors if tensor.name in ("output.weight", "token_embd.weight")}
    output = sizes.get("output.weight") or sizes.get("token_embd.weight", 0)
    return Draft(settings.n_draft, block + output, 1, placement.output if placement.devices else HOST)


def with_draft(found: Work, question: Question, draft: Model) -> Work:
    """The same with a smaller model that drafts: it lies on the device of the output, and sees the same depth."""
    alone = Question(model=question.draft or "", backend=question.backend, depth=question.depth, context=question.context)
    build = build_of(question.engine_version)
    reads = work(alone, draft)
    device = max(place.device for place in found.places)
    return found._replace(draft=Draft(build.n_draft, reads.bytes, sum(place.layers for place in reads.places), device))


def _read_of_draft(model: Model, tensor: Tensor) -> int:
    """The head's own experts are as many as a trunk block's."""
    return int(tensor.nbytes * expert_share(model)) if is_expert(tensor) else tensor.nbytes
