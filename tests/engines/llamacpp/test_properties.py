"""What holds for every question: memory does not fall as more is asked for, parts add up, commands and explanations agree."""

import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_cases
from tonnage.answer import Estimate, Part
from tonnage.engines.llamacpp import answer, placement_of
from tonnage.engines.llamacpp.cache import cache_by_device
from tonnage.engines.llamacpp.command import launch
from tonnage.engines.llamacpp.explain import WRITERS, explain
from tonnage.engines.llamacpp.placement import Placement
from tonnage.engines.llamacpp.settings import Settings
from tonnage.engines.llamacpp.weights import weights_by_device
from tonnage.errors import QuestionError, RefusedError
from tonnage.frozen import replace
from tonnage.model.types import Attached, Tensor
from tonnage.question import Question, from_argv, from_dict
from tonnage.units import GIB

MODELS = sorted(llama_cases.read("llama-cases")["file_bytes"])
ANY_SLOTS = [name for name in MODELS if name != "kimi-linear-48b"]
"""llama.cpp aborts on Kimi Linear where the slots do not divide the ubatch"""
FAST = ("llama3.1-8b", "gemma3-27b", "gpt-oss-20b", "lfm2-1.2b", "qwen3-30b-a3b", "mamba2-2.7b")
CACHE_TYPES = ("f16", "bf16", "q8_0", "q4_0")

QUESTIONS: list[dict[str, Any]] = [
    {"model": "qwen3.5-122b-a10b", "n_ctx": 262_144},
    {"model": "gemma3-27b", "n_ctx": 65_536, "cache_type_k": "q8_0", "cache_type_v": "q8_0"},
    {"model": "gpt-oss-20b", "n_cpu_moe": 10, "users": 3},
    {"model": "deepseek-v3", "gpu_layers": 20},
    {"model": "deepseek-v4-flash-like", "slots": 2},
    {"model": "llama3.1-8b", "backend": "cpu", "profile": "tools"},
]

PADDING = 8 * 128
"""bytes by which one layer's cache may be padded more on a GPU, quantised rows aside"""

PROJECTOR = (Tensor("v.patch_embd.weight", (1152, 1000), "f16"), Tensor("mm.0.bias", (5,), "f32"))
ADAPTER = (Tensor("blk.0.attn_q.weight.lora_a", (4096, 16), "f16"), Tensor("blk.31.attn_q.weight.lora_b", (16, 4096), "f16"))


def ask(model: str, **given: Any) -> Estimate:
    """The answer to a question about a stored header."""
    return answer(from_dict({"model": model, **given}), llama_cases.model(model))


def bytes_of(estimate: Estimate, *parts: str) -> int:
    """All parts of these names, on all devices."""
    return sum(part.bytes for device in estimate.devices for part in device.parts if part.part in parts)


def parts_of(estimate: Estimate) -> list[Part]:
    """The parts of all devices."""
    return [part for device in estimate.devices for part in device.parts]


def resolved(model: str, **given: Any) -> tuple[Settings, Placement]:
    """What the question comes to: all that memory depends on, besides the model."""
    return placement_of(from_dict({"model": model, **given}), llama_cases.model(model))


def cached(model: str, **given: Any) -> int:
    """Cache and state on all devices."""
    return sum(cache_by_device(llama_cases.model(model), *resolved(model, **given)).values())


# --- more asked, no less taken ------------------------------------------------------------------------


@settings(deadline=None)
@given(st.sampled_from(ANY_SLOTS), st.integers(1, 400_000), st.integers(0, 100_000), st.integers(1, 8), st.booleans())
def test_cache_does_not_fall_with_context(model: str, context: int, more: int, users: int, unified: bool) -> None:
    """More tokens per request take at least as much cache and state."""
    small, large = (cached(model, context=tokens, users=users, kv_unified=unified) for tokens in (context, context + more))

    assert small <= large


@settings(deadline=None)
@given(st.sampled_from(ANY_SLOTS), st.integers(1, 100_000), st.integers(1, 12), st.integers(0, 6), st.booleans())
def test_cache_does_not_fall_with_users(model: str, context: int, users: int, more: int, unified: bool) -> None:
    """More users, each with the same context, take at least as much. More slots for the same `-c` may take less: each is padded to 256."""
    few, many = (cached(model, context=context, users=n, slots=n, kv_unified=unified) for n in (users, users + more))

    assert few <= many


