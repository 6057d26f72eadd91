"""Why a part has its size: the rule of Transformers with this question's numbers put in."""

from collections.abc import Mapping

from tonnage.answer import Explanation
from tonnage.engines.transformers import answer
from tonnage.errors import QuestionError, nearest
from tonnage.model.types import Model
from tonnage.question import Question

FORMULAS: Mapping[str, tuple[str, str, str]] = {
    "weights": ("weights", "bytes of every parameter in its type; blocks shared out whole over the devices", "from_pretrained, device_map"),
    "kv": ("keys and values", "per layer 2 x KV heads x head x tokens x 2 bytes, after the prompt; a latent's width x tokens x 2", "cache_utils.py"),
    "state": ("states", "channels x taps x 2 bytes of convolutions, and 4 bytes per element of states", "cache_utils.py"),
    "activations": (
        "what a forward pass needs besides",
        "tokens x 2 x (3 x width + 4 x hidden + 2 x head); eager: tokens^2 x (10 x heads + 2); trained: each block's saved tensors and 12 x logits",
        "run on a CPU, 20 rows",
    ),
    "gradients": ("gradients", "bytes of a trained weight x trained weights, shared out by ZeRO-2, ZeRO-3 and FSDP", "torch.autograd, DeepSpeed"),
    "optimizer": ("optimizer states", "states x trained weights; ZeRO adds an F32 copy of 16-bit weights; shared out by all of them", "torch.optim"),
    "runtime": ("CUDA's context and libraries", "assumed", "no measurement"),
}


def explain(question: Question, model: Model, part: str) -> Explanation:
    """The explanation of `part`; QuestionError with the nearest names for a part there is none of."""
    if part not in FORMULAS:
        raise QuestionError(f"no part called {part!r}; there are {', '.join(FORMULAS)}", nearest(part, FORMULAS))
    title, formula, source = FORMULAS[part]
    told = answer(question, model)
    held = [(device.name, row) for device in told.devices for row in device.parts if row.part == part]
    steps = tuple(f"{name}: {row.bytes:,} bytes" for name, row in held) or ("nothing of it in this answer",)
    return Explanation(title, formula, steps, f"{sum(row.bytes for _, row in held):,} bytes", f"{told.engine}, {source}")
