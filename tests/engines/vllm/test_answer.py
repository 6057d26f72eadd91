"""Answers about vLLM: need, what is taken, capacity, verdicts, commands and refusals."""

import json

import jsonschema
import pytest

import tonnage
from tonnage import data
from tonnage.errors import QuestionError, RefusedError, TonnageError, UnsupportedError
from tonnage.render import render
from tonnage.units import GIB

TOLD = jsonschema.Draft202012Validator(json.loads(data.read("schema/answer.json")))


def ask(model, **keys):
    """An estimate of vLLM."""
    return tonnage.estimate(model, engine="vllm", **keys)


def test_need_reservation_and_capacity_are_three_things():
    """The parts are what the question needs; `taken` is what vLLM takes; the pool is what its blocks hold."""
    told = ask("llama-3.1-8b-instruct", device="H100", context=32768, users=2)
    (gpu,) = told.devices
    taken = told.capacity["taken_bytes"][0]
    cache = next(part.bytes for part in gpu.parts if part.part == "kv")

    assert 2 * 32768 * 131072 == cache
    assert gpu.total_bytes < taken == gpu.usable_bytes < gpu.capacity_bytes
    assert taken - gpu.total_bytes + cache == told.capacity["available_kv_bytes"]
    assert told.capacity["num_blocks"] * 16 == told.capacity["kv_tokens"]


def test_available_kv_stands_for_a_device():
    """Bytes that the log prints are taken as they are, without any device."""
    told = ask("qwen3.6-35b-a3b", available_kv="5.98GiB", context=131072, kv_cache_dtype="fp8", engine_version="0.24.0")

    assert (567978, 4.3333, "fits") == (told.capacity["kv_tokens"], told.capacity["concurrency"], told.verdict.word)
    assert "GPU KV cache size: 567,978 tokens" in told.capacity["log"]


def test_a_context_that_one_request_cannot_hold_is_told_with_the_largest():
    """vLLM refuses to start; the answer says what it would take instead."""
    told = ask("gemma-3-27b-it", available_kv=4 * GIB, context=131072, max_num_batched_tokens=2048)
    most = told.capacity["largest_context"]

    assert ("too big", (f"--context {most}",)) == (told.verdict.word, told.verdict.would_fit_with)
    assert f"the largest context is {most:,}" in told.verdict.text
    assert ask("gemma-3-27b-it", available_kv=4 * GIB, context=most, max_num_batched_tokens=2048).verdict.word == "fits"


def test_devices_that_are_named_share_each_layer():
    """Without --tensor-parallel all of them, and the command says so."""
    told = ask("llama-3.3-70b-instruct", device="2x H100", context=8192)

    assert (2, 2) == (told.question["tensor_parallel"], len(told.weights.per_rank_bytes))
    assert told.weights.tensor_bytes <= sum(told.weights.per_rank_bytes) < 1.0001 * told.weights.tensor_bytes
    assert "--tensor-parallel-size 2" in told.command["vllm"]


def test_past_one_host_ray_joins_the_hosts():
    """Head, workers, and a server that uses them."""
    commands = ask("deepseek-v3", device="16x H100", tensor_parallel=8, pipeline_parallel=2, context=8192).command

    assert ["ray head", "ray worker, on each of 1 more", "vllm", "kubernetes"] == list(commands)
    assert commands["vllm"].endswith("--distributed-executor-backend ray")


def closed(required, **properties):
    """An object of these properties and no others."""
    return {"type": "object", "required": required.split(), "properties": properties, "additionalProperties": False}


