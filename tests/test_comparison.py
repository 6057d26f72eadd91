"""Engines side by side."""

import json

import pytest

import tonnage
from tonnage.cli import main
from tonnage.comparison import compare
from tonnage.estimation import ENGINES, estimate
from tonnage.frozen import replace
from tonnage.model import catalogue
from tonnage.question import Question

ALONE = ("mlx", "exllamav3")
"""engines that are answered for one device alone"""
ASKED = Question(model="llama-3.1-8b-instruct", context=32768, device=("2x H100",))


def test_every_engine_has_a_row():
    """An answer, or why there is none."""
    rows = compare(ASKED, catalogue.model(ASKED.model))

    assert list(ENGINES) == [row.engine for row in rows]
    assert list(ALONE) == [row.engine for row in rows if row.answer is None]
    assert all(row.why for row in rows if row.answer is None)


@pytest.mark.parametrize("engine", [name for name in ENGINES if name not in ALONE])
def test_so_many_users_fit_and_one_more_does_not(engine):
    """The count of users is the last that the engine's own verdict lets pass."""
    model = catalogue.model(ASKED.model)
    (row,) = compare(replace(ASKED, context=131072), model, engines=(engine,))
    words = [estimate(replace(ASKED, context=131072, engine=engine, users=row.users + more), model).verdict.word for more in (0, 1)]

    assert words[0] in ("fits", "tight")
    assert words[1] in ("too big", "tight")


def test_need_and_what_is_taken_are_apart():
    """Serving engines take their share whatever the need; the others take what they need."""
    rows = {row.engine: row for row in compare(ASKED, catalogue.model(ASKED.model))}

    assert rows["vllm"].needed_bytes < rows["vllm"].taken_bytes
    assert rows["sglang"].needed_bytes < rows["sglang"].taken_bytes
    assert rows["transformers"].needed_bytes == rows["transformers"].taken_bytes


@pytest.mark.parametrize("form", ["table", "json", "csv", "md"])
def test_the_command_prints_every_form(capsys, form):
    """A row for every engine; JSON holds the answers too."""
    assert 0 == main(["compare", "llama-3.1-8b-instruct", "-c", "32K", "-d", "2x H100", "--format", form])
    told = capsys.readouterr().out
    assert all(word in told for word in ("llama.cpp", "vLLM", "SGLang", "Transformers", "mlx"))
    if form == "json":
        assert [len(ENGINES), len(ENGINES) - len(ALONE)] == [len(json.loads(told)[key]) for key in ("differences", "answers")]


def test_python_asks_the_same():
    """`tonnage.compare` takes the keys of a question, and engines by name."""
    rows = tonnage.compare("llama-3.1-8b-instruct", engines=("vllm", "mlx"), context="32K")

    assert ["vllm", "mlx"] == [row.engine for row in rows]
    assert all(row.needed_bytes > 2**30 for row in rows)


def test_engines_can_be_chosen(capsys):
    """By name; another name is refused with the nearest."""
    assert 0 == main(["compare", "llama-3.1-8b-instruct", "-d", "H100", "--engines", "vllm,sglang"])
    assert "llama.cpp" not in capsys.readouterr().out
    assert 2 == main(["compare", "llama-3.1-8b-instruct", "--engines", "vlm"])
    assert "did you mean vllm?" in capsys.readouterr().err


def test_nothing_that_fits_is_told_by_the_exit_code(capsys):
    """As estimate does."""
    assert 1 == main(["compare", "deepseek-v3", "-d", "24GB"])
    assert "too big" in capsys.readouterr().out
