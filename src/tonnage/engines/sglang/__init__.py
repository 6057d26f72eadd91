"""SGLang: weights of every rank, the static share of memory, and the pools that it holds."""

from tonnage.answer import Band, DeviceAnswer, Estimate, Part, Verdict
from tonnage.engines.sglang.command import launch
from tonnage.engines.sglang.pools import Cells, Pools, concurrency, needed, pools, widest_stage
from tonnage.engines.sglang.settings import Settings, resolve
from tonnage.engines.torch.frame import known, per_device, resolved, weights_answer
from tonnage.engines.torch.weights import RankWeights, weights_per_rank
from tonnage.hardware.budget import backend_of, budgets_of
from tonnage.hardware.types import Budget, Deduction, Device
from tonnage.model.types import NOTHING, Attached, Model
from tonnage.question import Question
from tonnage.units import GIB

WEIGHTS_BAND = 0.003
"""share by which loaded weights differ from their parameters"""
CONTEXT, CONTEXT_BAND = round(0.5 * GIB), (round(0.5 * GIB), GIB)
"""context and buffers before the weights, 0 to 1.5 GiB"""


def answer(question: Question, model: Model, attached: Attached = NOTHING) -> Estimate:
    """The estimate of a question; every error of the project may be raised."""
    settings = resolve(question, model)
    ranks = settings.ranks
    weights = weights_per_rank(model, settings.storage, ranks, bool(question.speculative))
    gpus = budgets_of(question)[: ranks.count] or (Budget(Device(name="GPU"), None, None, None),) * ranks.count
    cell = widest_stage(model, settings)
    rest = rest_of(question, settings, gpus, weights)
    found = None if rest is None else pools(max(rest, 0), cell, settings)
    filled, assumed = resolved(question, _filled(question, settings))
    per_rank = per_device([rank.parameters for rank in weights], ranks.tp, ranks.dp)
    return Estimate(
        question=filled,
        assumed=assumed,
        model=model,
        weights=weights_answer(model, settings.storage, per_rank),
        devices=tuple(_device(model, gpu, weights[i // ranks.tp % ranks.pp], cell, settings) for i, gpu in enumerate(gpus)),
        engine=f"SGLang {settings.version}",
        verdict=judge(found, cell, settings, rest),
        capacity=told(found, cell, settings, rest, gpus),
        command=launch(question, model, settings),
        notes=notes(model, cell, settings),
        caches=(("all layers", len(model.layers) - model.n_nextn, f"{cell.full + cell.window:,} bytes a token, {cell.state:,} a request"),),
    )


def rest_of(question: Question, settings: Settings, gpus: tuple[Budget, ...], weights: tuple[RankWeights, ...]) -> int | None:
    """Bytes for the pools on the rank that has the least: free after loading, less what the static share leaves."""
    if question.available_kv is not None:
        return question.available_kv
    ranks, found = settings.ranks, []
    for i, gpu in enumerate(gpus):
        if gpu.usable_bytes is None or settings.fraction is None:
            return None
        before = gpu.usable_bytes - CONTEXT
        found.append(before - weights[i // ranks.tp % ranks.pp].parameters - round(before * (1 - settings.fraction)))
    return min(found)


def taken_of(gpu: Budget, settings: Settings) -> int | None:
    """The static share, with what comes before it."""
    if gpu.usable_bytes is None or settings.fraction is None:
        return None
    return CONTEXT + round((gpu.usable_bytes - CONTEXT) * settings.fraction)


def _device(model: Model, gpu: Budget, weights: RankWeights, cell: Cells, settings: Settings) -> DeviceAnswer:
    kv, state = needed(cell, settings)
    doubt = round(WEIGHTS_BAND * weights.parameters)
    low, high = CONTEXT_BAND
    parts = [Part("weights", weights.parameters, "rule", Band(-doubt, doubt), "weights")]
    parts += [Part(name, nbytes, "rule", None, name) for name, nbytes in (("kv", kv), ("state", state)) if nbytes]
    parts.append(Part("runtime", CONTEXT, "assumed", Band(-low, high), "runtime"))
    taken = taken_of(gpu, settings)
    if taken is None:
        return DeviceAnswer(gpu.name, gpu.kind, known(model, parts), gpu.capacity_bytes, gpu.usable_bytes, gpu.deductions)
    kept = Deduction(
        "for graphs and activations, beyond mem_fraction_static", (gpu.usable_bytes or 0) - taken, "rule", f"{settings.fraction:g} is taken"
    )
    return DeviceAnswer(gpu.name, gpu.kind, known(model, parts), gpu.capacity_bytes, taken, (*gpu.deductions, kept))


def told(found: Pools | None, cell: Cells, settings: Settings, rest: int | None, gpus: tuple[Budget, ...]) -> dict[str, object]:
    """The capacity of one replica."""
    per_token = cell.full + cell.window
    known = found is not None
    return {
        "block_size": settings.page,
        "bytes_per_block": per_token * settings.page,
        "num_blocks": found.tokens // settings.page if found else None,
        "kv_tokens": found.tokens if found else None,
        "concurrency": round(concurrency(found, cell, settings), 4) if found else None,
        "available_kv_bytes": rest,
        "window_tokens": found.window_tokens if found and cell.window else None,
        "state_slots": found.states if found and cell.state else None,
        "max_running_requests": found.requests if found else None,
        "replicas": settings.ranks.dp,
        "taken_bytes": [taken_of(gpu, settings) for gpu in gpus],
        **({"log": [f"max_total_num_tokens={found.tokens}, max_running_requests={found.requests}"]} if known and found else {}),
    }


def judge(found: Pools | None, cell: Cells, settings: Settings, rest: int | None) -> Verdict | None:
    """Whether SGLang starts, and holds the users' requests at a time."""
    if found is None or rest is None:
        return None
    kv, state = needed(cell, settings)
    if rest <= 0:
        return Verdict("too big", f"the weights leave nothing of mem_fraction_static: {-rest / GIB:.2f} GiB short on each rank", -rest)
    times, users = concurrency(found, cell, settings), -(-settings.users // settings.ranks.dp)
    holds = f"the pools hold {times:.2f} requests of {settings.context:,} tokens"
    if times >= users:
        return Verdict("fits" if times >= 1.1 * users else "tight", holds)
    most = found.tokens
    hint = f"; the largest context of one request is {most:,}" if users == 1 and times < 1 and cell.full else ""
    return Verdict("too big", f"{holds}, {users} are asked for{hint}", max(kv + state - rest, 1), (f"--context {most}",) if hint and most else ())


def notes(model: Model, cell: Cells, settings: Settings) -> tuple[str, ...]:
    """What a careful person would add."""
    found = list(model.notes) if model.basis == "assumed" else []
    if cell.state:
        found.append("SGLang gives 0.9/1.9 of what is left to states: --mamba-full-memory-ratio moves it.")
    if cell.window:
        found.append(f"Sliding layers have a pool of {settings.window_ratio:g} of the full layers' tokens: --swa-full-tokens-ratio moves it.")
    found.append("Rules were read in SGLang's source; one public log confirms tokens, none the share of memory.")
    return tuple(found)


def _filled(question: Question, settings: Settings) -> dict[str, object]:
    ranks = settings.ranks
    return {
        "model": question.model,
        "quant": settings.storage.name,
        "engine": "sglang",
        "engine_version": settings.version,
        "backend": backend_of(question),
        "context": settings.context,
        "users": settings.users,
        "tensor_parallel": ranks.tp,
        "pipeline_parallel": ranks.pp,
        "data_parallel": ranks.dp,
        "mem_fraction_static": settings.fraction,
        "max_num_batched_tokens": settings.chunk,
        "kv_cache_dtype": settings.kv_dtype,
        "prefix_caching": settings.radix,
        "margin": question.margin or 0,
    }
