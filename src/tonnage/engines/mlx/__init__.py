"""MLX-LM on Apple's unified memory: weights, caches and the prompt's peak against the wired limit."""

from tonnage.answer import Band, DeviceAnswer, Estimate, Part, WeightsAnswer
from tonnage.engines.mlx.memory import cache_bytes, peak_bytes
from tonnage.engines.mlx.settings import Settings, device_of, resolve
from tonnage.engines.torch.frame import known, resolved
from tonnage.engines.torch.words import quoted
from tonnage.hardware.types import Budget
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question

PEAK_BAND = (0.9, 0.5)
"""shares: nine public peaks of mlx-lm 0.28 need this part (the sum of all is met within 2.5 %), but nothing in its source says that
the logits of a whole chunk are computed, so that most of it may be missing"""


def answer(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """The estimate of a question; every error of the project may be raised."""
    settings, machine = resolve(question, model), device_of(question)
    filled, assumed = resolved(question, _filled(question, settings))
    kv, state = cache_bytes(model, settings)
    return Estimate(
        question=filled,
        assumed=assumed,
        model=model,
        weights=_weights(model, settings),
        devices=(_device(model, settings, machine),),
        engine=f"mlx-lm {settings.version}",
        command={"mlx": launch(model, settings)},
        notes=_notes(model, settings),
        caches=(("all layers", len(model.layers) - model.n_nextn, f"{kv:,} bytes of keys and values, {state:,} of states a sequence"),),
    )


def _device(model: Model, settings: Settings, machine: Budget) -> DeviceAnswer:
    held = known(model, parts(model, settings))
    return DeviceAnswer(machine.name, machine.kind, held, machine.capacity_bytes, machine.usable_bytes, machine.deductions)


def loaded_bytes(model: Model, settings: Settings) -> int:
    """Weights without the vision tower, which mlx-lm leaves out."""
    return settings.prediction.nbytes - 2 * model.parameters.vision


def parts(model: Model, settings: Settings) -> tuple[Part, ...]:
    """The lines of the answer."""
    kv, state = cache_bytes(model, settings)
    doubt, peak = settings.prediction.error, peak_bytes(model, settings)
    weights = Part("weights", loaded_bytes(model, settings), "rule", Band(doubt.low, doubt.high) if doubt else None, "weights")
    kept = [Part(name, nbytes * settings.users, "rule", None, name) for name, nbytes in (("kv", kv), ("state", state)) if nbytes]
    low, high = PEAK_BAND
    return (weights, *kept, Part("activations", peak, "fitted", Band(-round(low * peak), round(high * peak)), "activations"))


def launch(model: Model, settings: Settings) -> str:
    """`mlx_lm.server`; a quantised model is made first, where it is not published."""
    name = settings.prediction.format
    path = model.name if name == "bf16" else f"{model.name.rsplit('/', 1)[-1]}-{name.removeprefix('mlx-')}"
    words = ["mlx_lm.server", "--model", quoted(path), "--decode-concurrency", str(settings.users)]
    kept = ["--kv-bits", str(int(settings.kv_bits))] if settings.kv_bits < 16 else []
    return " ".join([*words, "--prefill-step-size", str(settings.chunk), *kept])


def _weights(model: Model, settings: Settings) -> WeightsAnswer:
    stored = settings.prediction
    kinds = {stored.format: (0, stored.quantised_bytes), "bf16": (0, stored.kept_bytes - 2 * model.parameters.vision)}
    return WeightsAnswer(
        tensor_bytes=loaded_bytes(model, settings),
        file_bytes=None,
        parameters=stored.parameters - model.parameters.vision,
        by_type={kind: row for kind, row in kinds.items() if row[1]},
        recipe=stored.format,
        rules=None,
        imatrix=False,
        basis="rule",
    )


def _filled(question: Question, settings: Settings) -> dict[str, object]:
    return {
        "model": question.model,
        "quant": settings.prediction.format,
        "engine": "mlx",
        "engine_version": settings.version,
        "backend": "metal",
        "context": settings.context,
        "users": settings.users,
        "max_num_batched_tokens": settings.chunk,
        "margin": question.margin or 0,
    }


def _notes(model: Model, settings: Settings) -> tuple[str, ...]:
    found = list(model.notes) if model.basis == "assumed" else []
    found += list(settings.prediction.notes)
    if model.parameters.vision:
        found.append("mlx-lm leaves the vision tower out; mlx-vlm loads it in BF16.")
    found.append("While a cache grows by a step, one layer's keys or values are held twice for a moment.")
    return tuple(found)
