"""docs/accuracy.json holds what the program does; that docs/accuracy.md follows from it is a test of all generated pages."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
if not (ROOT / "scripts").exists():
    pytest.skip("the scripts are not beside the tests", allow_module_level=True)
sys.path.insert(0, str(ROOT / "scripts"))

import accuracy_runs  # noqa: E402
import llama_cases  # noqa: E402

SECTIONS = {
    "models of the catalogue": accuracy_runs.of_catalogue,
    "headers, many settings": lambda: accuracy_runs.of_headers(llama_cases.single()),
    "several GPUs, layers in host memory": lambda: accuracy_runs.of_headers(llama_cases.spread()),
}
STORED = json.loads(accuracy_runs.TARGET.read_text(encoding="utf-8"))


@pytest.mark.slow
@pytest.mark.parametrize("name", SECTIONS)
def test_stored_runs_are_what_the_program_does(name: str) -> None:
    """Every run of llama.cpp again: as many exact terms, and the same errors; scripts/accuracy_runs.py writes the file anew."""
    assert STORED[name] == accuracy_runs.by_family(SECTIONS[name]())


@pytest.mark.slow
def test_recipes_and_refusals_are_what_the_program_does() -> None:
    """The cheap rows of the same file."""
    assert (STORED["recipes"], STORED["refusals"]) == (accuracy_runs.recipes(), accuracy_runs.refusals())


def test_nothing_in_the_file_is_left_over() -> None:
    """It has the sections that are measured, and as text it is what its script writes."""
    assert {*SECTIONS, "recipes", "refusals"} == set(STORED)
    assert accuracy_runs.text(STORED) == accuracy_runs.TARGET.read_text(encoding="utf-8")


def test_weights_and_cache_of_every_run_are_exact() -> None:
    """The page calls them exact."""
    rows = [STORED[name]["all"] for name in SECTIONS]

    assert [(row["runs"], row["runs"]) for row in rows] == [(row["weights"], row["cache"]) for row in rows]
