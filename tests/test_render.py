"""What an answer looks like in each form, and that all forms tell the same."""

import csv
import io
import json

import pytest

from model_files import sparse_gguf
from tonnage.answer import Band, Part
from tonnage.estimation import estimate
from tonnage.question import Question, from_query
from tonnage.render import FORMATS, Style, numbers, render, text
from tonnage.render.text import bar, table
from tonnage.source import open_question
from tonnage.units import GIB


@pytest.fixture(scope="module", name="answered")
def fixture_answered(tmp_path_factory):
    """A question and its answer: two cards, limited host memory, a quantised cache."""
    path = sparse_gguf(tmp_path_factory.mktemp("models"), "qwen3.5-122b-a10b")
    asked = Question(model=path, device=("48GB", "48GB"), ram="64GB", context=262144, cache_type_k="q8_0")
    question, model, attached = open_question(asked)
    return question, estimate(question, model, attached)


def test_json_holds_every_byte(answered):
    """The JSON has the parts as they are, whole numbers, nothing rounded."""
    question, answer = answered
    told = json.loads(render("json", question, answer))
    expected = [[(part.part, part.bytes) for part in device.parts] for device in answer.devices]
    assert expected == [[(part["part"], part["bytes"]) for part in device["parts"]] for device in told["devices"]]
    assert answer.total_bytes == told["total"]["bytes"] == told["total"]["gpu_bytes"] + told["total"]["host_bytes"]


def test_json_tells_what_was_assumed(answered):
    """Defaults are filled in and listed; what was given is not among them."""
    question, answer = answered
    asked = json.loads(render("json", question, answer))["question"]
    assert {"slots", "ubatch", "batch"} <= set(asked["assumed"]) <= set(asked)
    assert not {"model", "context", "cache_type_k", "device"} & set(asked["assumed"])


def test_json_is_one_line(answered):
    """One answer is one line, so that many can be read line by line."""
    assert "\n" not in render("json", *answered)


def test_csv_has_the_same_parts(answered):
    """One row per part, bytes as they are; they sum up to the total."""
    question, answer = answered
    rows = list(csv.DictReader(io.StringIO(render("csv", question, answer))))
    assert [part.part for device in answer.devices for part in device.parts] == [row["part"] for row in rows]
    assert answer.total_bytes == sum(int(row["bytes"]) for row in rows)


def test_url_asks_the_same_question(answered):
    """The query string of an answer reads as its question."""
    question, answer = answered
    assert question == from_query(render("url", question, answer))


def test_table_shows_every_part(answered):
    """Each part has its line, in GiB and GB, with basis and error."""
    question, answer = answered
    lines = render("table", question, answer).splitlines()
    for device in answer.devices:
        for part in device.parts:
            words = (numbers.part_name(part.part), numbers.gib(part.bytes), numbers.gb(part.bytes), part.basis, numbers.error(part))
            assert any(all(word in line for word in words) for line in lines), part


def test_table_shows_verdict_command_and_notes(answered):
    """The verdict's words, the command and every note are in the table."""
    question, answer = answered
    text = " ".join(render("table", question, answer).replace("\\\n", "").split())
    expected = [f"{answer.verdict.word}: {answer.verdict.text}", *answer.command.values(), *answer.notes]
    assert [] == [words for words in expected if " ".join(words.split()) not in text]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_table_fits_its_width(answered, width):
    """No line is wider than the terminal, unless one word alone is (a path)."""
    question, answer = answered
    lines = render("table", question, answer, Style(width=width)).splitlines()
    wide = [line for line in lines if len(line) > max(width, 75)]
    assert [] == [line for line in wide if str(question.model) not in line]


def test_no_escape_codes_and_no_bars_by_default(answered):
    """Colour and bars are for terminals."""
    text = render("table", *answered)
    assert "\x1b" not in text
    assert "█" not in text


def test_colour_changes_no_word(answered):
    """What is coloured reads the same without its colour."""
    import re

    plain = render("table", *answered, Style(bars=True))
    assert plain == re.sub(r"\x1b\[[0-9]+m", "", render("table", *answered, Style(colour=True, bars=True)))


def test_bars_are_to_scale(answered):
    """A bar is as long for every device, and full where nothing is free."""
    _, answer = answered
    gpus = [device for device in answer.devices if device.kind == "gpu"]
    assert {48} == {len(bar(device, Style())) for device in gpus}
    free = gpus[0].free_bytes / gpus[0].usable_bytes
    assert abs(bar(gpus[0], Style()).count("·") / 48 - free) < 1 / 24


def test_markdown_is_a_table(answered):
    """Every row of the Markdown table has as many cells as its head."""
    rows = [line for line in render("md", *answered).splitlines() if line.startswith("|")]
    assert {rows[0].count("|")} == {row.count("|") for row in rows}


@pytest.mark.parametrize("name", FORMATS)
def test_every_form_is_rendered(answered, name):
    """Each form gives text that ends without a newline."""
    text = render(name, *answered)
    assert text
    assert not text.endswith("\n")


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Part("kv", 100, "rule"), "exact"),
        (Part("compute", 1000, "fitted", Band(-20, 20)), "±2.0 %"),
        (Part("compute", 1000, "fitted", Band(-20, 200)), "-2.0 +20 %"),
        (Part("prompt_cache", 1000, "rule", Band(-1000, 0), held="reserved"), "at most"),
        (Part("compute", 0, "fitted", Band(0, GIB)), "to 1.00 GiB"),
    ],
)
def test_errors_in_words(part, expected):
    """An error is told in percent of the number; what only may be taken is a most."""
    assert expected == numbers.error(part)


@pytest.mark.parametrize(("nbytes", "expected"), [(0, "0.00"), (1, "<0.01"), (GIB, "1.00"), (6 * GIB + GIB // 2, "6.50"), (1234 * GIB, "1,234.00")])
def test_gib(nbytes, expected):
    """Two places; what is not nothing is not shown as nothing."""
    assert expected == numbers.gib(nbytes)


def test_tables_align():
    """Numbers stand to the right, and no line ends in blanks."""
    assert "a    n\nxx  10\ny    2" == table(["a", "n"], [["xx", "10"], ["y", "2"]], [1], Style())


NARROW = Style(colour=False, bars=True, width=40)
WIDE_ROWS = [["RTX 4090", "-8.25", "experts of 21 layers in RAM, or a quant of fewer bits"], ["H100", "7.10", "-"], ["B200", "90.00", ""]]


def test_what_is_too_long_for_a_terminal_stands_below_its_row() -> None:
    """Only the last column moves, under its title, and no line is wider than the terminal."""
    lines = text.folded(["device", "spare", "fits with"], WIDE_ROWS, [1], NARROW).split("\n")

    assert ["device    spare  fits with", "RTX 4090  -8.25"] == lines[:2]
    assert ["    fits with: experts of 21 layers in", "    RAM, or a quant of fewer bits"] == lines[2:4]
    assert ["H100       7.10  -", "B200      90.00"] == lines[4:]
    assert all(len(line) <= NARROW.width for line in lines)


def test_a_table_that_is_not_too_wide_stays_whole() -> None:
    """Folded or not, it is the same."""
    rows = [row[:2] for row in WIDE_ROWS]
    assert text.table(["device", "spare"], rows, [1], NARROW) == text.folded(["device", "spare"], rows, [1], NARROW)
