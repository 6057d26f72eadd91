"""vLLM: what its ranks load, what it takes of a device, and how many tokens its cache then holds."""

from tonnage.answer import DeviceAnswer, Estimate
from tonnage.engines.torch.frame import known, per_device, resolved, weights_answer
from tonnage.engines.torch.weights import RankWeights, weights_per_rank
from tonnage.engines.vllm.budget import Taken, taken
from tonnage.engines.vllm.capacity import Pool, cache_parts, judge, pool_of, told
from tonnage.engines.vllm.command import launch
from tonnage.engines.vllm.groups import layout_of
from tonnage.engines.vllm.notes import notes
from tonnage.engines.vllm.settings import Settings, devices_of, resolve
from tonnage.engines.vllm.summary import caches
from tonnage.hardware.budget import backend_of
from tonnage.hardware.types import Budget, Deduction
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question


def answer(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """The estimate of a question; every error of the project may be raised."""
    settings = resolve(question, model)
    weights = weights_per_rank(model, settings.storage, settings.ranks, settings.mtp)
    gpus = devices_of(question, settings.ranks)
    pool, takes = planned(question, model, settings, weights, gpus)
    filled, assumed = resolved(question, _filled(question, settings))
    return Estimate(
        question=filled,
        assumed=assumed,
        model=model,
        weights=weights_answer(model, settings.storage, _parameters(weights, settings)),
        devices=tuple(_device(model, pool, settings, gpu, take, i) for i, (gpu, take) in enumerate(zip(gpus, takes, strict=True))),
        engine=f"vLLM {settings.build.name}",
        verdict=judge(pool, settings),
        capacity={**told(pool, settings), "taken_bytes": [take.requested for take in takes]},
        command=launch(question, model, settings),
        notes=notes(question, model, settings, pool, weights, gpus),
        caches=caches(pool.layout),
    )


def planned(
    question: Question, model: Model, settings: Settings, weights: tuple[RankWeights, ...], gpus: tuple[Budget, ...]
) -> tuple[Pool, tuple[Taken, ...]]:
    """The pool of a replica, and what is taken of each device."""
    takes = tuple(taken(model, settings, gpu, weights[stage_of(i, settings)]) for i, gpu in enumerate(gpus))
    stages = range(settings.ranks.pp)
    if question.available_kv is not None:
        available: list[int | None] = [question.available_kv for _ in stages]
        return pool_of(layout_of(model, settings), available, available), takes
    of_stage = [[take for i, take in enumerate(takes) if stage_of(i, settings) == stage] for stage in stages]
    available = [_least([take.available for take in ranks]) for ranks in of_stage]
    doubtful = [_least([_at_worst(take) for take in ranks]) for ranks in of_stage]
    return pool_of(layout_of(model, settings), available, doubtful), takes


def stage_of(device: int, settings: Settings) -> int:
    """The stage of the pipeline that a device belongs to."""
    return device // settings.ranks.tp % settings.ranks.pp


def _least(values: list[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return min(known) if len(known) == len(values) else None


def _at_worst(take: Taken) -> int | None:
    return None if take.available is None else take.available - sum(part.error.high for part in take.parts if part.error)


def _parameters(weights: tuple[RankWeights, ...], settings: Settings) -> tuple[int, ...]:
    return per_device([rank.parameters for rank in weights], settings.ranks.tp, settings.ranks.dp)


def _device(model: Model, pool: Pool, settings: Settings, gpu: Budget, take: Taken, i: int) -> DeviceAnswer:
    """A device and what the question needs of it; `usable` is what vLLM takes."""
    first, *others = take.parts
    parts = (first, *cache_parts(pool.layout, settings, stage_of(i, settings)), *(part for part in others if part.bytes or part.error))
    kept = (gpu.usable_bytes or 0) - (take.requested or 0)
    row = Deduction("left free by gpu_memory_utilization", kept, "rule", f"{settings.utilization:g} is taken")
    rows = (*gpu.deductions, row) if take.requested is not None else gpu.deductions
    return DeviceAnswer(gpu.name, gpu.kind, known(model, parts), gpu.capacity_bytes, take.requested, rows)


def _filled(question: Question, settings: Settings) -> dict[str, object]:
    ranks = settings.ranks
    return {
        "model": question.model,
        "quant": settings.storage.name,
        "engine": "vllm",
        "engine_version": settings.build.name,
        "backend": backend_of(question),
        "context": settings.context,
        "users": settings.users,
        "tensor_parallel": ranks.tp,
        "pipeline_parallel": ranks.pp,
        "data_parallel": ranks.dp,
        "gpu_memory_utilization": settings.utilization,
        "max_num_seqs": settings.max_num_seqs,
        "max_num_batched_tokens": settings.batched_tokens,
        "kv_cache_dtype": settings.kv_dtype,
        "prefix_caching": settings.prefix_caching,
        "margin": question.margin or 0,
    }
