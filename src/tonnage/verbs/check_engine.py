"""`tonnage check-engine`: what the user's own llama-fit-params measures, beside what Tonnage says."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from tonnage.engines.llamacpp.measured import PROGRAM, Row, parse, predicted, words_of
from tonnage.errors import SourceError
from tonnage.model import gguf
from tonnage.question import Question, of_pairs, to_dict
from tonnage.source import header_bytes, open_question
from tonnage.units import MIB
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows

SECONDS = 300
"""after which the program is given up"""

COLUMNS = (
    Column("device", "device"),
    Column("part", "part"),
    Column("engine_mib", "engine MiB", "{:,}".format, right=True),
    Column("tonnage_bytes", "Tonnage MiB", lambda nbytes: f"{nbytes // MIB:,}", right=True),
    Column("difference_mib", "difference", lambda mib: f"{mib:+,}" if mib else "none", right=True),
)


def run(call: Call) -> int:
    """Print both side by side; 1 where they differ by more than the engine's rounding to whole MiB."""
    program = _program(call.face.get("program"))
    question, model, _ = open_question(of_pairs(pairs_of(call)), call.access)
    measured = _measure(program, question, model)
    ours = predicted(question, model, len(measured) - 1)
    rows = [row for name, engine, own in zip(measured, measured.values(), ours, strict=True) for row in _rows(name, engine, own)]
    print_rows(call, COLUMNS, rows, {"question": to_dict(question), "program": program})
    return int(any(row["difference_mib"] for row in rows))


def _program(given: Any) -> str:
    found = shutil.which(str(given or PROGRAM))
    if found is None:
        where = f"no program at {given}" if given else f"no {PROGRAM} on PATH"
        raise SourceError(f"{where}: it comes with llama.cpp; say --program PATH")
    return found


def _rows(name: str, engine: Row, ours: Row) -> Iterator[dict[str, Any]]:
    """One row for every column of the program, whose figures are whole MiB, rounded down."""
    for part, theirs, own in zip(Row._fields, engine, ours, strict=True):
        mib = theirs // MIB
        yield {"device": name, "part": part, "engine_mib": mib, "tonnage_bytes": own, "difference_mib": own // MIB - mib}


def _measure(program: str, question: Question, model: Any) -> dict[str, Row]:
    """Run the program on copies of the file that hold the header alone: the rest is a hole, and takes no disk."""
    if not os.path.isfile(question.model) or not question.model.endswith(".gguf"):
        raise SourceError(f"{question.model}: check-engine needs a GGUF file on this machine")
    with tempfile.TemporaryDirectory(prefix="tonnage-") as folder:
        first = _hollow_copies(question.model, folder)
        return parse(_printed([program, *words_of(question, model, first)]))


def _hollow_copies(path: str, folder: str) -> str:
    """Every shard by its own name; the first one's path."""
    home, name = os.path.split(path)
    names = gguf.shard_names(name)
    for shard in names:
        original, copy = os.path.join(home, shard), os.path.join(folder, shard)
        with open(copy, "wb") as file:
            file.write(header_bytes(original))
        os.truncate(copy, os.path.getsize(original))
    return os.path.join(folder, names[0])


def _printed(words: Sequence[str]) -> str:
    """Standard output of the program; SourceError with the last line of its complaint where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=SECONDS, stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        raise SourceError(f"cannot run {words[0]}: {error.strerror or error}") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"{words[0]} did not end within {SECONDS} seconds") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing"]
        raise SourceError(f"{words[0]} ended with code {done.returncode} and said: {said[-1].strip()[:200]}")
    return done.stdout
