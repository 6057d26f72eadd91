"""What machines have, by recorded readings."""

import pytest

import machines
from tonnage.errors import QuestionError, SourceError
from tonnage.hardware.budget import budgets_of
from tonnage.hardware.detect import Holder, Probe, detect, this_machine
from tonnage.hardware.devices import find
from tonnage.machine import description, own_devices, own_rows, resolve
from tonnage.question import Question
from tonnage.units import GIB, KIB, MIB

RAM = (131072000 * KIB, 120000000 * KIB)
GPUS = [
    ("NVML", machines.NVML, [("RTX 3090", 24576, 24118), ("RTX 3090", 24576, 13000)]),
    ("one is visible", machines.NVML_ONE_VISIBLE, [("RTX 3090", 24576, 13000)]),
    ("nvidia-smi", machines.SMI, [("RTX 5090", 32607, 31000), ("H100 SXM 80GB", 81559, 81000)]),
    ("GB10 tells nothing of its memory", machines.GB10, [("DGX Spark / GB10", RAM[0] // MIB, RAM[1] // MIB)]),
    ("a card of no catalogue", machines.UNKNOWN_CARD, [("NVIDIA RTX 9999", 65536, 65000)]),
    ("a dead driver", machines.DEAD_DRIVER, []),
    ("a dead NVML", machines.DEAD_NVML, []),
    ("no library", machines.NO_LIBRARY, []),
    ("a container without devices", machines.CONTAINER, []),
    ("nothing at all", machines.probe(), []),
    ("RX 7900 XTX", machines.XTX, [("Radeon RX 7900 XTX", 24560, 24000)]),
    ("Strix Halo with GTT", machines.STRIX_HALO, [("Ryzen AI Max+ 395 / Radeon 8060S 128GB", 63969, 63000)]),
    ("amdgpu's name by amdsmi", machines.AMD_BY_AMDSMI, [("Radeon AI PRO R9700", 32624, 32600)]),
    ("amdgpu without a name", machines.AMD_NAMELESS, [("AMD GPU 0x7551", 32624, 32600)]),
    ("Arc B580", machines.ARC, [("Arc B580", 12288, None)]),
    ("M4 Max", machines.M4_MAX, [("Apple M4 Max 128GB (40-core GPU)", 131072, None)]),
    ("M3 Pro", machines.M3_PRO, [("Apple M3 Pro 36GB (14-core GPU)", 36864, None)]),
]


@pytest.mark.parametrize(("probe", "expected"), [row[1:] for row in GPUS], ids=[row[0] for row in GPUS])
def test_gpus(probe, expected):
    """Name, total and free memory of every GPU that answers."""
    told = [(gpu.device.name, gpu.total_bytes, gpu.free_bytes) for gpu in detect(probe).gpus]
    assert expected == [(name, total and total // MIB, free and free // MIB) for name, total, free in told]


NOTES = [
    ("a dead driver", machines.DEAD_DRIVER, "nvidia-smi does not answer: NVIDIA-SMI has failed"),
    ("a dead NVML", machines.DEAD_NVML, "driver does not answer: Driver/library version mismatch"),
    ("a container without devices", machines.CONTAINER, "a container needs --gpus all"),
    ("a container's memory", machines.CONTAINER, "limited by a container"),
    ("MIG", machines.MIG, "MIG is on"),
    ("Windows", machines.NVML._replace(system="windows"), "WDDM"),
    ("no GPU", machines.probe(files=machines.LINUX), "No GPU was found"),
    ("no memory told", machines.probe(), "Host memory cannot be told"),
    ("unlike cards", machines.SMI, "fastest first"),
    ("one is visible", machines.NVML_ONE_VISIBLE, "CUDA_VISIBLE_DEVICES=1 leaves 1"),
    ("Arc", machines.ARC, "cannot be told by sysfs"),
]


@pytest.mark.parametrize(("probe", "expected"), [row[1:] for row in NOTES], ids=[row[0] for row in NOTES])
def test_what_cannot_be_told_is_said(probe, expected):
    """A note each; none where all is well."""
    assert any(expected in note for note in detect(probe).notes)
    assert () == detect(machines.NVML).notes


def test_who_holds_memory():
    """Processes with their names, by NVML and by nvidia-smi."""
    assert (Holder(77, "llama-server", 11000 * MIB),) == detect(machines.NVML).gpus[1].holders
    assert (Holder(4711, "/usr/bin/blender", 1100 * MIB),) == detect(machines.SMI).gpus[0].holders


def test_host_memory():
    """All and free; a container's limit and its cached files count; psutil where there is no /proc."""
    assert RAM == (detect(machines.NVML).ram_bytes, detect(machines.NVML).ram_free_bytes)
    assert (16 * GIB, 12 * GIB) == (detect(machines.CONTAINER).ram_bytes, detect(machines.CONTAINER).ram_free_bytes)
    psutil = type("psutil", (), {"virtual_memory": staticmethod(lambda: type("m", (), {"total": 9 * GIB, "available": 5 * GIB}))})
    windows = detect(machines.probe("windows", modules={"psutil": psutil}))
    assert ("windows", 9 * GIB, 5 * GIB) == (windows.os, windows.ram_bytes, windows.ram_free_bytes)


@pytest.mark.parametrize(("probe", "expected"), [(machines.M4_MAX, ("macos", None, 32 * GIB)), (machines.M3_PRO, ("macos15", 30000 * MIB, 9 * GIB))])
def test_macs_tell_their_limit(probe, expected):
    """The version of macOS, the limit that was set, and what is free."""
    machine = detect(probe)
    assert expected == (machine.os, machine.wired_limit, machine.ram_free_bytes)


USABLE = [
    (machines.NVML, [24118, 13000]),
    (machines.XTX, [24000]),
    (machines.STRIX_HALO, [63000]),
    (machines.STRIX_HALO_CARVED, [98000]),
    (machines.M4_MAX, [115_448_730_000 // MIB]),
    (machines.M3_PRO, [30000]),
    (machines.ARC, [12288]),
    (machines.UNKNOWN_CARD, [65000]),
]


@pytest.mark.parametrize(("probe", "expected"), USABLE)
def test_this_machine_becomes_a_question(probe, expected):
    """`this` stands for every GPU with what is free on it; the question then needs this machine no more."""
    question, _ = resolve(Question(model="m", device=("this",)), probe=probe)
    assert expected == [budget.usable_bytes // MIB for budget in budgets_of(question)]
    assert "this" not in question.device
    assert question.ram


def test_what_is_known_of_a_card_is_kept():
    """A GPU that the catalogue has keeps its bandwidth; one that it lacks is told in full."""
    known, unknown = (find(description(detect(probe).gpus[0]))[0] for probe in (machines.NVML, machines.UNKNOWN_CARD))
    assert ("RTX 3090", 936_000_000_000, 24118 * MIB) == (known.name, known.bandwidth, known.free_bytes)
    assert ("NVIDIA RTX 9999", "cuda", 64 * GIB, 65000 * MIB) == (unknown.name, unknown.backend, unknown.memory_bytes, unknown.free_bytes)
    assert 1_792_128_000_000 == unknown.bandwidth


def test_no_gpu_is_answered_for_the_cpu():
    """Without a GPU the question asks the CPU backend, and a note says so."""
    question, notes = resolve(Question(model="m", device=("this",)), probe=machines.CONTAINER)
    assert ("cpu", None) == (question.backend, question.device)
    assert any("for the CPU" in note for note in notes)


def test_what_was_given_stands():
    """Keys of the question win over what is measured."""
    question, _ = resolve(Question(model="m", device=("this",), ram="8GB", os="linux", wired_limit=GIB), probe=machines.M4_MAX)
    assert ("8GB", "linux", GIB) == (question.ram, question.os, question.wired_limit)


@pytest.mark.parametrize("keys", [{"device": ("this",)}, {"device_file": "devices.toml"}])
def test_a_server_does_not_tell_of_its_machine(keys):
    """Where files are out of bounds, so are this machine and its device file."""
    with pytest.raises(QuestionError, match="not asked here"):
        resolve(Question(model="m", **keys), files=False)


def test_the_real_machine_is_read_without_a_fault():
    """Whatever runs this test gives an answer."""
    assert isinstance(this_machine(), Probe)
    assert detect().os in ("linux", "windows", "macos", "macos15")


OWN = """
[[device]]
name = "lab card"
base = "RTX 3090"
price = 650

[[device]]
name = "Prototype"
memory = "48GB"
bandwidth = 1200
backend = "rocm"
"""


@pytest.fixture
def own_file(tmp_path, monkeypatch):
    """A device file among the user's settings."""
    path = tmp_path / "tonnage" / "devices.toml"
    path.parent.mkdir()
    path.write_text(OWN)
    monkeypatch.delenv("TONNAGE_DEVICES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return path


def test_own_devices_stand_beside_the_catalogue(own_file):
    """An own device is named like any other; the question that comes of it needs the file no more."""
    question, _ = resolve(Question(model="m", device=("2x lab card", "prototype", "RTX 4090")))
    devices = [device for text in question.device for device in find(text)]
    assert [("lab card", 650.0), ("lab card", 650.0), ("Prototype", None), ("RTX 4090", None)] == [(device.name, device.price) for device in devices]
    assert [936_000_000_000, 1_200_000_000_000] == [devices[0].bandwidth, devices[2].bandwidth]
    assert ["lab card", "Prototype"] == [device.name for device in own_rows()]


def test_where_the_file_may_lie(own_file, tmp_path, monkeypatch):
    """The key comes before the variable, and that before the settings."""
    for name in ("variable", "key"):
        (tmp_path / name).write_text(f'[[device]]\nname = "{name}"\nmemory = "8GB"\n')
    assert ["lab card", "prototype"] == list(own_devices())
    monkeypatch.setenv("TONNAGE_DEVICES", str(tmp_path / "variable"))
    assert ["variable"] == list(own_devices())
    assert ["key"] == list(own_devices(str(tmp_path / "key")))


WRONG = [
    ("not toml [", SourceError, "is not TOML"),
    ("card = 1", QuestionError, "nothing else"),
    ('[[device]]\nmemory = "8GB"', QuestionError, "name is missing"),
    ('[[device]]\nname = "a"\nmemory = "8GB"\ncolour = "red"', QuestionError, "'colour' is no key"),
    ('[[device]]\nname = "a"', QuestionError, "memory= is missing"),
    ('[[device]]\nname = "a"\nbase = "RTX 3O90"', QuestionError, "did you mean RTX 3090"),
]


@pytest.mark.parametrize(("text", "error", "message"), WRONG, ids=[row[2] for row in WRONG])
def test_a_wrong_file_says_what_is_wrong(text, error, message, tmp_path):
    """The file, the device and the key are named."""
    path = tmp_path / "devices.toml"
    path.write_text(text)
    with pytest.raises(error, match=message):
        own_devices(str(path))


def test_a_file_that_is_not_there(tmp_path):
    """A path that was given must be readable."""
    with pytest.raises(SourceError, match="cannot read"):
        own_devices(str(tmp_path / "none.toml"))
