"""Which devices a description names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonnage import data
from tonnage.errors import QuestionError
from tonnage.hardware.devices import catalogue, describe, find, find_all, search
from tonnage.units import GIB, MIB

PLAIN = [
    ("24GB", [("24GB", None, 24 * GIB, None)]),
    ("24GiB", [("24GiB", None, 24 * GIB, None)]),
    ("2x 24GB", [("24GB", None, 24 * GIB, None)] * 2),
    ("3X8GB", [("8GB", None, 8 * GIB, None)] * 3),
    ("24GB x2", [("24GB", None, 24 * GIB, None)] * 2),
    ("cuda:23990MiB-free", [("cuda:23990MiB-free", "cuda", None, 23990 * MIB)]),
    ("ROCM:16GiB-free", [("ROCM:16GiB-free", "rocm", None, 16 * GIB)]),
    ("23990MiB-free", [("23990MiB-free", None, None, 23990 * MIB)]),
    ("2x cuda:1GiB-free", [("cuda:1GiB-free", "cuda", None, GIB)] * 2),
]


@pytest.mark.parametrize(("text", "expected"), PLAIN, ids=[row[0] for row in PLAIN])
def test_sizes_and_free_memory(text, expected):
    """A card is sold by its binary size; free memory is exact."""
    assert expected == [(device.name, device.backend, device.memory_bytes, device.free_bytes) for device in find(text)]


NAMES = {
    "RTX 4090": ("4090", "rtx4090", "RTX-4090", "geforce rtx 4090", "NVIDIA GeForce RTX 4090", "rtx 4090 24GB"),
    "RTX 4090 D": ("4090 D", "4090d"),
    "RTX 4090 Laptop": ("NVIDIA GeForce RTX 4090 Laptop GPU", "4090 mobile"),
    "RTX 3090 Ti": ("3090 Ti", "3090ti"),
    "RTX 4080 SUPER": ("4080 super", "4080s"),
    "RTX 4070 Ti SUPER": ("4070 ti super", "RTX 4070Ti SUPER"),
    "RTX 3060 12GB": ("3060", "NVIDIA GeForce RTX 3060"),
    "RTX 5060 Ti 16GB": ("5060ti16gb", "5060 ti 16 GB"),
    "RTX 6000 Ada": ("6000 ada", "NVIDIA RTX 6000 Ada Generation"),
    "RTX PRO 6000 Blackwell Workstation": ("pro 6000", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition"),
    "RTX PRO 6000 Blackwell Max-Q": ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",),
    "H100 SXM 80GB": ("H100", "NVIDIA H100 80GB HBM3"),
    "H100 PCIe 80GB": ("NVIDIA H100 PCIe", "h100 pcie"),
    "A100 SXM 80GB": ("A100", "NVIDIA A100-SXM4-80GB"),
    "A100 PCIe 40GB": ("a100 pcie 40",),
    "H200 SXM 141GB": ("H200",),
    "B200 SXM 180GB": ("B200",),
    "Tesla T4": ("T4",),
    "DGX Spark / GB10": ("DGX Spark", "GB10", "NVIDIA GB10"),
    "Radeon RX 7900 XTX": ("7900 xtx", "7900XTX", "AMD Radeon RX 7900 XTX"),
    "Radeon RX 7900 XT": ("7900xt",),
    "Instinct MI300X": ("mi300x", "AMD Instinct MI300X"),
    "Ryzen AI Max+ 395 / Radeon 8060S 128GB": ("Strix Halo 128GB", "strix halo", "ryzen ai max+ 395 128GB", "Framework Desktop 128GB"),
    "Ryzen AI Max+ 395 / Radeon 8060S 64GB": ("Strix Halo 64GB",),
    "Apple M4 Max 128GB (40-core GPU)": ("m4 max 128", "M4 Max 128GB", "Apple M4 Max 128 GB"),
    "Apple M5 Max 64GB (40-core GPU)": ("MacBook Pro M5 Max 64GB", "m5 max 64"),
    "Apple M4 Pro 48GB (20-core GPU)": ("m4 pro 48", "Mac mini M4 Pro 48GB"),
    "Apple M3 Ultra 512GB (80-core GPU)": ("Mac Studio M3 Ultra 512GB",),
    "Arc B580": ("b580", "Intel Arc B580"),
}


@pytest.mark.parametrize(("text", "expected"), [(text, name) for name, texts in NAMES.items() for text in texts])
def test_names_are_forgiving(text, expected):
    """A device is found by the words that people and drivers call it."""
    assert [expected] == [device.name for device in find(text)]


@pytest.mark.parametrize("text", ["rtx4090 x2", "2x RTX 4090", "2x4090", "4090 x 2", "2 * rtx 4090", "rtx4090x2"])
def test_several_of_a_kind(text):
    """A count stands before or behind the name."""
    assert ["RTX 4090", "RTX 4090"] == [device.name for device in find(text)]


def test_the_usual_one_is_taken_and_says_so():
    """H100 is the SXM card, and the answer can name the others."""
    (device,) = find("H100")
    assert ("H100 PCIe 80GB", "H100 NVL 94GB") == device.instead_of
    assert () == find("H100 SXM")[0].instead_of


REFUSED = [
    ("", "must be a name"),
    ("0GB", "must be a name"),
    ("cuda:much-free", "must be a name"),
    ("tpu:8GB-free", "must be a name"),
    ("big", "no such device"),
    ("0x 24GB", "from 1 to 1,024"),
    ("9999999x 1GB", "from 1 to 1,024"),
    ("9" * 100 + "GB", "must be a name"),
    ("RTX", "may be .* more: say which"),
    ("4060 Ti", "RTX 4060 Ti 8GB, RTX 4060 Ti 16GB: say which"),
    ("m4 max", "36GB .* 128GB"),
    ("V100", "say which"),
    ("rtx 4900", "RTX 4090"),
    ("EPYC 9005", "--ram"),
    ("Radeon 780M", "memory=32GB"),
    ("RTX 4090,memory=much", "memory=much.* is no field"),
    ("name=card,backend=cuda", "memory= is missing"),
    ("name=card,memory=8GB,backend=tpu", "is no field"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[row[0][:20] for row in REFUSED])
def test_what_is_no_device_is_refused(text, message):
    """The error names what was asked, and what it may have meant."""
    with pytest.raises(QuestionError, match=f"device={re.escape(repr(text))}.*{message}"):
        find(text)


TOLD = [
    ("RTX 4090,memory=48GB", ("RTX 4090", "NVIDIA", 48 * GIB, 1_008_000_000_000, "cuda")),
    ("Radeon 780M,memory=32GB", ("Radeon 780M (DDR5-5600 x2)", "AMD", 32 * GIB, 89_600_000_000, "rocm")),
    ("name=lab card,memory=24GB,bandwidth=900,backend=vulkan", ("lab card", "", 24 * GIB, 900_000_000_000, "vulkan")),
]


@pytest.mark.parametrize(("text", "expected"), TOLD, ids=[row[0] for row in TOLD])
def test_a_device_told_by_fields(text, expected):
    """Fields stand alone, or change a device of the catalogue."""
    (device,) = find(text)
    assert expected == (device.name, device.vendor, device.memory_bytes, device.bandwidth, device.backend)


def test_every_device_is_found_by_its_own_name():
    """A name of the catalogue means that device and no other."""
    for device in catalogue():
        if device.memory_bytes:
            assert (device.name, ()) == (find(device.name)[0].name, find(device.name)[0].instead_of)


@pytest.mark.parametrize("text", ["RTX 4090", "m4 max 128", "RTX 3090,free=20GiB", "name=x,memory=8GB,price=99.5"])
def test_a_description_needs_no_table(text):
    """What `describe` writes is read again with the same memory."""
    (device,) = find(text)
    (again,) = find(describe(device))
    assert (device.name, device.memory_bytes, device.free_bytes, device.bandwidth, device.price, device.backend) == (
        again.name, again.memory_bytes, again.free_bytes, again.bandwidth, again.price, again.backend,
    )  # fmt: skip


def test_every_row_says_where_it_is_from():
    """No row without a source, a confidence, a bandwidth and a year."""
    assert [] == [device.name for device in catalogue() if not (device.source and device.confidence in ("high", "medium", "low"))]
    assert [] == [device.name for device in catalogue() if not (device.bandwidth and device.year and device.kind in ("gpu", "unified", "host"))]


def test_the_packaged_table_is_not_stale():
    """scripts/make_devices.py writes it from scripts/devices.csv, and checks each row."""
    scripts = Path(__file__).parents[2] / "scripts"
    if not scripts.exists():
        pytest.skip("the scripts are not beside the tests")
    done = subprocess.run([sys.executable, "-c", "import make_devices as m; print(m.text(), end='')"], cwd=scripts, capture_output=True, check=True)
    assert data.read("devices.json") == done.stdout


def test_no_name_stands_twice():
    """A name is a key."""
    names = [device.name for device in catalogue()]
    assert sorted(set(names)) == sorted(names)


def test_a_search_lists_all_that_answer():
    """Every word must be answered to; none lists all."""
    assert {"RTX 4090", "RTX 4090 D", "RTX 4090 Laptop"} == {device.name for device in search("4090")}
    assert catalogue() == search("")


def test_too_many_devices_are_refused():
    """More devices than any engine can place are a mistake."""
    with pytest.raises(QuestionError, match="at most"):
        find_all(["1000x 1GB", "1000x 1GB"])


@given(st.text(max_size=40))
@settings(deadline=None)
def test_any_text_is_a_device_or_an_error(text):
    """Nothing but QuestionError is raised."""
    try:
        assert find(text)
    except QuestionError:
        pass
