"""Start-up: what is imported. benchmarks/bench_startup.py measures the time."""

import subprocess
import sys

import pytest

HEAVY = {
    *("inspect", "dataclasses", "argparse", "pathlib", "tempfile", "http", "urllib.request", "asyncio", "importlib.metadata", "importlib.resources"),
    *("logging", "subprocess", "difflib", "textwrap", "csv", "traceback", "shutil"),
}
ANSWER = ("estimate", "qwen3.5-122b-a10b", "-c", "256K", "--json")


def imported(*words):
    """Every module that `python -m tonnage WORDS` imports."""
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "tonnage", *words], capture_output=True, text=True, check=True)
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def bare():
    """What the interpreter imports for itself, site packages included."""
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", "import runpy"], capture_output=True, text=True, check=True)
    return {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


ON_A_DEVICE = (*ANSWER, "-d", "2x H200", "--ram", "96GB DDR5-6000 x2")


@pytest.mark.parametrize("words", [ANSWER, ON_A_DEVICE, ("--version",), ("models", "--names")], ids=lambda words: words[0])
def test_nothing_heavy_is_imported(words):
    """An answer needs none of the standard library's slow modules."""
    assert set() == (imported(*words) - bare()) & HEAVY


def test_the_version_needs_no_table():
    """`--version` reads neither keys nor engine."""
    assert set() == imported("--version") & {"tonnage.keys", "tonnage.question", "tonnage.answer", "tonnage.engines.llamacpp"}


def test_importing_the_package_imports_nothing_else():
    """`import tonnage` is free; its names bring what they need."""
    code = "import sys, tonnage; print([m for m in sys.modules if m.startswith('tonnage.')]); tonnage.Question; tonnage.estimate"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "['tonnage.version']" == done.stdout.strip()
