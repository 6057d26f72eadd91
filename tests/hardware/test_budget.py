"""What of a device's memory can be used."""

import pytest

from tonnage.errors import QuestionError
from tonnage.hardware.budget import System, apple_limit, backend_of, budget, budgets_of
from tonnage.hardware.devices import catalogue, find
from tonnage.question import Question
from tonnage.units import GIB, MIB

SYSTEMS = [System(), System("windows"), System(display=True), System("macos15"), System(wired_limit=6 * GIB)]

DRIVER_TOTALS = {
    "T4": 15360, "A10": 23028, "L4": 23034, "A40": 46068, "L40S": 46068, "RTX A6000": 49140, "RTX 6000 Ada": 49140, "RTX 5000 Ada": 32760,
    "RTX 4000 Ada": 20475, "3060": 12288, "3090": 24576, "4080": 16376, "4090": 24564, "5070": 12227, "5090": 32607, "A100 SXM 40GB": 40960,
    "A100 SXM 80GB": 81920, "H100": 81559, "RTX PRO 6000": 97887, "GB200": 189471, "GB300": 284208, "B300": 275040,
}  # fmt: skip
"""MiB as nvidia-smi showed them in public logs"""


@pytest.mark.parametrize(("name", "expected"), DRIVER_TOTALS.items())
def test_driver_totals_are_as_seen(name, expected):
    """The catalogue holds what nvidia-smi shows."""
    assert expected * MIB == find(name)[0].driver_bytes


USABLE_MIB = {"RTX 3090": 24126, "RTX 5090": 32149, "RTX 2070": 7777, "RTX 4070 Laptop": 7805, "Strix Halo 128GB": 63969, "H200": 143155}
"""what CUDA, or the AMD driver, offered in public logs"""


@pytest.mark.parametrize(("name", "expected"), USABLE_MIB.items())
def test_usable_memory_is_as_seen(name, expected):
    """What a program may take on linux without a display."""
    assert expected * MIB == budget(find(name)[0]).usable_bytes


CUDA_SEEN_MIB = {
    "T4": 15104, "2070": 7777, "4070 Laptop": 7805, "V100 SXM2 32GB": 32494, "4090": 24207, "3090": 24126, "5090": 32149, "L40": 45466,
    "RTX PRO 6000 Max-Q": 97247, "H200": 143155, "B200": 182630,
}  # fmt: skip


@pytest.mark.parametrize(("name", "seen"), CUDA_SEEN_MIB.items())
def test_the_fitted_reserve_is_within_its_error(name, seen):
    """Cards whose CUDA total was seen are within 154 MiB of the rule for the others."""
    from tonnage.frozen import replace

    (device,) = find(name)
    assert 154 >= abs(budget(replace(device, cuda_bytes=None)).usable_bytes / MIB - seen)


@pytest.mark.parametrize("system", SYSTEMS, ids=str)
def test_every_byte_between_label_and_budget_has_a_row(system):
    """Capacity less the deductions is what can be used, and every deduction says how it is known."""
    for device in catalogue():
        if device.memory_bytes is not None:
            found = budget(device, system)
            assert found.capacity_bytes - sum(row.bytes for row in found.deductions) == found.usable_bytes
            assert {"measured", "fitted", "recalled", "assumed", "given"} >= {row.basis for row in found.deductions}
            assert 0 < found.free_bytes <= found.usable_bytes <= found.capacity_bytes


MACOS_26 = {16: 12713.12, 18: 14302.25, 32: 26800.60, 36: 30150.67, 48: 40200.90, 64: 55662.79, 128: 115448.73}


@pytest.mark.parametrize(("gib", "megabytes"), MACOS_26.items())
def test_metals_limit_on_macos_26(gib, megabytes):
    """The working set of ggml's logs, in decimal megabytes."""
    assert (round(megabytes * 10**6), "measured") == apple_limit(gib * GIB)[:2]


@pytest.mark.parametrize(("gib", "mebibytes"), [(16, 10923), (36, 24576), (96, 73728), (128, 98304)])
def test_metals_limit_before_macos_26(gib, mebibytes):
    """Two thirds up to 36 GiB, three quarters above."""
    assert mebibytes == round(apple_limit(gib * GIB, "macos15")[0] / MIB)