def test_more_slots_may_take_less_cache() -> None:
    """The exception: `-c 10000` on three slots is padded to 3 x 3,584 cells, on four to 4 x 2,560."""
    three, four = (resolved("llama3.1-8b", n_ctx=10_000, slots=slots)[0] for slots in (3, 4))

    assert (10_752, 10_240) == (three.n_ctx, four.n_ctx)


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.integers(256, 200_000), st.integers(1, 4096), st.integers(0, 2048))
def test_cache_does_not_fall_with_ubatch(model: str, n_ctx: int, ubatch: int, more: int) -> None:
    """A window holds one ubatch more than it is wide; nothing else of the cache depends on it."""
    small, large = (cached(model, n_ctx=n_ctx, batch=8192, ubatch=tokens) for tokens in (ubatch, ubatch + more))

    assert small <= large


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(FAST), st.integers(1, 500), st.integers(0, 200))
def test_a_server_takes_no_less_for_more_context(model: str, context: int, more: int) -> None:
    """On the GPU, all parts together, with the server's settings.

    The tools' buffer for a whole batch of logits is not monotonic: Qwen3.5-122B takes 645 MB at 4K and 574 MB at 32K, as the
    allocator finds room or does not.
    """
    small, large = (ask(model, n_ctx=256 * blocks, slots=1) for blocks in (context, context + more))

    assert small.gpu_bytes <= large.gpu_bytes


def test_tools_may_take_less_compute_for_more_context() -> None:
    """The exception, as it was measured."""
    small, large = (bytes_on_gpu(ask("qwen3.5-122b-a10b", profile="tools", n_ctx=n_ctx), "compute") for n_ctx in (4096, 32_768))

    assert small > large


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.integers(0, 100), st.integers(0, 20))
def test_layers_move_and_none_is_lost(model: str, layers: int, more: int) -> None:
    """More layers on the GPU hold more of the weights there; the cache changes its place, and its padding at most."""
    tensors = llama_cases.model(model).tensors
    few, many = (weights_by_device(llama_cases.model(model), tensors, resolved(model, gpu_layers=n)[1], False) for n in (layers, layers + more))

    assert few.get(0, 0) <= many.get(0, 0)
    assert abs(cached(model, gpu_layers=layers) - cached(model, gpu_layers=layers + more)) <= PADDING * len(llama_cases.model(model).layers)


def bytes_on_gpu(estimate: Estimate, name: str) -> int:
    """A part on all GPUs."""
    return sum(part.bytes for device in estimate.devices[:-1] for part in device.parts if part.part == name)


# --- sums ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(FAST), st.integers(1, 4), st.booleans())
def test_parts_add_up(model: str, gpus: int, limited: bool) -> None:
    """Parts make a device, devices make the total; what is left is what the device can spare less its parts."""
    estimate = ask(model, context=8192, device=[f"cuda:{24_000 + limited}MiB-free"] * gpus)

    assert estimate.total_bytes == sum(part.bytes for part in parts_of(estimate)) == estimate.gpu_bytes + estimate.host_bytes
    assert all(device.free_bytes == 2**20 * (24_000 + limited) - device.total_bytes for device in estimate.devices[:-1])
    assert all(part.bytes > 0 for part in parts_of(estimate))


@pytest.mark.parametrize("model", MODELS)
def test_bands_hold_their_number(model: str) -> None:
    """A band reaches below and above; a part without one is no guess."""
    for part in parts_of(ask(model)):
        assert part.error is None or part.error.low <= 0 <= part.error.high
        assert (part.basis == "fitted") <= (part.error is not None)


# --- what is attached ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "home"), [("cuda", "GPU"), ("cpu", "host")])
def test_a_projector_lives_on_the_first_gpu(backend: str, home: str) -> None:
    """Its tensors, each padded to the backend's alignment, and a fitted buffer for the encoder."""
    question = from_dict({"model": "llama3.1-8b", "backend": backend, "mmproj": "mmproj.gguf"})
    estimate = answer(question, llama_cases.model("llama3.1-8b"), Attached(projector=PROJECTOR))
    found = {(device.name, part.why): part.bytes for device in estimate.devices for part in device.parts if part.part == "projector"}
    padding = 128 if backend == "cuda" else 32

    assert 2 * 1152 * 1000 + padding == found[home, "projector"]
    assert {(home, "projector"), (home, "projector_compute")} == set(found)


def test_adapters_live_beside_their_layers() -> None:
    """With 16 layers on the GPU, what changes layer 0 is on the host and what changes layer 31 on the GPU."""
    question = from_dict({"model": "llama3.1-8b", "gpu_layers": 16, "lora": ["a.gguf"]})
    estimate = answer(question, llama_cases.model("llama3.1-8b"), Attached(adapters=(ADAPTER,)))

    assert [("GPU", 2 * 16 * 4096), ("host", 2 * 16 * 4096)] == [(d.name, p.bytes) for d in estimate.devices for p in d.parts if p.part == "lora"]


