"""The question in Transformers' own words."""

from tonnage.engines.torch.frame import context_of
from tonnage.engines.torch.storage import Storage, storage_of
from tonnage.engines.transformers.build import Build, build_of
from tonnage.errors import QuestionError, UnsupportedError
from tonnage.frozen import dataclass
from tonnage.hardware.budget import budgets_of
from tonnage.hardware.types import Budget, Device
from tonnage.model.types import Compressed, Model
from tonnage.question import Question

ATTENTION = {"on": "flash_attention_2", "off": "eager"}
TRAINED_IN = {"bf16": 2, "fp16": 2, "mixed": 4, "fp32": 4}
"""train_dtype -> bytes of a weight; `mixed` computes in BF16 on F32 weights"""
LORA_RANK = 8
"""peft's default"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What Transformers runs with."""

    build: Build
    storage: Storage
    context: int
    users: int
    attention: str
    """sdpa, eager or flash_attention_2"""


def resolve(question: Question, model: Model) -> Settings:
    """Fill in what the question leaves open."""
    if any(isinstance(mixer, Compressed) for layer in model.layers for mixer in layer.mixers):
        raise UnsupportedError(f"Transformers' cache of compressed attention ({model.architecture}) has no rules yet")
    build = build_of(question.engine_version)
    attention = ATTENTION.get(question.flash_attn or "auto", "sdpa")
    return Settings(build, storage_of(_trained(question), model, "transformers"), context_of(question, model), question.users or 1, attention)


def _trained(question: Question) -> Question:
    """QLoRA's base weights are NF4."""
    from tonnage.frozen import replace

    if question.train == "qlora" and question.quant in (None, "file"):
        return replace(question, quant="nf4")
    if question.train == "full" and question.quant not in (None, "file", "bf16"):
        raise QuestionError(f"train=full with quant={question.quant}: all weights are trained, so none can be quantised; take lora or qlora")
    return question


def devices_of(question: Question) -> tuple[Budget, ...]:
    """The devices of the question; one without a limit where it names none."""
    return budgets_of(question) or (Budget(Device(name="GPU"), None, None, None),)