def test_metals_limit_never_falls_with_memory():
    """Sizes that were not seen lie between their neighbours, and are marked."""
    limits = [apple_limit(gib * GIB)[0] for gib in (8, 16, 18, 24, 32, 36, 48, 64, 96, 128, 192, 256, 512)]
    assert sorted(limits) == limits
    assert "assumed" == apple_limit(24 * GIB)[1]


CASES = [
    ("a limit that sysctl shows", {"device": ("m4 max 128",), "wired_limit": 114688}, [112 * GIB]),
    ("a limit as a size", {"device": ("m4 max 128",), "wired_limit": 112 * GIB}, [112 * GIB]),
    ("a limit of 0 is the default", {"device": ("m4 max 128",), "wired_limit": 0}, [115_448_730_000]),
    ("Strix Halo with pages_limit", {"device": ("Strix Halo",), "wired_limit": 120 * GIB}, [120 * GIB]),
    ("GB10 shares with its system", {"device": ("DGX Spark",)}, [(122_501 - 4096) * MIB]),
    ("others hold memory", {"device": ("3090",), "in_use": (4 * GIB,)}, [(24126 - 4096) * MIB]),
    ("one size for all", {"device": ("8GB", "4GB"), "in_use": (GIB,)}, [7 * GIB, 3 * GIB]),
    ("one size for each, never below nothing", {"device": ("8GB", "4GB"), "in_use": (GIB, 5 * GIB)}, [7 * GIB, 0]),
    ("a display takes from the first", {"device": ("2x 3090",), "display": True}, [(24126 - 650) * MIB, 24126 * MIB]),
    ("free memory is exact", {"device": ("cuda:23990MiB-free",), "display": True, "os": "windows"}, [23990 * MIB]),
    ("a size is what it says", {"device": ("24GB",), "os": "windows"}, [24 * GIB]),
    ("free memory of a known card", {"device": ("RTX 3090,free=20GiB",)}, [20 * GIB]),
    ("ECC", {"device": ("A40",)}, [budget(find("A40")[0]).usable_bytes]),
]


@pytest.mark.parametrize(("keys", "expected"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
def test_budgets_of_a_question(keys, expected):
    """What the keys of a question make of its devices."""
    assert expected == [found.usable_bytes for found in budgets_of(Question(model="m", **keys))]


def test_windows_keeps_more():
    """The desktop and WDDM take about what two logs showed: 22,994 MiB were free of 24,564, context included."""
    (device,) = find("4090")
    assert 22_994 == pytest.approx(budget(device, System("windows")).free_bytes / MIB, abs=150)


def test_sizes_in_use_must_match_the_devices():
    """Three sizes for two devices are a mistake."""
    with pytest.raises(QuestionError, match="3 sizes for 2 devices"):
        budgets_of(Question(model="m", device=("8GB", "4GB"), in_use=(1, 2, 3)))


BACKENDS = [
    (("3090",), None, "cuda"),
    (("7900 xtx",), None, "rocm"),
    (("b580",), None, "vulkan"),
    (("m4 max 128",), None, "metal"),
    (("3090", "7900 xtx"), None, "vulkan"),
    (("24GB",), None, "cuda"),
    (("rocm:8GiB-free",), None, "rocm"),
    (("3090",), "vulkan", "vulkan"),
    (("m4 max 128",), "cpu", "cpu"),
    (None, None, "cuda"),
]


@pytest.mark.parametrize(("device", "asked", "expected"), BACKENDS)
def test_the_backend_follows_the_devices(device, asked, expected):
    """The first backend that all devices know."""
    assert expected == backend_of(Question(model="m", device=device, backend=asked))


@pytest.mark.parametrize(("device", "asked"), [(("m4 max 128",), "cuda"), (("m4 max 128", "3090"), None), (("7900 xtx",), "metal")])
def test_a_backend_that_a_device_lacks_is_refused(device, asked):
    """The error tells what each device computes with."""
    with pytest.raises(QuestionError, match="computes with"):
        backend_of(Question(model="m", device=device, backend=asked))
