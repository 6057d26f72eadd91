"""llama.cpp: what it allocates for a question, by its own arithmetic."""

from collections.abc import Sequence

from tonnage.answer import Estimate, WeightsAnswer
from tonnage.engines.llamacpp.command import launch
from tonnage.engines.llamacpp.notes import notes
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
    fitted = any(part.part == "compute" and part.error for parts in lines.values() for part in parts)
    resolved, assumed = _resolved(question, model, settings, recipe.full_name)
    return Estimate(
        question=resolved,
        assumed=assumed,
        model=model,
        weights=weights_answer(model, recipe, question.mtp),
        devices=device_answers(lines, gpus, host_of(question, gpus), settings),
        engine=f"llama.cpp {settings.build.name}",
        command={"llama.cpp": launch(question, model, settings, recipe.full_name.replace("/", "-"), not gpus)},
        notes=(*attached.notes, *_of_draft(question, attached), *notes(question, model, tensors, settings, placement, gpus, fitted=fitted)),
        caches=caches(model, settings),
    )


def _of_draft(question: Question, attached: Attached) -> tuple[str, ...]:
    if attached.draft is None:
        return ()
    return (f"The memory of the draft model is not in this answer: `tonnage estimate {question.draft}` tells it.",)


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
        "context": min(context_of(question, model), settings.cells) if question.n_ctx is not None else context_of(question, model),
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
    return resolved, tuple(key for key in filled if key not in given)
