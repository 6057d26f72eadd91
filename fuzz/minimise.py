"""Keeps of a fuzzer's inputs those that reach something new, the smallest first, and adds them to the corpus.

usage: python fuzz/minimise.py gguf|safetensors|gguf_remote folder ...

What an input reaches are the steps from line to line in the package.
"""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

import rules  # noqa: E402

RULES = {"gguf": rules.gguf_file, "safetensors": rules.safetensors_file, "gguf_remote": rules.gguf_far_away}
MOST_BYTES = 2048
Step = tuple[str, int, int]


def reached(kind: str, data: bytes) -> set[Step]:
    """The steps that this input takes."""
    steps: set[Step] = set()

    def local(frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        steps.add((name, last.get(id(frame), 0), frame.f_lineno))
        last[id(frame)] = frame.f_lineno if event != "return" else 0
        return local

    last: dict[int, int] = {}
    sys.settrace(lambda frame, event, arg: local(frame, event, arg) if "/tonnage/" in frame.f_code.co_filename else None)
    try:
        RULES[kind](data)
    finally:
        sys.settrace(None)
    return steps


def main(kind: str, folders: list[str]) -> None:
    """Add what reaches more than the corpus does."""
    if kind == "gguf_remote":
        rules.small_ranges()
    corpus = HERE / "corpus" / kind
    known: set[Step] = set()
    for path in corpus.iterdir():
        known |= reached(kind, path.read_bytes())
    found = sorted((path for folder in folders for path in Path(folder).iterdir()), key=lambda path: (path.stat().st_size, path.name))
    for path in found:
        data = path.read_bytes()
        steps = reached(kind, data) if len(data) <= MOST_BYTES else set()
        if steps - known:
            known |= steps
            (corpus / path.name[:12]).write_bytes(data)
    print(f"{kind}: {len(found)} inputs looked at, {len(list(corpus.iterdir()))} in the corpus")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
