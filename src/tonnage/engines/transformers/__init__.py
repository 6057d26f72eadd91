"""Transformers: weights, cache object and the prompt's peak on every device; or what fine-tuning takes."""

from tonnage.answer import Band, DeviceAnswer, Estimate, Part
from tonnage.engines.torch.frame import known, resolved, weights_answer
from tonnage.engines.transformers import training
from tonnage.engines.transformers.cache import cache_bytes, layer_bytes
from tonnage.engines.transformers.command import snippet
from tonnage.engines.transformers.command import training as training_command
from tonnage.engines.transformers.peak import activations
from tonnage.engines.transformers.settings import Settings, devices_of, resolve
from tonnage.engines.transformers.split import block_bytes, homes
from tonnage.hardware.budget import backend_of
from tonnage.hardware.types import Budget
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question
from tonnage.units import MIB

CONTEXT_BYTES, CONTEXT_BAND = 500 * MIB, (250 * MIB, 700 * MIB)
"""what CUDA's context and the libraries' workspaces take of a device: assumed, from none to twice"""


def answer(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """The estimate of a question; every error of the project may be raised."""
    settings, gpus = resolve(question, model), devices_of(question)
    plan = training.plan_of(question, settings.context, len(gpus)) if question.train else None
    if plan is None:
        lines, command = inference(model, settings, len(gpus)), snippet(model, settings)
    else:
        lines, command = [training.parts(model, settings.storage, plan)] * len(gpus), training_command(model, plan)
    filled, assumed = resolved(question, _filled(question, settings, plan))
    weights = weights_answer(model, settings.storage, ())
    devices = tuple(_device(model, gpu, parts) for gpu, parts in zip(gpus, lines, strict=True))
    engine = f"Transformers {settings.build.name}"
    notes = _notes(model, settings, plan)
    return Estimate(filled, assumed, model, weights, devices, engine, command={"transformers": command}, notes=notes, caches=_caches(model, settings))


def inference(model: Model, settings: Settings, devices: int) -> list[tuple[Part, ...]]:
    """Parts of every device, blocks shared out as `device_map="auto"` does."""
    before, blocks, after = block_bytes(model, settings.storage)
    places = homes(blocks, before, after, devices)
    weights, kv, state = [0] * devices, [0] * devices, [0] * devices
    for i, place in enumerate(places):
        grown, kept = layer_bytes(model, model.layers[i], settings.context, settings.build, prefilled=True)
        weights[place] += blocks[i]
        kv[place] += grown * settings.users
        state[place] += kept * settings.users
    weights[0] += before
    weights[places[-1]] += after
    found = []
    for i in range(devices):
        sizes = (("weights", weights[i]), ("kv", kv[i]), ("state", state[i]))
        exact = [Part(name, nbytes, "rule", None, name) for name, nbytes in sizes if nbytes]
        found.append((*exact, activations(model, settings)) if i in places else tuple(exact))
    return found


def _device(model: Model, gpu: Budget, parts: tuple[Part, ...]) -> DeviceAnswer:
    low, high = CONTEXT_BAND
    runtime = (Part("runtime", CONTEXT_BYTES, "assumed", Band(-low, high), "runtime"),) if gpu.device.is_known else ()
    return DeviceAnswer(gpu.name, gpu.kind, known(model, (*parts, *runtime)), gpu.capacity_bytes, gpu.usable_bytes, gpu.deductions)


def _caches(model: Model, settings: Settings) -> tuple[tuple[str, int, str], ...]:
    kv, state = cache_bytes(model, settings.context, settings.build)
    words = f"{kv:,} bytes of keys and values, {state:,} of states a sequence while it generates"
    return (("all layers", len(model.layers) - model.n_nextn, words),)


def _filled(question: Question, settings: Settings, plan: training.Plan | None) -> dict[str, object]:
    trained: dict[str, object] = {}
    if plan is not None:
        trained = {
            "sequence": plan.sequence,
            "micro_batch": plan.batch,
            "optimizer": plan.optimizer,
            "checkpointing": plan.checkpointing,
            "shard": plan.shard,
            "train_dtype": plan.dtype,
            "lora_rank": None if plan.kind == "full" else plan.rank,
        }
    return {
        "model": question.model,
        "quant": settings.storage.name,
        "engine": "transformers",
        "engine_version": settings.build.name,
        "backend": backend_of(question),
        "context": settings.context,
        "users": settings.users,
        "margin": question.margin or 0,
        **trained,
    }


def _notes(model: Model, settings: Settings, plan: training.Plan | None) -> tuple[str, ...]:
    notes = list(model.notes) if model.basis == "assumed" else []
    if plan is not None:
        notes.append("What blocks keep for the backward pass is held to runs on a CPU, for dense ones to the byte; a GPU's peak was not measured.")
        return tuple(notes)
    kv, state = cache_bytes(model, settings.context, settings.build)
    before, _ = cache_bytes(model, settings.context, settings.build, prefilled=True)
    if before > kv:
        notes.append(f"Sliding layers keep the whole prompt until the first token is generated; then the cache is {kv:,} bytes a sequence.")
    if state:
        notes.append("The peak is that of PyTorch's own operations; with the kernels of flash-linear-attention it is smaller.")
    if settings.storage.name == "bf16" and settings.attention == "eager":
        notes.append("Eager attention grows with the square of the prompt: --flash-attn auto takes SDPA.")
    return tuple(notes)
