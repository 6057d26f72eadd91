"""Qwen3.5-122B-A10B in Q4_K_M with 262,144 tokens and one slot: every byte that llama.cpp b11434 reports."""

from collections.abc import Callable

import pytest

import llama_cases
from tonnage.engines.llamacpp import answer
from tonnage.model import catalogue
from tonnage.model.types import Model
from tonnage.question import from_dict

GPU = {"weights": 73_772_642_304, "kv": 6_442_450_944, "state": 156_303_360, "compute": 444_616_960}
HOST = {"weights": 429_096_960, "compute": 293_625_920, "output": 993_280}
QUESTION = {"model": "qwen3.5-122b-a10b", "n_ctx": 262_144, "slots": 1}


def from_config() -> Model:
    """The built-in model: a config, quantised by rule."""
    return catalogue.model("qwen3.5-122b-a10b")


def from_file() -> Model:
    """The header of a file."""
    return llama_cases.model("qwen3.5-122b-a10b")


@pytest.mark.parametrize("source", [from_config, from_file])
def test_every_byte_on_the_gpu(source: Callable[[], Model]) -> None:
    """Weights, cache, state and compute are exact; nothing else lies there."""
    gpu, _ = answer(from_dict(QUESTION), source()).devices

    assert GPU == {part.part: part.bytes for part in gpu.parts}
    assert all(part.error is None for part in gpu.parts)


MIB = 2**20
ON_TWO = {"device": ["cuda:48480MiB-free"] * 2}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cache_type_k": "q8_0", "cache_type_v": "q8_0"}, [880, 280]),
        ({"flash_attn": "off"}, [16_978, 538]),
        ({"cpu_moe": True}, [1556, 280]),
        ({"cpu_moe": True, "op_offload": False}, [382, 365]),
        (ON_TWO, [1272, 1218, 1084]),
        ({**ON_TWO, "override_tensor": "nothing=CPU"}, [424, 426, 280]),
    ],
    ids=str,
)
def test_what_makes_the_compute_buffer_larger(given: dict[str, object], expected: list[int]) -> None:
    """The figures of docs/how-llama.cpp-uses-memory.md, MiB on every GPU and the host."""
    devices = answer(from_dict(QUESTION | given), from_config()).devices

    assert expected == [round(sum(p.bytes for p in device.parts if p.part == "compute") / MIB) for device in devices]


@pytest.mark.parametrize("source", [from_config, from_file])
def test_what_stays_on_the_host(source: Callable[[], Model]) -> None:
    """The embedding, the inputs and the outputs; what the server may grow to is told apart."""
    _, host = answer(from_dict(QUESTION), source()).devices

    assert HOST == {part.part: part.bytes for part in host.parts if part.held != "reserved"}


@pytest.mark.parametrize(
    ("settings", "total"),
    [
        ({"slots": 1}, 80_816_013_568),
        ({}, 81_284_923_648),
        ({"profile": "tools"}, 81_173_579_904),
    ],
    ids=["server, one slot", "server's defaults", "tools"],
)
def test_totals_of_the_profiles(settings: dict[str, object], total: int) -> None:
    """Four slots have four states; the tools reserve logits for a whole batch."""
    question = from_dict({"model": "qwen3.5-122b-a10b", "n_ctx": 262_144, **settings})

    assert total == answer(question, from_config()).gpu_bytes


def test_drafting_with_its_own_block() -> None:
    """Multi-token prediction loads the block, keeps three states more to roll back to, and has a cache of its own."""
    question = from_dict({**QUESTION, "speculative": "mtp"})
    gpu, _ = answer(question, from_config()).devices
    found = {part.why: part.bytes for part in gpu.parts}

    assert {"state": 4 * 156_303_360, "draft": 1_631_172_608, "draft_kv": 536_870_912} == {why: found[why] for why in ("state", "draft", "draft_kv")}


def test_draft_compute_holds_what_was_measured() -> None:
    """332 MiB at 256K lie inside the draft's band."""
    gpu, _ = answer(from_dict({**QUESTION, "speculative": "mtp"}), from_config()).devices
    part = next(part for part in gpu.parts if part.why == "draft_compute")

    assert part.error is not None
    assert part.bytes + part.error.low <= 332 * 2**20 <= part.bytes + part.error.high
