"""What an answer says where the question does not fit as it is asked: a plan with its command, and settings that would fit."""

import json
import shlex

import pytest

from tonnage.answer import Estimate
from tonnage.cli import main
from tonnage.engines.llamacpp.placement import as_backend_names
from tonnage.engines.llamacpp.plan import plan
from tonnage.estimation import estimate, judged
from tonnage.model import catalogue
from tonnage.question import from_argv, from_dict

pytestmark = pytest.mark.slow


def answered(name: str, **given: object) -> Estimate:
    """The estimate of a built-in model in Q4_K_M."""
    return estimate(from_dict({"model": name, "quant": "Q4_K_M", **given}), catalogue.model(name))


def test_experts_in_ram_are_offered() -> None:
    """The word, how many layers, and a plan with its command beside the one that was asked for."""
    found = answered("qwen3.5-122b-a10b", context="128K", device="24GB")
    assert found.verdict
    assert found.plan

    assert "offload" == found.verdict.word
    assert "experts of 38 layers in RAM" in found.verdict.text
    assert ["llama.cpp", "llama.cpp, as planned"] == list(found.command)


def test_the_planned_command_fits() -> None:
    """Its words, asked as a question, are answered with a fit."""
    found = answered("qwen3-32b", context="32K", device="24GB")
    words = shlex.split(found.command["llama.cpp, as planned"])
    asked = from_argv(["qwen3-32b", "-q", "Q4_K_M", "-d", "24GB", *words[words.index("-c") :]])
    verdict = estimate(asked, catalogue.model("qwen3-32b")).verdict
    assert verdict

    assert "fits" == verdict.word


REMEDIES = {
    "-c 19K": {"context": "19K"},
    "q8_0 cache (-ctk q8_0 -ctv q8_0)": {"cache_type_k": "q8_0", "cache_type_v": "q8_0"},
    "-q Q3_K_M": {"quant": "Q3_K_M"},
}


def test_remedies_are_told() -> None:
    """Less context, a smaller cache, the next smaller quant, after what the plan does."""
    found = answered("qwen3-32b", context="32K", device="cuda:24GiB-free")
    assert found.verdict

    assert [*REMEDIES] == list(found.verdict.would_fit_with[1:])


@pytest.mark.parametrize("remedy", REMEDIES)
def test_remedies_hold(remedy: str) -> None:
    """Each of them alone makes it fit."""
    given = {"quant": "Q4_K_M", "context": "32K", "device": "cuda:24GiB-free", **REMEDIES[remedy]}
    found = judged(from_dict({"model": "qwen3-32b", **given}), catalogue.model("qwen3-32b"))

    assert found.verdict
    assert "fits" == found.verdict.word


def test_a_context_that_is_offered_is_the_largest() -> None:
    """1,024 tokens more do not fit with the margin."""
    found = judged(from_dict({"model": "qwen3-32b", "quant": "Q4_K_M", "context": "20K", "device": "24GB"}), catalogue.model("qwen3-32b"))

    assert found.verdict
    assert "tight" == found.verdict.word


def test_placement_that_was_asked_for_is_not_replaced() -> None:
    """With -ngl given the answer is about that alone."""
    found = answered("qwen3-32b", context="32K", device="24GB", gpu_layers="all")
    assert found.verdict

    assert ("too big", None) == (found.verdict.word, found.plan)


def test_too_little_ram_is_too_big() -> None:
    """No plan, and no setting that fits: what is left is a larger machine, told in memory and in GPUs."""
    found = answered("llama-3.3-70b-instruct", context="32K", device="16GB", ram="8GB")
    assert found.verdict

    assert ("too big", None) == (found.verdict.word, found.plan)
    assert ("48 GB of RAM", "4x 16GB") == found.verdict.would_fit_with


# --- the command line --------------------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Exit code and output of `tonnage plan`."""
    code = main(["plan", *words])
    return code, capsys.readouterr().out


def test_plan_tells_devices_speed_fit_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """The table of a plan, in the order in which it is read."""
    code, out = run(capsys, "qwen3-30b-a3b", "-q", "Q4_K_M", "-c", "32K", "-d", "12GB", "--ram", "64GB")
    told = ("12GB", "host", "tokens/s by bytes read", "llama.cpp's --fit", "fits:", "llama.cpp:", "Ollama:", "LM Studio:")
    places = [out.index(word) for word in told]

    assert 0 == code
    assert places == sorted(places)


def test_plan_as_json_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """With `plan`, its flags, and what each device reads."""
    code, out = run(capsys, "qwen3-30b-a3b", "-q", "Q4_K_M", "-c", "32K", "-d", "12GB", "--json")
    told = json.loads(out)

    assert (0, "fits", 49) == (code, told["verdict"]["word"], len(told["plan"]["layers"]))
    assert [0, -1] == [device["device"] for device in told["plan"]["modelled"]["devices"]]
    assert told["plan"]["against_fit"].startswith("By bytes read alone this plan is ")