def test_only_a_server_keeps_prompts() -> None:
    """Saved prompts and checkpoints may grow to their limits; the command-line tools have none."""
    server, tools = (ask("lfm2-1.2b", profile=profile) for profile in ("server", "tools"))

    assert 8 * GIB == bytes_of(server, "prompt_cache")
    assert 0 < bytes_of(server, "checkpoints")
    assert 0 == bytes_of(tools, "prompt_cache", "checkpoints")


# --- the command ---------------------------------------------------------------------------------------

GIVEN = {
    "n_ctx": st.integers(1, 300_000), "context": st.integers(1, 200_000), "users": st.integers(1, 8), "slots": st.integers(1, 8),
    "kv_unified": st.booleans(), "profile": st.sampled_from(["server", "tools"]), "batch": st.integers(32, 8192),
    "ubatch": st.integers(32, 4096), "flash_attn": st.sampled_from(["on", "auto"]), "cache_type_k": st.sampled_from(CACHE_TYPES),
    "cache_type_v": st.sampled_from(CACHE_TYPES), "swa_full": st.booleans(), "kv_offload": st.just(True), "op_offload": st.booleans(),
    "gpu_layers": st.integers(-1, 60), "n_cpu_moe": st.integers(0, 50), "cpu_moe": st.booleans(), "mmap": st.booleans(),
    "override_tensor": st.sampled_from([r"blk\.\d+\.ffn_(up|gate)_exps=CPU", "ffn_down=CUDA0", "it's=CPU", "a$b=CPU,c`d=CPU", "\\\\x=CPU"]),
}  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.fixed_dictionaries({}, optional=GIVEN))
def test_the_command_reproduces_the_settings(model: str, given: dict[str, Any]) -> None:
    """What is printed to be typed, read back as a question, comes to the same settings and places."""
    question, known = from_dict({"model": model, **given}), llama_cases.model(model)
    try:
        expected = placement_of(question, known)
    except RefusedError:
        return
    command = launch(question, known, expected[0], "file", False)

    assert expected == placement_of(read_back(command, model), known)


@pytest.mark.parametrize("given", QUESTIONS, ids=lambda given: str(given["model"]))
def test_the_command_reproduces_the_answer(given: dict[str, Any]) -> None:
    """And to the same bytes; on a machine without a GPU, for a question about the CPU."""
    estimate = ask(**given)
    again = replace(read_back(estimate.command["llama.cpp"], given["model"]), backend=given.get("backend"))

    assert as_rows(estimate) == as_rows(answer(again, estimate.model))


def read_back(command: str, model: str) -> Question:
    """The engine's own command as a question: its `-c` counts the cells of all slots."""
    program, *words = shlex.split(command)
    profile = {"llama-server": "server", "llama-cli": "tools"}[program]
    fit = words.index("--fit")
    assert [f"{model}.gguf", "off"] == [words[words.index("-m") + 1], words[fit + 1]]
    words = [*words[:fit], *words[fit + 2 :], "--profile", profile]
    return from_argv(["--n-ctx" if word == "-c" else word for word in words])


def as_rows(estimate: Estimate) -> list[tuple[str, str, int]]:
    """Device, part and bytes."""
    return [(device.name, part.why, part.bytes) for device in estimate.devices for part in device.parts]


# --- explanations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", QUESTIONS, ids=lambda given: str(given["model"]))
def test_every_part_is_explained_to_the_byte(given: dict[str, Any]) -> None:
    """The result of an explanation is what the part takes on all devices together."""
    estimate = ask(**given)
    totals: dict[str, int] = {}
    for part in parts_of(estimate):
        totals[part.why] = totals.get(part.why, 0) + part.bytes
    told = {why: explain(from_dict(given), estimate.model, why).result for why in totals}

    assert totals == {why: int(result.removeprefix("up to ").split(" ")[0].replace(",", "")) for why, result in told.items()}


@pytest.mark.parametrize("part", WRITERS)
def test_every_explanation_names_its_source(part: str) -> None:
    """Title, formula, at least one step, and where the rule stands."""
    told = explain(from_dict({"model": "llama3.1-8b"}), llama_cases.model("llama3.1-8b"), part)

    assert all((told.title, told.formula, told.steps, told.source))


def test_unknown_parts_are_refused_with_the_nearest() -> None:
    """A slip of the pen gets the right name back."""
    with pytest.raises(QuestionError) as refused:
        explain(from_dict({"model": "llama3.1-8b"}), llama_cases.model("llama3.1-8b"), "weight")

    assert "weights" in refused.value.nearest
