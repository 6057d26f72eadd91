"""From question and model to an answer: engines, verdicts, exit codes."""

import pytest

from tonnage.answer import Band, DeviceAnswer, Part
from tonnage.errors import UnsupportedError
from tonnage.estimation import estimate, explain
from tonnage.model import catalogue
from tonnage.question import Question
from tonnage.units import GIB, MIB
from tonnage.verdict import exit_code, judge


def gpu(used, usable, error=None):
    """A GPU that holds one part."""
    return DeviceAnswer("GPU", "gpu", (Part("weights", used, "rule", error),), usable, usable)


def host(*parts, ram):
    """Host memory with parts of (bytes, held)."""
    return DeviceAnswer("host", "host", tuple(Part("weights", nbytes, "rule", None, "", held) for nbytes, held in parts), ram, ram)


VERDICTS = [
    ("no limit", [gpu(5, None)], 0, None),
    ("all fits, to the byte", [gpu(5, 5)], 0, ("fits", 0)),
    ("one byte short", [gpu(6, 5)], 0, ("too big", 1)),
    ("margin kept, to the byte", [gpu(5, 15)], 10, ("fits", 0)),
    ("margin not kept", [gpu(5, 14)], 10, ("tight", 0)),
    ("band kept, to the byte", [gpu(5, 17, Band(-1, 2))], 10, ("fits", 0)),
    ("upper end of the band breaks the margin", [gpu(5, 16, Band(-1, 2))], 10, ("tight", 0)),
    ("every device must hold its own", [gpu(1, 100), gpu(6, 5)], 0, ("too big", 1)),
    ("what is short is summed", [gpu(9, 5), gpu(6, 5)], 0, ("too big", 5)),
    ("the host needs no margin", [gpu(5, 20), host((5, "allocated"), ram=5)], 10, ("fits", 0)),
    ("host short of mapped weights", [host((8, "mapped"), ram=5)], 0, ("pages", 3)),
    ("host short of more than is mapped", [host((2, "mapped"), (6, "pinned"), ram=5)], 0, ("too big", 3)),
    ("host may grow too large", [host((3, "pinned"), (5, "reserved"), ram=5)], 0, ("tight", 0)),
    ("GPU short and host paging", [gpu(6, 5), host((8, "mapped"), ram=5)], 0, ("too big", 4)),
]


WINDOWS = [
    ("no limit of the host is known", [gpu(6, 5)], "spills"),
    ("half of the host's memory holds it", [gpu(6, 5), host((1, "pinned"), ram=4)], "spills"),
    ("more than half of the host's memory", [gpu(9, 5), host((1, "pinned"), ram=4)], "too big"),
    ("more than the host has free", [gpu(7, 5), host((3, "pinned"), ram=4)], "too big"),
    ("the host is short too", [gpu(6, 5), host((8, "pinned"), ram=5)], "too big"),
    ("nothing is short", [gpu(5, 5)], "fits"),
]


@pytest.mark.parametrize(("devices", "expected"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS])
def test_windows_spills(devices, expected):
    """Windows moves what a GPU lacks to the host, as far as that has room: half of it at most."""
    assert expected == judge(devices, 0, "windows").word


@pytest.mark.parametrize(("devices", "margin", "expected"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])
def test_verdicts(devices, margin, expected):
    """A verdict weighs every device against its usable memory, the margin and the band."""
    verdict = judge(devices, margin)
    assert expected == (verdict and (verdict.word, verdict.short_by_bytes))


def test_one_of_several_devices_is_told_by_number():
    """Of two cards of a kind the one that is short is named."""
    assert "GPU 1 (GPU) is 0.00 GiB short" == judge([gpu(1, 100), gpu(6, 5)], 0).text


def test_no_device_is_no_failure():
    """Where nothing was asked about a device, the answer itself is success."""
    assert 0 == exit_code(None, placement_is_free=True)


@pytest.mark.parametrize(
    ("word", "free", "expected"),
    [
        ("fits", True, 0),
        ("tight", False, 0),
        ("offload", True, 0),
        ("offload", False, 1),
        ("spills", True, 1),
        ("pages", True, 1),
        ("too big", True, 1),
    ],
)
def test_exit_codes_of_verdicts(word, free, expected):
    """0 where it runs as asked; offloading is an answer where the placement was left free."""
    from tonnage.answer import Verdict

    assert expected == exit_code(Verdict(word, ""), placement_is_free=free)


