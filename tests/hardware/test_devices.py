"""What a device's description says."""

import pytest

from tonnage.errors import QuestionError
from tonnage.hardware.devices import Device, parse_device, parse_devices, parse_ram
from tonnage.units import GIB, MIB

DEVICES = [
    ("24GB", [Device("24GB", "gpu", None, 24 * GIB, 24 * GIB)]),
    ("24GiB", [Device("24GiB", "gpu", None, 24 * GIB, 24 * GIB)]),
    ("2x 24GB", [Device("24GB", "gpu", None, 24 * GIB, 24 * GIB)] * 2),
    ("3X8GB", [Device("8GB", "gpu", None, 8 * GIB, 8 * GIB)] * 3),
    ("cuda:23990MiB-free", [Device("cuda:23990MiB-free", "gpu", "cuda", None, 23990 * MIB)]),
    ("ROCM:16GiB-free", [Device("ROCM:16GiB-free", "gpu", "rocm", None, 16 * GIB)]),
    ("23990MiB-free", [Device("23990MiB-free", "gpu", None, None, 23990 * MIB)]),
    ("2x cuda:1GiB-free", [Device("cuda:1GiB-free", "gpu", "cuda", None, GIB)] * 2),
]


@pytest.mark.parametrize(("text", "expected"), DEVICES, ids=[row[0] for row in DEVICES])
def test_descriptions(text, expected):
    """A card is sold by its binary size; free memory is exact."""
    assert expected == list(parse_device(text))


@pytest.mark.parametrize("text", ["", "big", "0GB", "0x 24GB", "9999999x 1GB", "cuda:much-free", "tpu:8GB-free", "9" * 100 + "GB"])
def test_what_is_no_device_is_refused(text):
    """A description that says no size is named in the error."""
    with pytest.raises(QuestionError, match="device="):
        parse_device(text)


@pytest.mark.parametrize(("in_use", "expected"), [((), (8, 4)), ((GIB,), (7, 3)), ((GIB, 5 * GIB), (7, 0))])
def test_memory_in_use(in_use, expected):
    """One size is taken off every device, or each device's own; never more than there is."""
    assert expected == tuple(device.usable_bytes // GIB for device in parse_devices(["8GB", "4GB"], in_use))


def test_sizes_in_use_must_match_the_devices():
    """Three sizes for two devices are a mistake."""
    with pytest.raises(QuestionError, match="3 sizes for 2 devices"):
        parse_devices(["8GB", "4GB"], (1, 2, 3))


def test_too_many_devices_are_refused():
    """More devices than any engine can place are a mistake."""
    with pytest.raises(QuestionError, match="at most"):
        parse_devices(["1000x 1GB", "1000x 1GB"])


@pytest.mark.parametrize(("text", "expected"), [("64GB", 64 * GIB), ("96GB DDR5-6000 x2", 96 * GIB)])
def test_ram_with_or_without_its_kit(text, expected):
    """Host memory is the size that the text begins with."""
    assert expected == parse_ram(text)


@pytest.mark.parametrize("text", ["DDR5", "x2 64GB", "0GB"])
def test_ram_needs_a_size(text):
    """Text that begins with no size is refused."""
    with pytest.raises(QuestionError, match="ram="):
        parse_ram(text)
