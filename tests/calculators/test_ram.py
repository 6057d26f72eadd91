"""RAM timings as times."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonnage.calculators.ram import Kit, kits_at, known_kits, parse_kit, warnings
from tonnage.errors import QuestionError

REFERENCE = [
    ("3200 CL16", 10.00),
    ("DDR4-3200 CL16", 10.00),
    ("DDR5-6000 CL30", 10.00),
    ("DDR5-4800 CL40", 16.67),
    ("DDR3-1600 CL11", 13.75),
    ("ddr4 2666mt/s cl19-19-19-43", 14.25),
    ("DDR5-6000 C30", 10.00),
]


@pytest.mark.parametrize(("text", "expected"), REFERENCE)
def test_first_words(text, expected):
    """The first word of an open row comes after CL clocks of 2000 / MT/s nanoseconds."""
    assert expected == round(parse_kit(text).cas_ns, 2)


def test_rows_of_a_kit():
    """Closed row, conflict, cycle, last word of a burst and rates, as a kit's label gives them."""
    kit = parse_kit("DDR5-6000 CL30-38-38-96 x2")
    times = (kit.cas_ns, kit.closed_ns, kit.conflict_ns, kit.cycle_ns, kit.word_ns(kit.burst))

    assert (10.0, 22.67, 35.33, 44.67, 12.5) == tuple(round(t, 2) for t in times)
    assert (96.0, 81.6) == (kit.peak_gb_s, round(kit.streaming_gb_s, 2))
    assert round(81.6 * 0.45, 2) == round(kit.expert_gb_s, 2)


def test_a_burst_is_as_long_as_its_generation_says():
    """DDR3 and DDR4 send eight words, DDR5 sixteen; without a generation it is not known."""
    assert [8, 8, 16, None] == [parse_kit(text).burst for text in ("DDR3-1600", "DDR4-3200", "DDR5-6000", "6000")]


REFUSED = [
    ("DDR5-3000 CL30", "DDR5-6000 CL30"),
    ("DDR3-667 CL9", "DDR3-1334 CL9"),
    ("DDR4-1200", "DDR4-2400"),
    ("DDR6-8000", "DDR6 is not known"),
    ("DDR5-20000", "3,200 to 12,000"),
    ("DDR5-6000 x0", "from 1 to 24 channels"),
    ("DDR5-6000 CL0", "0 clocks"),
    ("fast", "must be written like"),
    ("", "must be written like"),
    ("DDR5-6000 CL30-38", "must be written like"),
    ("DDR5-6000 CL30-38-38-96 or so", "must be written like"),
]


@pytest.mark.parametrize(("text", "word"), REFUSED)
def test_what_is_no_kit_is_refused(text, word):
    """A clock typed as speed, an unknown generation and plain nonsense are refused in one line."""
    with pytest.raises(QuestionError, match="kit=") as caught:
        parse_kit(text)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


ODD = [
    ("DDR4-1600 CL16", "ask for DDR4-3200 CL16"),
    ("DDR4-3200MHz CL16", "the clock is 1600 MHz"),
    ("DDR4-3200 CL8", "faster than any kit"),
    ("DDR4-3200 CL16-18-18-25", "cannot be"),
    ("DDR4-3200 CL16-18-18-33", "below tRCD + CL = 34"),
]


@pytest.mark.parametrize(("text", "words"), ODD)
def test_odd_timings_are_warned_of(text, words):
    """Timings that cannot be, and clocks typed as speeds, are told."""
    assert [words] == [words for told in warnings(parse_kit(text)) if words in told]


def test_jedec_is_not_warned_of():
    """JEDEC's own bins are no oddities."""
    assert [] == [(kit.name, told) for kit in known_kits() if kit.profile == "JEDEC" for told in warnings(kit)]


def test_a_speed_brings_its_known_kits():
    """A kit without timings stands for all packaged ones of its speed, on as many channels."""
    found = kits_at(parse_kit("DDR4-3600 x2"))

    assert ["DDR4-3600 CL18-22-22-42 x2", "DDR4-3600 CL16-19-19-39 x2"] == [kit.name for kit in found]
    assert () == kits_at(parse_kit("DDR4-3601"))


@settings(deadline=None)
@given(st.sampled_from(["DDR4", "DDR5"]), st.integers(3200, 5600), st.integers(1, 99), st.integers(1, 99), st.integers(1, 24))
def test_a_kit_is_read_as_it_is_written(generation, mt_s, cl, others, channels):
    """`name` and `parse_kit` are inverse; a conflict takes longer than a closed row, that longer than an open one."""
    kit = Kit(generation, mt_s, cl, others, others, others, channels)

    assert kit == parse_kit(kit.name)
    assert kit.cas_ns < kit.closed_ns < kit.conflict_ns
