"""How long bytes take over a link."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonnage.calculators.transfer import links, parse_link, parse_path, parse_size, transfer
from tonnage.errors import QuestionError

NAMES = [
    ("PCIe 4.0 x16", "PCIe 4.0 x16"),
    ("pcie gen4 x16", "PCIe 4.0 x16"),
    ("NVMe Gen4", "NVMe PCIe 4.0 x4"),
    ("nvme", "NVMe PCIe 4.0 x4"),
    ("Wi-Fi 6", "Wi-Fi 6 (2x2 80 MHz, 1.2 Gb/s)"),
    ("WiFi 7", "Wi-Fi 7 (2x2 320 MHz, 5.8 Gb/s)"),
    ("wifi6", "Wi-Fi 6 (2x2 80 MHz, 1.2 Gb/s)"),
    ("10 GbE", "10 GbE"),
    ("hdd", "SATA HDD 7200 rpm"),
]


@pytest.mark.parametrize(("text", "name"), NAMES)
def test_links_have_names(text, name):
    """A link is found by its name, by the beginning that is its own, and by what people call it."""
    assert name == parse_link(text).name


@pytest.mark.parametrize(("text", "mb_s"), [("500MB/s", 500), ("2.5Gb/s", 312.5), ("300Mbps", 37.5), ("1GiB/s", 1073.741824), ("1 GB/s", 1000)])
def test_a_rate_is_a_link(text, mb_s):
    """A large B is bytes, a small b bits, an i binary."""
    assert mb_s == parse_link(text).typical_mb_s


@pytest.mark.parametrize("text", ["PCIe", "USB", "carrier pigeon", "", "0MB/s", "-5MB/s"])
def test_what_is_no_link_is_refused(text):
    """Several or none of that name: the nearest are told."""
    with pytest.raises(QuestionError, match="link="):
        parse_link(text)


@pytest.mark.parametrize(("text", "nbytes"), [("20GiB", 21_474_836_480), ("20 GB", 20_000_000_000), ("76.5GB", 76_500_000_000)])
def test_units_stay_apart(text, nbytes):
    """20 GiB are 21.47 GB."""
    assert nbytes == parse_size(text)


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0GB", "12 apples", "9" * 40])
def test_what_is_no_size_is_refused(text):
    """A size is a number and a unit."""
    with pytest.raises(QuestionError, match="size="):
        parse_size(text)


def test_a_path_is_as_fast_as_its_slowest_link():
    """The others wait."""
    done = transfer(33_480_000_000, parse_path("NVMe Gen4 > PCIe 3.0 x4"))

    assert (10.0, "PCIe 3.0 x4") == (done.seconds, done.bottleneck.name)


def test_files_cost_a_little_each():
    """One file is the stream alone, many are opened one by one."""
    path = parse_path("hdd")

    assert transfer(1000, path).seconds == transfer(1000, path, 1).seconds
    assert transfer(1000, path).seconds + 100 * path[0].per_file_s == transfer(1000, path, 100).seconds


@settings(deadline=None)
@given(st.sampled_from(sorted(links())), st.integers(1, 10**15))
def test_no_copy_beats_its_line(name, nbytes):
    """No table row copies faster than its line, and no line is faster than its wire."""
    link = links()[name]
    done = transfer(nbytes, [link])

    assert done.least_seconds <= done.seconds
    assert 0 < link.efficiency <= 1
    assert link.line_mb_s * 8 / 1000 <= link.line_gbit_s
