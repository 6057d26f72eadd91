"""Who lives where: layers, weights and cache on several GPUs, as llama.cpp places them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_cases
from llama_cases import Case
from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.placement import HOST, layer_devices, place
from tonnage.errors import QuestionError
from tonnage.question import from_dict

SPREAD = llama_cases.spread()
ROWS = dict(zip([case.name for case in SPREAD], llama_cases.read("placement-cases")["cases"], strict=True))
MODEL = "qwen3-30b-a3b"
LAYERS = 48


# --- what the engine did ------------------------------------------------------------------------------


@pytest.mark.parametrize("case", SPREAD, ids=str)
def test_layers_are_where_the_engine_put_them(case: Case) -> None:
    """Every block and the output layer, and whether the devices form a pipeline (four copies of the inputs)."""
    row = ROWS[case.name]
    _, placement = placement_of(case.question, llama_cases.model(case.question.model))

    assert (unpacked(row["layers"]), row["copies"]) == (placement.layers, 4 if placement.pipeline else 1)


def unpacked(runs: str) -> tuple[int, ...]:
    """`CPUx2 CUDA0x3` -> (-1, -1, 0, 0, 0)."""
    pairs = (run.rsplit("x", 1) for run in runs.split())
    return tuple(device for name, count in pairs for device in [HOST if name == "CPU" else int(name.removeprefix("CUDA"))] * int(count))


@pytest.mark.parametrize("case", SPREAD, ids=str)
@pytest.mark.parametrize("term", [0, 1], ids=["weights", "cache"])
def test_bytes_are_where_the_engine_put_them(case: Case, term: int) -> None:
    """Weights and cache of every device to the byte."""
    assert case.measured is not None

    assert llama_cases.column(case.measured, term) == llama_cases.column(llama_cases.predicted(llama_cases.answered(case)), term)


# --- the split of layers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "offloaded", "shares", "expected"),
    [
        (4, 5, [1], (0, 0, 0, 0, 0)),
        (4, 4, [1], (-1, 0, 0, 0, 0)),
        (4, 1, [1], (-1, -1, -1, -1, 0)),
        (4, 0, [1], (-1, -1, -1, -1, -1)),
        (4, 99, [1], (0, 0, 0, 0, 0)),
        (3, 4, [1, 1], (0, 0, 1, 1)),
        (4, 5, [1, 1], (0, 0, 0, 1, 1)),
        (4, 5, [3, 2], (0, 0, 0, 1, 1)),
        (4, 5, [2, 3], (0, 0, 1, 1, 1)),
        (4, 5, [1, 0], (0, 0, 0, 0, 0)),
        (4, 5, [0, 1], (1, 1, 1, 1, 1)),
        (5, 6, [1, 0, 2], (0, 0, 2, 2, 2, 2)),
        (5, 4, [1, 1], (-1, -1, 0, 0, 1, 1)),
    ],
)
def test_layers_fill_from_the_back(layers: int, offloaded: int, shares: list[float], expected: tuple[int, ...]) -> None:
    """The output layer goes first, and a layer moves on where the share before it is used up exactly."""
    assert expected == layer_devices(layers, offloaded, shares)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(any))
def test_whole_numbers_that_add_up_are_counts(counts: list[int]) -> None:
    """A split by as many layers as there are gives every device exactly its number."""
    placed = layer_devices(sum(counts) - 1, sum(counts), counts)

    assert counts == [placed.count(device) for device in range(len(counts))]


@settings(deadline=None)
@given(st.integers(1, 130), st.integers(0, 140), st.lists(st.integers(1, 10**11), min_size=1, max_size=8))
def test_devices_come_in_order(layers: int, offloaded: int, shares: list[int]) -> None:
    """Host first, then the GPUs one after another; as many on GPUs as were asked for."""
    placed = layer_devices(layers, offloaded, shares)

    assert list(placed) == sorted(placed)
    assert min(offloaded, layers + 1) == sum(device != HOST for device in placed)


def test_shares_are_single_precision() -> None:
    """8 of 10 layers against a share of 0.8: equal in float32, so that layer 8 moves on; the device before it is not filled further."""
    assert 8 == layer_devices(9, 10, [8, 2]).count(0)
    assert 7 == layer_devices(9, 10, [0.7, 0.3]).count(0)


# --- overrides -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "tensor", "expected"),
    [
        ({}, "blk.0.ffn_up_exps.weight", None),
        ({"cpu_moe": True}, "blk.0.ffn_up_exps.weight", HOST),
        ({"cpu_moe": True}, "blk.0.ffn_gate_up_exps.bias", HOST),
        ({"cpu_moe": True}, "blk.0.ffn_up_shexp.weight", None),
        ({"cpu_moe": True}, "blk.0.ffn_gate_inp.weight", None),
        ({"n_cpu_moe": 2}, "blk.1.ffn_down_exps.weight", HOST),
        ({"n_cpu_moe": 2}, "blk.2.ffn_down_exps.weight", None),
        ({"n_cpu_moe": 2}, "blk.11.ffn_down_exps.weight", None),
        ({"override_tensor": r"blk\.1\.=CUDA1,exps=CPU"}, "blk.1.ffn_down_exps.weight", 1),
        ({"override_tensor": r"blk\.1\.=CUDA1,exps=CPU"}, "blk.2.ffn_down_exps.weight", HOST),
        ({"override_tensor": r"blk\.1\.=CUDA1,exps=CPU"}, "output.weight", None),
        ({"override_tensor": r"blk\.1\.ffn_(up|down)_exps=CPU"}, "blk.1.ffn_down_exps.weight", HOST),
        ({"override_tensor": r"blk\.1\.ffn_up|down_exps=CPU"}, "blk.2.ffn_down_exps.weight", HOST),
        ({"override_tensor": r"blk\.1\.?=CPU"}, "blk.12.ffn_down_exps.weight", HOST),
        ({"override_tensor": r"blk\.\d+\.ffn_down_exps=CPU"}, "blk.2.ffn_down_exps.weight", HOST),
        ({"override_tensor": r"^blk\.2\.=CPU,blk\.2\.ffn=CUDA1"}, "blk.2.ffn_down_exps.weight", HOST),
    ],
)
def test_overrides_match_tensors(given: dict[str, object], tensor: str, expected: int | None) -> None:
    """By regular expression anywhere in the name; the first match wins."""
    question = from_dict({"model": MODEL, **given})

    assert expected == place(question, llama_cases.model(MODEL), [1, 1]).override(tensor)


@pytest.mark.parametrize("text", ["exps", "exps=CUDA2", "exps=disk", "(=CPU"])
def test_overrides_that_cannot_be_are_refused(text: str) -> None:
    """A pattern and a device that exists."""
    question = from_dict({"model": MODEL, "override_tensor": text})

    with pytest.raises(QuestionError, match="override_tensor"):
        place(question, llama_cases.model(MODEL), [1, 1]).override("blk.0.ffn_up_exps.weight")


@pytest.mark.parametrize(
    ("given", "gpus", "expected"),
    [
        ({}, 1, False),
        ({}, 2, True),
        ({"gpu_layers": LAYERS + 1}, 2, True),
        ({"gpu_layers": LAYERS}, 2, False),
        ({"kv_offload": False}, 2, False),
        ({"override_tensor": "nothing=CPU"}, 2, False),
        ({"n_cpu_moe": 1}, 2, False),
        ({"tensor_split": [1, 0]}, 2, True),
        ({"split_mode": "none"}, 2, False),
    ],
)
def test_devices_form_a_pipeline(given: dict[str, object], gpus: int, expected: bool) -> None:
    """With several devices, everything on them, and no override at all, not even one that matches nothing."""
    assert expected == place(from_dict({"model": MODEL, **given}), llama_cases.model(MODEL), [1] * gpus).pipeline


def test_one_gpu_can_be_chosen() -> None:
    """Split mode none puts everything on the main GPU."""
    question = from_dict({"model": MODEL, "split_mode": "none", "main_gpu": 1})

    assert (1,) * (LAYERS + 1) == place(question, llama_cases.model(MODEL), [1, 1]).layers


def test_no_more_shares_than_devices() -> None:
    """Three shares for two GPUs are refused."""
    with pytest.raises(QuestionError, match="tensor_split has 3 values for 2 GPUs"):
        place(from_dict({"model": MODEL, "tensor_split": [1, 1, 1]}), llama_cases.model(MODEL), [1, 1])