TEXT, PORT = {"type": "string"}, {"type": "integer", "minimum": 1, "maximum": 65535}
CONTAINER = closed(
    "name image command resources",
    name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
    image={"type": "string", "pattern": r"^[\w./-]+:[\w.-]+$"},
    command={"type": "array", "items": TEXT, "minItems": 1},
    resources=closed("limits", limits=closed("nvidia.com/gpu", **{"nvidia.com/gpu": {"type": "string", "pattern": "^[1-9][0-9]*$"}})),
    volumeMounts={"type": "array", "items": closed("name mountPath", name=TEXT, mountPath=TEXT)},
    ports={"type": "array", "items": closed("containerPort", containerPort=PORT)},
    readinessProbe=closed("httpGet", httpGet=closed("path port", path=TEXT, port=PORT), periodSeconds={"type": "integer"}),
)
VOLUME = closed(
    "name emptyDir", name=TEXT, emptyDir=closed("medium", medium={"const": "Memory"}, sizeLimit={"type": "string", "pattern": "^[0-9]+[KMG]i$"})
)
POD = closed("containers", containers={"type": "array", "items": CONTAINER, "minItems": 1}, volumes={"type": "array", "items": VOLUME})
TEMPLATE = closed("spec", metadata=closed("labels", labels={"type": "object", "additionalProperties": TEXT}), spec=POD)
MANIFEST = closed(
    "apiVersion kind metadata spec",
    apiVersion={"const": "leaderworkerset.x-k8s.io/v1"},
    kind={"const": "LeaderWorkerSet"},
    metadata=closed("name", name={"type": "string", "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}),
    spec=closed(
        "leaderWorkerTemplate",
        replicas={"type": "integer", "minimum": 1},
        leaderWorkerTemplate=closed(
            "size workerTemplate",
            size={"type": "integer", "minimum": 2},
            restartPolicy={"enum": ["Default", "RecreateGroupOnPodRestart", "None"]},
            leaderTemplate=TEMPLATE,
            workerTemplate=TEMPLATE,
        ),
    ),
)
"""the fields of leaderworkerset.x-k8s.io/v1 and core/v1 that a manifest may use"""


@pytest.mark.parametrize("name", ["deepseek-v3", "kimi-k2-instruct", "qwen3-235b-a22b"])
def test_the_manifest_is_the_same_plan(name):
    """It keeps to the schema, and has as many GPUs as ranks."""
    commands = ask(name, device="16x H100", tensor_parallel=4, pipeline_parallel=4, context=8192).command
    first, *body, last = commands["kubernetes"].splitlines()
    manifest = json.loads("\n".join(body))
    template = manifest["spec"]["leaderWorkerTemplate"]
    leader = template["leaderTemplate"]["spec"]["containers"][0]

    assert ("kubectl apply -f - <<'END'", "END") == (first, last)
    assert [] == [error.message for error in jsonschema.Draft202012Validator(MANIFEST).iter_errors(manifest)]
    assert 16 == template["size"] * int(leader["resources"]["limits"]["nvidia.com/gpu"])
    assert commands["vllm"] in leader["command"][2]


REFUSED = [
    ({"device": "6x H100"}, RefusedError, "tensor_parallel=6"),
    ({"device": "2x H100", "tensor_parallel": 4}, QuestionError, "4 devices, 2 are named"),
    ({"device": "RTX 3090", "kv_cache_dtype": "fp8"}, RefusedError, "no FP8"),
    ({"device": "V100 32GB", "quant": "fp8"}, RefusedError, "FP8 weights"),
    ({"device": "m4 max 128"}, RefusedError, "CUDA and ROCm"),
    ({"context": 200000}, RefusedError, "trained for 131,072 tokens"),
    ({"quant": "Q4_K_M"}, UnsupportedError, "vllm cannot load 'Q4_K_M'"),
    ({"quant": "mlx-4bit"}, UnsupportedError, "vllm cannot load 'mlx-4bit'"),
    ({"engine_version": "0.34"}, UnsupportedError, "0.11 to 0.33"),
    ({"device": "24GB", "in_use": "4GB"}, RefusedError, "refuses to start"),
    ({"gpu_memory_utilization": 1.5}, QuestionError, "gpu_memory_utilization=1.5"),
    ({"expert_parallel": 3}, QuestionError, "expert_parallel=3"),
]


@pytest.mark.parametrize(("keys", "kind", "words"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_vllm_refuses_is_one_clear_line(keys, kind, words):
    """Value, reason and what to take instead."""
    with pytest.raises(kind, match=words) as raised:
        ask("llama-3.1-8b-instruct", **keys)
    assert "\n" not in str(raised.value)


ASKED = [
    ("qwen3.5-122b-a10b", {"device": "2x H200", "context": "256K"}),
    ("gpt-oss-20b", {"device": "24GB"}),
    ("deepseek-v3", {"device": "8x H200", "speculative": "mtp", "expert_parallel": "all"}),
    ("llama-3.1-8b-instruct", {}),
    ("gemma-3-27b-it", {"quant": "fp8-channel", "available_kv": "10GiB"}),
    ("llama-3.1-8b-instruct", {"device": "4x 48GB", "data_parallel": 4, "users": 8}),
]


@pytest.mark.parametrize(("model", "keys"), ASKED, ids=str)
@pytest.mark.parametrize("form", ["table", "json", "csv", "md", "url"])
def test_every_form_shows_an_answer(model, keys, form):
    """And JSON keeps to the schema."""
    told = ask(model, **keys)
    shown = render(form, tonnage.Question(model=model), told)

    assert shown
    assert form != "json" or [] == [error.message for error in TOLD.iter_errors(json.loads(shown))]


@pytest.mark.parametrize("part", ["weights", "kv", "state", "activations", "runtime", "graphs"])
def test_every_part_is_explained(part):
    """Rule, numbers and source."""
    told = tonnage.explain(part, "qwen3.5-122b-a10b", engine="vllm", device="2x H200")

    assert told.formula
    assert told.steps
    assert "vLLM" in told.source


def test_a_part_that_is_none_is_refused():
    """With the nearest names."""
    with pytest.raises(TonnageError, match="no part called 'kx'"):
        tonnage.explain("kx", "llama-3.1-8b-instruct", engine="vllm")
