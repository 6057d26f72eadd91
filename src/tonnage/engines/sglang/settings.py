"""The question in SGLang's own words: every argument resolved as version 0.5.23 does (arg_groups/memory_hook.py)."""

from collections.abc import Mapping

from tonnage.engines.sglang.build import version_of
from tonnage.engines.torch.frame import context_of
from tonnage.engines.torch.ranks import Ranks, ranks_of
from tonnage.engines.torch.storage import Storage, storage_of
from tonnage.errors import QuestionError, RefusedError, UnsupportedError
from tonnage.frozen import dataclass
from tonnage.hardware.budget import budgets_of
from tonnage.hardware.types import Budget, Device
from tonnage.model.types import Compressed, Latent, Model
from tonnage.question import Question
from tonnage.units import GIB, MIB

BY_MEMORY = ((20, 2048, 8, 8), (35, 4096, 48, 160), (60, 4096, 32, 160), (160, 8192, 256, 512))
"""below so many GiB: tokens of a chunk of the prompt, sequences of the largest decode graph with fewer than four ranks, and with four"""
ABOVE = (16384, 512)
KV_BITS = {"auto": 16, "bfloat16": 16, "fp8": 8, "fp8_e4m3": 8, "fp8_e5m2": 8, "fp4_e2m1": 4.5, "mxfp8": 8.25}
"""bits of a cached element, scales included (FP4 one byte per 16, MXFP8 one per 32)"""
PREFILL_GRAPH = 8
"""MiB of each graph over a part of the prompt"""
LATENT_GRAPHS = 1536
"""MiB of all of these where attention is latent"""
LEAST_RESERVED = 10240
"""MiB kept free at least, above 60 GiB"""
WINDOW_RATIO = 0.8
VISION_SCALE = 24 * 1024**2


@dataclass(frozen=True, slots=True)
class Settings:
    """What SGLang runs with."""

    version: str
    storage: Storage
    ranks: Ranks
    context: int
    users: int
    fraction: float | None
    """mem_fraction_static; None where it hangs on a device and none is named"""
    chunk: int
    """tokens of a chunk of the prompt"""
    decode: int
    """sequences of the largest decode graph"""
    kv_bits: float
    kv_dtype: str
    page: int
    radix: bool
    """requests share the pages of equal beginnings"""
    window_ratio: float
    """tokens of the sliding layers' pool over those of the full layers'"""
    asked_requests: int | None


def resolve(question: Question, model: Model) -> Settings:
    """Fill in what the question leaves open."""
    if any(isinstance(mixer, Compressed) for layer in model.layers for mixer in layer.mixers):
        raise UnsupportedError(f"SGLang's cache of compressed attention ({model.architecture}) has no rules yet")
    gpus, ranks = budgets_of(question), ranks_of(question)
    dtype = question.kv_cache_dtype or "auto"
    if dtype not in KV_BITS:
        raise QuestionError(f"kv_cache_dtype={dtype}: known are {', '.join(KV_BITS)}")
    chunk, decode = _by_memory(gpus[0].device if gpus else None, ranks)
    chunk, decode = question.max_num_batched_tokens or chunk, min(decode, question.max_num_seqs or decode)
    return Settings(
        version=version_of(question.engine_version),
        storage=storage_of(question, model, "sglang"),
        ranks=ranks,
        context=context_of(question, model),
        users=question.users or 1,
        fraction=_fraction(question, model, gpus, ranks, chunk, decode),
        chunk=chunk,
        decode=decode,
        kv_bits=KV_BITS[dtype],
        kv_dtype=dtype,
        page=question.block_size or 1,
        radix=question.prefix_caching is not False,
        window_ratio=WINDOW_RATIO,
        asked_requests=question.max_num_seqs,
    )


def _by_memory(device: Device | None, ranks: Ranks) -> tuple[int, int]:
    memory = (device.memory_bytes or device.free_bytes or 0) / GIB if device else 80
    for below, chunk, few, many in BY_MEMORY:
        if memory < below:
            return chunk, many if ranks.tp >= 4 else few
    return ABOVE


def _fraction(question: Question, model: Model, gpus: tuple[Budget, ...], ranks: Ranks, chunk: int, decode: int) -> float | None:
    asked = question.mem_fraction_static
    if asked is not None and not 0 < asked < 1:
        raise QuestionError(f"mem_fraction_static={asked:g}: a share above 0 and below 1")
    if asked is not None or not gpus:
        return asked
    if gpus[0].device.backends and not {"cuda", "rocm"} & set(gpus[0].device.backends):
        raise RefusedError(f"device={gpus[0].name}: SGLang computes on CUDA and ROCm, {gpus[0].name} knows {' and '.join(gpus[0].device.backends)}")
    return default_fraction(total_mib(gpus[0]), chunk, ranks, decode, latent=is_latent(model)) * vision_factor(model)


def total_mib(gpu: Budget) -> int:
    """The device's memory as nvidia-smi counts it, in MiB."""
    return (gpu.device.driver_bytes or gpu.capacity_bytes or gpu.usable_bytes or 0) // MIB


def is_latent(model: Model) -> bool:
    """Whether layers keep latents."""
    return any(isinstance(mixer, Latent) for layer in model.layers for mixer in layer.mixers)


def default_fraction(gpu_mib: int, chunk: int, ranks: Ranks, decode: int, *, latent: bool) -> float:
    """(memory - reserved) / memory, to three places."""
    graphs = 2 * decode + (LATENT_GRAPHS if latent else PREFILL_GRAPH * prefill_graphs(chunk))
    reserved = 512 + 1.5 * max(chunk, 2048) + ranks.tp * ranks.pp / 8 * 1024 + graphs
    if gpu_mib > 60 * 1024:
        reserved = max(reserved, LEAST_RESERVED)
    return round((gpu_mib - reserved) / gpu_mib, 3)


def prefill_graphs(chunk: int) -> int:
    """Graphs over parts of the prompt, by tokens: close together below 1,024, every 512 above 4,096 (generate_prefill_cuda_graph_batch_sizes)."""
    ladders = ((4, 32, 4), (48, 256, 16), (288, 512, 32), (576, 1024, 64), (1280, 4096, 256), (4608, chunk, 512))
    return sum(len(range(first, min(last, chunk) + 1, step)) for first, last, step in ladders)


def vision_factor(model: Model) -> float:
    """What is taken off for a vision tower, by its layers and width; a tower that calls its layers otherwise counts as 24 deep."""
    vision: Mapping[str, object] | None = model.config.get("vision_config")
    if not vision or not isinstance(vision.get("hidden_size"), int):
        return 1.0
    layers, width = vision.get("num_hidden_layers", 24), vision["hidden_size"]
    if not isinstance(layers, int) or not isinstance(width, int):
        return 1.0
    return 0.95 * min(max(1 - 0.1 * (layers * width**2 / VISION_SCALE - 1), 0.8), 1.05)
