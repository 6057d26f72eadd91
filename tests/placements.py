"""Questions of placement for the tests: kept models on devices of given free memory."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import llama_cases
from tonnage.model import catalogue
from tonnage.model.types import Model
from tonnage.question import Question, from_dict

DATA = Path(__file__).parent / "data"


@cache
def model(name: str) -> Model:
    """A kept header where there is one, else the built-in model of that name."""
    kept = any(DATA.glob(f"gguf-headers/{name}.gguf.head*"))
    return llama_cases.model(name) if kept else catalogue.model(name)


def question(name: str, free_mib: list[int], n_ctx: int, **more: Any) -> Question:
    """One slot on GPUs with so much free memory."""
    return from_dict({"model": name, "n_ctx": n_ctx, "slots": 1, "device": [f"cuda:{mib}MiB-free" for mib in free_mib], **more})


def solver_rows() -> list[dict[str, Any]]:
    """tests/data/solver-rows.json."""
    rows: list[dict[str, Any]] = json.loads((DATA / "solver-rows.json").read_text(encoding="utf-8"))["rows"]
    return rows