def test_unknown_engines_are_refused():
    """An engine without rules is named, with those that there are."""
    model = catalogue.model("qwen3-0.6b")
    with pytest.raises(UnsupportedError, match=r"'ollamma'.*llama\.cpp"):
        estimate(Question(model="qwen3-0.6b", engine="ollamma"), model)


@pytest.mark.parametrize("name", ["llama.cpp", "LLAMA.CPP", "llama-server", "llamacpp"])
def test_an_engine_has_spellings(name):
    """llama.cpp is found under what people call it."""
    model = catalogue.model("qwen3-0.6b")
    expected = estimate(Question(model="qwen3-0.6b"), model).devices
    assert expected == estimate(Question(model="qwen3-0.6b", engine=name), model).devices


def test_runtime_is_counted_where_a_device_is_named():
    """Ten GPUs of four runs tell its range; exact free memory, and no device at all, are answered without it."""
    model = catalogue.model("qwen3-0.6b")

    def told(**keys):
        devices = estimate(Question(model="qwen3-0.6b", **keys), model).devices
        return [(part.bytes, part.basis, part.error) for part in devices[0].parts if part.part == "runtime"]

    fitted = (560 * MIB, "fitted", Band(-307 * MIB, 192 * MIB))
    assert [[fitted], [fitted]] == [told(device=(name,)) for name in ("24GB", "RTX 3090")]
    assert [[], [], []] == [told(), told(device=("cuda:23990MiB-free",)), told(device=("m4 max 64",))]
    assert [(560 * MIB, "assumed", Band(-560 * MIB, 192 * MIB))] == told(device=("7900 xtx",))


def test_unified_memory_is_counted_once():
    """What the GPU holds of a unified memory is not there for the host."""
    answer = estimate(Question(model="qwen3-0.6b", device=("m4 max 64",)), catalogue.model("qwen3-0.6b"))
    gpu_, host_ = answer.devices
    assert (64 - 4) * GIB - gpu_.total_bytes == host_.usable_bytes
    gpu_, host_ = estimate(Question(model="qwen3-0.6b", device=("DGX Spark",)), catalogue.model("qwen3-0.6b")).devices
    assert gpu_.usable_bytes - gpu_.total_bytes == host_.usable_bytes


def test_layers_are_split_by_what_the_driver_tells():
    """A card of the catalogue is split like one whose free memory is given."""
    model = catalogue.model("llama-3.1-8b-instruct")
    asked = (("3090", "2070"), ("23867MiB-free", "7518MiB-free"))
    named, given = (estimate(Question(model=model.name, device=device), model).devices for device in asked)
    weights = [[part.bytes for device in devices for part in device.parts if part.part == "weights"] for devices in (named, given)]
    assert weights[0] == weights[1]


def test_a_device_brings_a_verdict():
    """A model is judged against the devices of the question, one of them too small."""
    model = catalogue.model("qwen3-0.6b")
    fits = estimate(Question(model="qwen3-0.6b", device=("24GB",)), model)
    assert "fits" == fits.verdict.word
    assert 24 * GIB == fits.devices[0].usable_bytes
    assert "too big" == estimate(Question(model="qwen3-0.6b", device=("1GB",)), model).verdict.word


def test_memory_in_use_is_taken_off():
    """What others hold on a device cannot be used."""
    model = catalogue.model("qwen3-0.6b")
    answer = estimate(Question(model="qwen3-0.6b", device=("24GB",), in_use=(4 * GIB,)), model)
    assert 20 * GIB == answer.devices[0].usable_bytes


def test_explanations_come_from_the_engine():
    """The result of an explanation is the part's bytes."""
    model = catalogue.model("qwen3-0.6b")
    question = Question(model="qwen3-0.6b", context=4096)
    kv = next(part for device in estimate(question, model).devices for part in device.parts if part.part == "kv")
    assert f"{kv.bytes:,} bytes" == explain(question, model, "kv").result
