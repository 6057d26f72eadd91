"""The calculators as commands."""

import json

import pytest

from tonnage.cli import main


def told(capsys, *words):
    """Exit code, output and errors of a command line."""
    code = main(words)
    out = capsys.readouterr()
    return code, out.out, out.err


COMMANDS = [
    (("ram", "DDR5-6000 CL30-38-38-96", "3200 CL16"), "10.00"),
    (("ram", "DDR5-4800 CL40-39-39-77"), "16.67"),
    (("ram",), "DDR5-8000 CL38-48-48-127"),
    (("ram", "DDR5-6000 x2", "--reads", "3.2GB"), "tokens per second"),
    (("power", "--watts", "450", "--hours", "5", "--country", "Germany"), "314.95"),
    (("power", "--watts", "350W", "--price", "0.30/kWh", "--decode", "30"), "0.97"),
    (("power", "--watts", "350", "--country", "DE", "--country", "US", "--psu", "0.9"), "389 W at the wall"),
    (("power", "--watts", "350", "--country", "US", "--tariff", "business"), "0.146 USD"),
    (("power", "--watts", "350"), "World average"),
    (("transfer", "20GiB"), "21.47 GB (10^9) are 20.00 GiB"),
    (("transfer", "76.5GB", "--over", "PCIe 4.0 x16", "--over", "NVMe Gen4", "--over", "Wi-Fi 6"), "10.9 s"),
    (("transfer", "20GiB", "--over", "NVMe Gen4 > PCIe 3.0 x4"), "as fast as PCIe 3.0 x4"),
]


@pytest.mark.parametrize(("words", "text"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_calculators_answer(capsys, words, text):
    """Each prints a table of 80 columns at most, and rows as JSON under the question."""
    code, out, err = told(capsys, *words)

    assert (0, "") == (code, err)
    assert text in out
    assert [] == [line for line in out.splitlines() if len(line) > 80]
    answer = json.loads(told(capsys, *words, "--json")[1])
    assert {"schema", "question", "rows"} <= answer.keys()
    assert answer["rows"]


REFUSED = [
    (("ram", "DDR5-3000 CL30"), "did you mean DDR5-6000 CL30?"),
    (("ram", "DDR5-6000", "--reads", "much"), "size='much'"),
    (("power",), "--watts is missing"),
    (("power", "--watts", "lots"), "watts='lots': must be a number"),
    (("power", "--watts", "0"), "watts=0"),
    (("power", "--watts", "5", "--hours", "25"), "a day has 24"),
    (("power", "--watts", "5", "--price", "0.3", "--country", "DE"), "not both"),
    (("power", "--watts", "5", "--tariff", "nobody"), "household, business"),
    (("power", "--watts", "5", "--decode", "0"), "more than 0"),
    (("transfer",), "usage: tonnage transfer SIZE"),
    (("transfer", "20GB", "--over", "string"), "link='string'"),
    (("transfer", "20GB", "--files", "0.5"), "files=0.5"),
    (("transfer", "20GB", "--over"), "needs a value"),
    (("transfer", "20"), "of what? a size has its unit; did you mean 20GB or 20GiB?"),
    (("transfer", "20GB", "--over", "PCIe 9.0 x16"), "did you mean PCIe 6.0 x16"),
    (("transfer", "20GB", "--over", "0MB/s"), "link='0MB/s'"),
    (("transfer", "-5GB"), "unknown option -5GB"),
    (("transfer", "1e30GB"), "size='1e30GB'"),
    (("transfer", "20GB", "--files", "1e12"), "files=1e+12"),
    (("power", "--watts", "1e99"), "below 10^18"),
    (("power", "--watts", "nan"), "watts='nan'"),
    (("power", "--watts", "-5"), "not negative"),
    (("power", "--watts", "5", "--psu", "120%"), "psu=1.2: an efficiency lies between 0 and 1"),
    (("power", "--watts", "5", "--country", "Germny"), "did you mean Germany?"),
    (("power", "--wats", "5"), "did you mean --watts"),
    (("ram", "DDR6-8000"), "there are DDR3, DDR4, DDR5"),
    (("ram", "DDR5-6000 CL0"), "a timing of 0 clocks is none"),
    (("ram", "DDR5-6000 CL30-38"), "must be written like"),
    (("ram", "DDR5-6000 x99"), "from 1 to 24 channels"),
    (("reads", "--size", "0"), "size='0'"),
]


@pytest.mark.parametrize(("words", "text"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_bad_input_is_refused_in_a_line(capsys, words, text):
    """Exit code 2, one line on standard error, nothing on standard output."""
    code, out, err = told(capsys, *words)

    assert (2, "") == (code, out)
    assert text in err
    assert 1 == err.count("\n")


ODD = [
    (("power", "--watts", "350W", "--hours", "5h", "--psu", "90%", "--price", "0.30/kWh"), "389 W at the wall"),
    (("transfer", "20GB", "--over", "100Mbit"), "26 min 40 s"),
    (("ram", "DDR4-1600MHz CL16"), "if 1600 is the clock in MHz, ask for DDR4-3200 CL16"),
    (("ram", "DDR5-6000 CL30-38-38-20"), "tRAS 20 cannot be"),
]


@pytest.mark.parametrize(("words", "text"), ODD, ids=[" ".join(words) for words, _ in ODD])
def test_odd_input_is_understood(capsys, words, text):
    """Units as people write them, and timings that cannot be."""
    code, out, err = told(capsys, *words)

    assert (0, "") == (code, err)
    assert text in out.replace("\n  ", " ")


def test_a_kit_beyond_its_generation_is_not_offered(capsys):
    """Twice 6000 MT/s with a first word of 3 microseconds is no kit."""
    assert "ask for" not in told(capsys, "ram", "DDR5-6000 CL9999")[1]
