"""llama.cpp: what it allocates for a question, by its own arithmetic."""

from collections.abc import Mapping, Sequence

from tonnage.answer import Estimate, Part, WeightsAnswer
from tonnage.engines.llamacpp.command import launch
from tonnage.engines.llamacpp.notes import draft_notes, notes
from tonnage.engines.llamacpp.parts import device_answers, host_of, parts_by_device
from tonnage.engines.llamacpp.placement import HOST, Placement, place
from tonnage.engines.llamacpp.settings import Settings, context_of, resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors, weights_answer
from tonnage.engines.llamacpp.summary import caches
from tonnage.engines.llamacpp.weights import weights_by_device
from tonnage.hardware.types import Budget, Device
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question

ONE_GPU = Budget(Device(name="GPU"), None, None, None)
"""what is answered for where no device is named: one GPU without a limit"""


def answer(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """The estimate of a question; every error of the project may be raised."""
    settings = resolve(question, model)
    gpus = gpus_of(question, settings)
    recipe = recipe_of(question, model)
    tensors = stored_tensors(model, recipe, question.mtp)
    placement = place(question, model, [gpu.free_bytes or 1 for gpu in gpus])
    lines = parts_by_device(model, tensors, settings, placement, attached)
    if attached.draft is not None:
        lines = _with_draft(lines, question, settings, attached, [gpu.free_bytes or 0 for gpu in gpus])
    fitted = any(part.part == "compute" and part.error for parts in lines.values() for part in parts)
    resolved, assumed = _resolved(question, model, settings, recipe.full_name)
    return Estimate(
        question=resolved,
        assumed=assumed,
        model=model,
        weights=weights_answer(model, recipe, question.mtp),
        devices=device_answers(lines, gpus, host_of(question, gpus), settings),
        engine=f"llama.cpp {settings.build.name}",
        command={"llama.cpp": launch(question, model, settings, recipe.full_name.replace("/", "-"), not gpus, attached)},
        notes=(*attached.notes, *draft_notes(question, model, attached), *notes(question, model, tensors, settings, placement, gpus, fitted=fitted)),
        caches=caches(model, settings),
    )


def _with_draft(
    lines: Mapping[int, Sequence[Part]], question: Question, settings: Settings, attached: Attached, free_bytes: Sequence[int]
) -> Mapping[int, Sequence[Part]]:
    """The parts with those of a draft model, which is loaded into what the first one leaves free."""
    from tonnage.engines.llamacpp.drafter import parts

    left = [nbytes - sum(part.bytes for part in lines.get(i, ())) for i, nbytes in enumerate(free_bytes)]
    found = {device: list(of_device) for device, of_device in lines.items()}
    for device, part in parts(question, settings, attached, left):
        found.setdefault(device, []).append(part)
    return found


def weights_on_gpus(question: Question, model: Model) -> tuple[WeightsAnswer, int]:
    """The weights as stored, and the bytes that GPUs take for them: what `answer` says of them, without its other parts."""
    settings = resolve(question, model)
    gpus = gpus_of(question, settings)
    recipe = recipe_of(question, model)
    tensors = stored_tensors(model, recipe, question.mtp)
    placement = place(question, model, [gpu.free_bytes or 1 for gpu in gpus])
    sizes = weights_by_device(model, tensors, placement, False)
    return weights_answer(model, recipe, question.mtp), sum(nbytes for device, nbytes in sizes.items() if device != HOST)


def gpus_of(question: Question, settings: Settings) -> Sequence[Budget]:
    """The GPUs that the question names; none for the CPU backend, one without a limit where it names none."""
    if settings.backend == "cpu":
        return ()
    if not question.device:
        return (ONE_GPU,)
    from tonnage.hardware.budget import budgets_of  # not waited for where no device is named

    return budgets_of(question)


def placement_of(question: Question, model: Model) -> tuple[Settings, Placement]:
    """Settings and placement of a question, for explanations."""
    settings = resolve(question, model)
    return settings, place(question, model, [gpu.free_bytes or 1 for gpu in gpus_of(question, settings)])


def _context(question: Question, model: Model, settings: Settings) -> int:
    """Tokens that one request may hold: where -c itself is given, what a slot gets of it."""
    if question.n_ctx is None:
        return context_of(question, model)
    return settings.cells if question.context is None else min(context_of(question, model), settings.cells)


def _resolved(question: Question, model: Model, settings: Settings, recipe: str) -> tuple[dict[str, object], tuple[str, ...]]:
    """The question with its defaults filled in, and which of its keys were defaults."""
    from tonnage.question import to_dict

    given = to_dict(question)
    filled = {
        "model": question.model,
        "quant": recipe,
        "engine": "llama.cpp",
        "engine_version": settings.build.name,
        "backend": settings.backend,
        "context": _context(question, model, settings),
        "users": question.users or 1,
        "profile": settings.profile,
        "n_ctx": settings.n_ctx,
        "slots": settings.slots,
        "kv_unified": settings.unified,
        "batch": settings.batch,
        "ubatch": settings.ubatch,
        "flash_attn": "on" if settings.flash_attn else "off",
        "cache_type_k": settings.type_k,
        "cache_type_v": settings.type_v,
        "kv_offload": settings.kv_offload,
        "op_offload": settings.op_offload,
        "mmap": settings.mmap,
        "margin": settings.build.fit_margin_bytes if question.margin is None else question.margin,
    }
    if question.device:
        from tonnage.hardware.budget import os_of

        filled |= {"os": os_of(question), "display": bool(question.display)}
    resolved = {**given, **filled}
    assumed = tuple(key for key in filled if key not in given and not (key == "context" and question.n_ctx is not None))
    return resolved, assumed
