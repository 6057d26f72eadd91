"""A plan: what it keeps, what it leaves behind, and when there is none."""

from typing import Any

import pytest

import placements
from tonnage.answer import DeviceAnswer
from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan import Planned, least_bytes, plan
from tonnage.engines.llamacpp.plan.check import hold
from tonnage.engines.llamacpp.plan.layout import placed
from tonnage.engines.llamacpp.plan.machine import Machine, Memory, assumed_bandwidth, machine_of
from tonnage.engines.llamacpp.plan.objective import seconds_per_token
from tonnage.engines.llamacpp.plan.targets import targets
from tonnage.engines.llamacpp.plan.words import in_ram, ranges
from tonnage.hardware.devices import find
from tonnage.units import GIB

pytestmark = pytest.mark.slow


def planned(name: str, free_mib: list[int], n_ctx: int = 32768, **more: Any) -> Planned | None:
    """The plan of a kept model."""
    return plan(placements.question(name, free_mib, n_ctx, **more), placements.model(name))


def found(name: str, free_mib: list[int], n_ctx: int = 32768, **more: Any) -> Planned:
    """A plan that there is."""
    made = planned(name, free_mib, n_ctx, **more)
    assert made
    return made


def test_what_fits_is_left_to_the_engine() -> None:
    """A model that fits on one GPU needs no flag."""
    made = found("qwen3-30b-a3b", [23_990])

    assert {"gpu_layers": 49} == made.plan.flags
    assert "" == in_ram(made.task, made.checked)


def test_experts_leave_before_attention() -> None:
    """Of a mixture of experts every layer's attention stays on the GPU."""
    made = found("qwen3.5-122b-a10b", [23_990], 131_072)

    assert {0} == set(made.plan.layers)
    assert HOST in made.plan.experts
    assert in_ram(made.task, made.checked).startswith("experts of ")


def test_attention_leaves_before_the_dense_feed_forward_part() -> None:
    """A long cache takes more room than what is read of it: front layers keep their matrices on the GPU."""
    made = found("gemma3-27b", [15_850], 131_072)

    assert "attention and cache of 60 layers" == in_ram(made.task, made.checked)


def test_the_faster_card_is_filled_first() -> None:
    """A model that fits on one of two unlike cards goes to the one that reads faster, wherever it stands."""
    made = found("llama3.1-8b", [11_780, 23_990], 8192)

    assert {1} == set(made.plan.layers)


def test_host_memory_is_not_overfilled() -> None:
    """With too little RAM for what the GPU cannot hold there is no plan."""
    made = found("qwen3.5-122b-a10b", [23_990])
    too_little = f"{made.checked.host // GIB}GiB"

    assert planned("qwen3.5-122b-a10b", [23_990], ram="96GB") is not None
    assert planned("qwen3.5-122b-a10b", [23_990], ram=too_little) is None


def test_a_margin_is_kept_as_asked() -> None:
    """A wider margin leaves more to RAM."""
    narrow, wide = found("gpt-oss-120b", [23_990], margin="512MiB"), found("gpt-oss-120b", [23_990], margin="4GiB")

    assert narrow.checked.host < wide.checked.host
    assert max(wide.checked.over(wide.task.machine)) <= 0


def test_pipeline_copies_are_given_up_where_they_do_not_fit() -> None:
    """An override that moves nothing switches pipeline parallelism off, and its copies go."""
    made = found("qwen3.5-122b-a10b", [40_600, 40_600], 262_144)

    assert not made.checked.placement.pipeline
    assert max(made.checked.over(made.task.machine)) <= 0


def test_placement_of_the_question_is_not_looked_at() -> None:
    """A plan places anew what the question had placed."""
    assert found("qwen3-30b-a3b", [11_780]).plan.flags == found("qwen3-30b-a3b", [11_780], gpu_layers=5, n_cpu_moe=3).plan.flags


def test_without_a_gpu_all_is_on_the_host() -> None:
    """The CPU backend."""
    made = plan(placements.question("llama3.1-8b", [23_990], 8192, backend="cpu"), placements.model("llama3.1-8b"))
    assert made

    assert {HOST} == set(made.plan.layers)