def test_every_number_of_layers_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Experts of more layers in RAM: the GPU holds less, the host more, and a token takes longer, whether it fits or not."""
    code, out = run(capsys, "gpt-oss-20b", "-c", "8K", "-d", "12GB", "--every", "--json")
    rows = json.loads(out)["rows"]

    assert (0, list(range(25))) == (code, [row["layers_in_ram"] for row in rows])
    for key, falls in (("gpu_bytes", True), ("host_bytes", False), ("tokens_per_second", True)):
        told = [row[key] for row in rows if row[key] is not None]
        assert told == sorted(told, reverse=falls)
    assert [row["fits"] for row in rows] == [row["spare_bytes"] >= 0 for row in rows]
    assert None not in [row["tokens_per_second"] for row in rows]
    first = next(row["layers_in_ram"] for row in rows if row["fits"])
    assert f"The first that fits: -ncmoe {first}." in json.loads(out)["notes"][-1]


def test_rows_of_no_device_tell_no_speed(capsys: pytest.CaptureFixture[str]) -> None:
    """What stays on a GPU and what RAM that takes are the same everywhere, the speed is not."""
    code, out = run(capsys, "gpt-oss-20b", "-c", "8K", "--every", "--json")
    rows = json.loads(out)["rows"]

    assert (0, {(None, None)}) == (code, {(row["tokens_per_second"], row["fits"]) for row in rows})


def test_where_no_row_fits_the_table_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    """And with a word on where to look."""
    code, out = run(capsys, "gpt-oss-120b", "-c", "8K", "-d", "3GB", "--every")

    assert 1 == code
    assert "None fits by this alone." in out


def test_as_llama_fit_shows_its_context(capsys: pytest.CaptureFixture[str]) -> None:
    """--fit cuts a context that was not given before it moves anything."""
    code, out = run(capsys, "gpt-oss-20b", "-d", "8GB", "--as-llama-fit")

    assert 0 == code
    assert "it takes -c 4096" in " ".join(out.split())
    assert "4,096 tokens a request" in out


def test_past_one_host_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no plan fits on one host, the commands of llama.cpp's RPC."""
    code, out = run(capsys, "llama-3.3-70b-instruct", "-q", "Q4_K_M", "-c", "32K", "-d", "24GB", "--ram", "16GB")

    assert 1 == code
    assert "rpc-server -H 0.0.0.0 -p 50052" in out
    assert "--rpc node1:50052" in out
    told = " ".join(out.split())
    assert "one would do with 32 GB of RAM, or 3x 24GB." in told
    assert "the network's time is not counted" in told


@pytest.mark.parametrize(("device", "ram", "more"), [("24GB", "32GB", ("64 GB of RAM", "4x 24GB")), ("m4 max 36", None, ("a larger machine",))])
def test_what_no_setting_makes_fit_needs_a_larger_machine(device: str, ram: str | None, more: tuple[str, ...]) -> None:
    """The least RAM that is sold and has a plan, the fewest GPUs of the kind; of a Mac that there are larger ones."""
    found = answered("qwen3.5-122b-a10b", context="256K", device=device, ram=ram)
    assert found.verdict

    assert len(more) == len(found.verdict.would_fit_with)
    assert all(told.startswith(wanted) for told, wanted in zip(found.verdict.would_fit_with, more, strict=True))


def test_gpus_and_ram_that_are_named_hold_it() -> None:
    """Asked for, they do."""
    given = {"context": "256K", "device": "24GB", "ram": "64GB"}
    words = [answered("qwen3.5-122b-a10b", **asked).verdict for asked in (given, {**given, "ram": "32GB", "device": "4x 24GB"})]

    assert ["offload", "fits"] == [verdict.word for verdict in words if verdict]


def test_two_macs_are_two_machines() -> None:
    """The host's memory is that of one of them, and the answer says how they are joined."""
    found = answered("qwen3.5-122b-a10b", context="32K", device="2x m4 max 64")
    assert found.verdict

    assert "tight" == found.verdict.word
    assert any("rpc-server" in note for note in found.notes)
    assert not any("rpc-server" in note for note in answered("qwen3-8b", device="m4 max 64").notes)


@pytest.mark.parametrize(("devices", "name"), [(["RTX 3060 12GB", "RX 7900 GRE"], "Vulkan0"), (["RTX 3060 12GB", "RTX 4080"], "CUDA0")], ids=str)
def test_overrides_name_devices_as_their_backend_does(devices: list[str], name: str) -> None:
    """A Vulkan build of llama.cpp knows no CUDA0."""
    planned = plan(from_dict({"model": "qwen3-30b-a3b", "quant": "Q4_K_M", "context": "32K", "device": devices}), catalogue.model("qwen3-30b-a3b"))
    assert planned

    flags = planned.plan.flags["override_tensor"]
    assert all(flag.endswith(f"={name}") for flag in flags)
    assert f"={name}" in planned.checked.estimate.command["llama.cpp"]
    assert "a=ROCm1,b=CPU" == as_backend_names("a=CUDA1,b=CPU", "rocm")


@pytest.mark.parametrize("more", [(), ("--every",), ("--as-llama-fit",)], ids=str)
def test_without_a_gpu_the_plan_is_the_estimate(capsys: pytest.CaptureFixture[str], more: tuple[str, ...]) -> None:
    """Everything lies in host memory, and that is said."""
    code, out = run(capsys, "qwen3-8b", "-q", "Q4_K_M", "--backend", "cpu", "--ram", "64GB", *more)

    assert 0 == code
    assert "without a GPU everything lies in host memory" in " ".join(out.split())
    assert "-ngl 0" in out


def test_a_plan_needs_devices(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is placed on a GPU without a limit."""
    assert 2 == main(["plan", "qwen3-30b-a3b"])
    assert "--device 24GB" in capsys.readouterr().err
