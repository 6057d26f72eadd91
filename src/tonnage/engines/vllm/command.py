"""The launch commands that an answer is about; past one host, Ray's head and workers."""

from collections.abc import Mapping
from typing import Any

from tonnage.engines.torch.words import quoted
from tonnage.engines.vllm.kubernetes import manifest
from tonnage.engines.vllm.settings import Settings
from tonnage.model.types import Model
from tonnage.question import Question

GPUS_PER_HOST = 8


def launch(question: Question, model: Model, settings: Settings) -> dict[str, str]:
    """Name -> command."""
    serve = " ".join(["vllm serve", quoted(model.name), *_options(question, settings)])
    hosts = -(-settings.ranks.tp * settings.ranks.pp // GPUS_PER_HOST)
    if hosts < 2:
        return {"vllm": serve}
    ray = f"{serve} --distributed-executor-backend ray"
    gpus = settings.ranks.tp * settings.ranks.pp // hosts
    return {
        "ray head": "ray start --head --port=6379",
        f"ray worker, on each of {hosts - 1} more": "ray start --block --address=HEAD_ADDRESS:6379",
        "vllm": ray,
        "kubernetes": _applied(manifest(model.name, settings.build.name, ray, hosts, gpus)),
    }


def _applied(manifest: Mapping[str, Any]) -> str:
    """The manifest, read by kubectl from its standard input."""
    import json

    return f"kubectl apply -f - <<'END'\n{json.dumps(manifest, indent=1)}\nEND"


def _options(question: Question, settings: Settings) -> list[str]:
    ranks = settings.ranks
    values = (
        ("--max-model-len", settings.context),
        ("--gpu-memory-utilization", f"{settings.utilization:g}"),
        ("--tensor-parallel-size", ranks.tp if ranks.tp > 1 else None),
        ("--pipeline-parallel-size", ranks.pp if ranks.pp > 1 else None),
        ("--data-parallel-size", ranks.dp if ranks.dp > 1 else None),
        ("--max-num-seqs", settings.max_num_seqs),
        ("--max-num-batched-tokens", settings.batched_tokens),
        ("--kv-cache-dtype", settings.kv_dtype if settings.kv_dtype != "auto" else None),
        ("--block-size", question.block_size),
        ("--speculative-config", _speculative(question, settings)),
        ("--kv-cache-memory-bytes", question.available_kv),
    )
    given = [word for name, value in values if value is not None for word in (name, str(value))]
    caching = {True: ["--enable-prefix-caching"], False: ["--no-enable-prefix-caching"]}
    return [*given, *(["--enable-expert-parallel"] if ranks.ep else []), *caching[settings.prefix_caching]]


def _speculative(question: Question, settings: Settings) -> str | None:
    if not settings.drafted:
        return None
    kind = "mtp" if settings.mtp else question.speculative or ""
    if kind.startswith("{"):
        return quoted(kind)
    return quoted(f'{{"method": "{kind}", "num_speculative_tokens": {settings.drafted}}}')
