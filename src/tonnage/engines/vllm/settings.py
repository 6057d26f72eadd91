"""The question in vLLM's own words: every argument resolved as this version resolves it."""

from tonnage.engines.torch.frame import context_of
from tonnage.engines.torch.ranks import Ranks, ranks_of
from tonnage.engines.torch.storage import Storage, storage_of
from tonnage.engines.vllm.build import NEWEST, OLDEST, Build, build_of
from tonnage.errors import QuestionError, RefusedError, UnsupportedError
from tonnage.frozen import dataclass
from tonnage.hardware.budget import budgets_of
from tonnage.hardware.types import Budget, Device
from tonnage.model.types import Compressed, Model, Recurrent
from tonnage.question import Question
from tonnage.units import GIB

BLOCK = 16
KV_BYTES = {"fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "bfloat16": 2, "float16": 2}
LARGE, VERY_LARGE = 70 * GIB, 160 * GIB
FP8_FROM = "8.9"
"""compute capability from which FP8 is computed; Marlin loads FP8 weights from 8.0 and up as weights alone"""
FP8_WEIGHTS_FROM = "7.5"
DRAFTED = {"mtp": 1, "eagle3": 3, "ngram": 5}
"""tokens drafted ahead where the question does not say"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What vLLM runs with."""

    build: Build
    storage: Storage
    ranks: Ranks
    context: int
    """max_model_len"""
    users: int
    utilization: float
    max_num_seqs: int
    batched_tokens: int
    in_flight: int
    """tokens of all steps that run at a time: what sliding windows must keep besides themselves"""
    kv_bytes: int
    """bytes of a cached element"""
    kv_dtype: str
    block: int
    """tokens of a block, before hybrids raise it"""
    prefix_caching: bool
    drafted: int
    """tokens drafted ahead"""
    mtp: bool
    """the model's own blocks of multi-token prediction are loaded"""
    hybrid_manager: bool
    """windows and states have groups of their own"""


def resolve(question: Question, model: Model) -> Settings:
    """Fill in what the question leaves open; QuestionError, RefusedError and UnsupportedError as they arise."""
    build = build_of(question.engine_version)
    gpus = budgets_of(question)
    ranks, storage = ranks_of(question), storage_of(question, model, "vllm")
    device = gpus[0].device if gpus else Device(name="GPU", memory_bytes=80 * GIB, backends=("cuda",))
    seqs, tokens = _defaults(device, build)
    batched = question.max_num_batched_tokens or tokens
    dtype = question.kv_cache_dtype or "auto"
    _refuse(question, model, device, storage, dtype)
    recurrent = any(isinstance(m, Recurrent) for layer in model.layers for m in layer.mixers)
    prefix = question.prefix_caching if question.prefix_caching is not None else (not recurrent or build.hybrid_prefix_caching)
    drafted = DRAFTED.get(_kind(question), 1) if question.speculative else 0
    return Settings(
        build=build,
        storage=storage,
        ranks=ranks,
        context=context_of(question, model),
        users=question.users or 1,
        utilization=_utilization(question, build),
        max_num_seqs=question.max_num_seqs or seqs,
        batched_tokens=batched,
        in_flight=batched * (ranks.pp if ranks.pp > 1 else 1 + build.async_scheduling),
        kv_bytes=KV_BYTES.get(dtype, 2),
        kv_dtype=dtype,
        block=question.block_size or BLOCK,
        prefix_caching=prefix,
        drafted=drafted,
        mtp=_kind(question) == "mtp",
        hybrid_manager=True,
    )


def _kind(question: Question) -> str:
    """The kind of speculative decoding, also of a JSON text as vLLM takes it."""
    text = (question.speculative or "").lower()
    return next((kind for kind in DRAFTED if kind in text), text)


def _utilization(question: Question, build: Build) -> float:
    asked = question.gpu_memory_utilization
    if asked is not None and not 0 < asked <= 1:
        raise QuestionError(f"gpu_memory_utilization={asked:g}: a share above 0 and up to 1")
    return asked or build.utilization


def _defaults(device: Device, build: Build) -> tuple[int, int]:
    """(max_num_seqs, max_num_batched_tokens) of `vllm serve` by the device's memory (EngineArgs.get_batch_defaults)."""
    memory = device.memory_bytes or device.free_bytes or 0
    if build.large_gpus and memory >= VERY_LARGE:
        return 1024, 16384
    small = memory < LARGE or "A100" in device.name or (build.large_gpus and "GB10" in f"{device.name} {device.arch}".upper())
    return (256, 2048) if small else (1024, 8192)


# --- what is turned down --------------------------------------------------------------------------


def _refuse(question: Question, model: Model, device: Device, storage: Storage, dtype: str) -> None:
    if device.backends and not {"cuda", "rocm"} & set(device.backends):
        raise RefusedError(f"device={device.name}: vLLM computes on CUDA and ROCm, {device.name} knows {' and '.join(device.backends)}")
    if context_of(question, model) > model.context and model.basis != "assumed":
        raise RefusedError(
            f"context={context_of(question, model):,}: {model.name} was trained for {model.context:,} tokens, and vLLM refuses more "
            "unless VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 is set"
        )
    if dtype != "auto" and dtype not in KV_BYTES:
        raise QuestionError(f"kv_cache_dtype={dtype}: known are auto, {', '.join(KV_BYTES)}")
    if any(isinstance(m, Compressed) for layer in model.layers for m in layer.mixers):
        raise UnsupportedError(
            f"vLLM {OLDEST} to {NEWEST}: the pages of compressed attention ({model.architecture}) are not known in any of them; llama.cpp is answered"
        )
    if dtype in ("fp8", "fp8_e4m3") and _older(device, FP8_FROM):
        told = f"{device.name} (compute capability {device.compute_capability}) has no FP8"
        raise RefusedError(f"kv_cache_dtype={dtype}: {told}; leave it at auto, or take fp8_e5m2")
    if storage.name.startswith("fp8") and _older(device, FP8_WEIGHTS_FROM):
        raise RefusedError(f"quant={storage.name}: {device.name} (compute capability {device.compute_capability}) cannot compute with FP8 weights")


def _older(device: Device, capability: str) -> bool:
    """Whether the device's compute capability is known to be lower."""
    if not device.compute_capability:
        return False
    return [int(n) for n in device.compute_capability.split(".")] < [int(n) for n in capability.split(".")]


def devices_of(question: Question, ranks: Ranks) -> tuple[Budget, ...]:
    """One budget a rank; without a limit where the question names no device."""
    named = budgets_of(question)
    return named[: ranks.count] if named else (Budget(Device(name="GPU"), None, None, None),) * ranks.count