def test_time_is_what_every_memory_takes_and_the_splits() -> None:
    """1.008 TB/s at 0.75, and 83 GB/s at 0.7; 15 us a split."""
    machine = found("qwen3-30b-a3b", [23_990]).task.machine

    assert 1e9 / (1008e9 * 0.75) + 1e9 / (83e9 * 0.7) + 4 * 15e-6 == pytest.approx(seconds_per_token({0: 10**9, HOST: 10**9}, 4, machine))


@pytest.mark.parametrize(("gib", "gbps"), [(7.5, 272), (11.5, 504), (15.5, 717), (23.4, 1008), (47.3, 960), (79, 3350), (200, 4800)])
def test_a_size_alone_gets_the_bandwidth_of_a_usual_card(gib: float, gbps: int) -> None:
    """Rows by size, free memory being a little less than that."""
    assert gbps * 1e9 == assumed_bandwidth(round(gib * GIB))


def test_programs_around_llama_cpp_get_whole_layers() -> None:
    """Ollama's and LM Studio's own names, for the most layers that fit."""
    made = found("qwen3-30b-a3b", [11_780], cache_type_k="q8_0", cache_type_v="q8_0")
    told = dict(targets(made.task))

    assert told["Ollama"].startswith("OLLAMA_NUM_PARALLEL=1 OLLAMA_FLASH_ATTENTION=1 OLLAMA_KV_CACHE_TYPE=q8_0 ollama serve")
    assert "PARAMETER num_ctx 32768, PARAMETER num_gpu " in told["Ollama"]
    assert told["LM Studio"].startswith("lms load qwen3-30b-a3b --context-length 32768 --gpu 0.")


@pytest.mark.parametrize(("numbers", "expected"), [([], "-"), ([3], "3"), ([1, 2, 3, 7], "1-3, 7")])
def test_ranges_of_layers(numbers: list[int], expected: str) -> None:
    """Runs are joined."""
    assert expected == ranges(numbers)


def test_known_devices_are_read_as_the_speed_model_says():
    """A card of the catalogue and a kit have the speed model's shares, experts in RAM fewer; a size alone has the assumed ones."""
    answers = [DeviceAnswer("RTX 4090", "gpu", (), 24 * 2**30, 23 * 2**30), DeviceAnswer("host", "host", (), None, 64 * 2**30)]
    card, size = find("RTX 4090"), find("24GB")
    asked = ((card, True), (card, False), (size, True))
    known, dense, told_by_size = (machine_of(answers, told, 96e9, 0, "cuda", experts) for told, experts in asked)

    assert (1 / 1.126, 0.85 * 0.45) == pytest.approx((known.gpus[0].efficiency, known.host.efficiency))
    assert 1 / 1.533 == pytest.approx(dense.host.efficiency)
    assert (0.75, 0.7) == (told_by_size.gpus[0].efficiency, told_by_size.host.efficiency)


@pytest.mark.parametrize(("name", "ram"), [("deepseek-v3", None), ("qwen3.5-122b-a10b", "96GB"), ("gemma3-27b", None), ("lfm2-1.2b", None)])
def test_no_placement_takes_less_than_the_least(name: str, ram: str | None) -> None:
    """What a machine must hold at least is no more than what any layout takes, so that none is missed."""
    more = {"ram": ram} if ram else {}
    made = found(name, [23_990, 23_990], **more)
    held = [made.checked, *(hold(made.task, placed(made.task.question, keys), 0.0) for keys in ({"gpu_layers": 0}, {"cpu_moe": True}, {}))]

    assert least_bytes(made.task) <= min(sum(one.used) + one.host for one in held)


def test_what_no_memory_holds_is_not_searched_for() -> None:
    """The margins of all GPUs count, and a host without a limit holds everything."""
    gpu, small, endless = (Memory("", n, 1.0, 1.0) for n in (8 * GIB, 16 * GIB, None))
    machine = Machine((gpu, gpu), small, GIB)

    assert [True, False] == [machine.holds(n) for n in (30 * GIB, 30 * GIB + 1)]
    assert machine._replace(host=endless).holds(1000 * GIB)
    assert machine._replace(gpus=(gpu, endless)).holds(1000 * GIB)
