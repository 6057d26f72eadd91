"""What a description of host memory says."""

import pytest

from tonnage.errors import QuestionError
from tonnage.hardware.ram import Ram, parse_ram
from tonnage.units import GIB, MIB

KITS = [
    ("64GB", Ram(64 * GIB)),
    ("96GB DDR5-6000 x2", Ram(96 * GIB, None, "DDR5", 6000, 2, 96_000_000_000)),
    ("96GB DDR5-6000", Ram(96 * GIB, None, "DDR5", 6000, 2, 96_000_000_000)),
    ("2x48GB DDR5-6000", Ram(96 * GIB, None, "DDR5", 6000, 2, 96_000_000_000)),
    ("1x32GB ddr4 3200", Ram(32 * GIB, None, "DDR4", 3200, 1, 25_600_000_000)),
    ("4x32GB DDR5-5200 quad channel", Ram(128 * GIB, None, "DDR5", 5200, 4, 166_400_000_000)),
    ("768GB DDR5-6000 12 channels", Ram(768 * GIB, None, "DDR5", 6000, 12, 576_000_000_000)),
    ("32GB LPDDR5X-7500 x2", Ram(32 * GIB, None, "LPDDR5X", 7500, 2, 120_000_000_000)),
    ("512GB EPYC 9004 12-channel", Ram(512 * GIB, None, "12-channel DDR5-4800 (EPYC 9004)", 4800, 12, 460_800_000_000)),
    ("64GiB 51000MiB-free", Ram(64 * GIB, 51000 * MIB)),
]


@pytest.mark.parametrize(("text", "expected"), KITS, ids=[row[0] for row in KITS])
def test_ram_with_or_without_its_kit(text, expected):
    """Size, kind, transfers, channels, and the peak bandwidth that follows from them."""
    assert expected == parse_ram(text)


def test_what_is_free_can_be_used():
    """Measured free memory counts, where it is given; never more than there is."""
    assert [64 * GIB, 10 * GIB, 64 * GIB] == [parse_ram(text).usable_bytes for text in ("64GB", "64GB 10GiB-free", "64GB 99GiB-free")]


@pytest.mark.parametrize("text", ["DDR5", "0GB", "", "64GB of the best"])
def test_ram_that_says_nothing_is_refused(text):
    """A size comes first; what follows is a kit or a platform."""
    with pytest.raises(QuestionError, match="ram="):
        parse_ram(text)
