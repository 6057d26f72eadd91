"""Fill the generated blocks of docs/accuracy.md from the built-in tables and the tests' data."""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import make_engines_accuracy  # noqa: E402
import make_speed_accuracy  # noqa: E402
import published_sizes as published  # noqa: E402
from generated import fill, table  # noqa: E402
from published_sizes import Published  # noqa: E402
from tonnage.api import estimate  # noqa: E402
from tonnage.model import catalogue, tokenizers  # noqa: E402
from tonnage.quant import filesize  # noqa: E402
from tonnage.render.numbers import gb  # noqa: E402

TARGET = ROOT / "docs/accuracy.md"
RUNS = ROOT / "docs/accuracy.json"
Cells = Iterable[object]


def text() -> str:
    """The page."""
    blocks = {**BLOCKS, **make_engines_accuracy.BLOCKS}
    return fill(TARGET.read_text(encoding="utf-8"), {name: write() for name, write in blocks.items()})


# --- what llama.cpp reported ----------------------------------------------------------------------

_COUNTED = {
    "models": "models", "runs": "runs", "weights exact": "weights", "cache exact": "cache", "compute exact": "compute",
    "called exact": "called exact", "wrong": "wrong", "fitted": "fitted", "outside": "outside",
}  # fmt: skip
"""column -> key of a row of docs/accuracy.json"""
_NUMBERS = "|".join([*_COUNTED, "p50", "p95", "largest"])


def _measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RUNS.read_text(encoding="utf-8"))
    return found


def _sections() -> dict[str, dict[str, Any]]:
    return {name: section for name, section in _measured().items() if "all" in section}


def _run_cells(name: str, row: dict[str, Any]) -> Cells:
    return [name, *(f"{row.get(key, 0):,}" for key in _COUNTED.values()), *(f"{row[key]:.3g}" for key in ("p50", "p95", "max"))]


def runs() -> str:
    """The three sets of runs, in sum."""
    measured = _measured()
    rows = [_run_cells(name, section["all"]) for name, section in _sections().items()]
    recipes, refusals = measured["recipes"], measured["refusals"]
    unanswered = sum(section["all"].get("unanswered", 0) for section in _sections().values())
    return "\n".join(
        [
            table(f"runs of llama.cpp|{_NUMBERS}", rows, _NUMBERS),
            "",
            f"Runs that were not answered: {unanswered}.",
            f"Settings that llama.cpp refuses: {refusals['refused']} of {refusals['cases']} are refused.",
            (f"Tensor bytes of {recipes['models']} published models in llama-quantize's recipes: "
            f"{recipes['exact']:,} of {recipes['sizes']:,} are exact."),
        ]
    )


def families() -> str:
    """Every set of runs by architecture."""
    blocks = []
    for name, section in _sections().items():
        rows = [_run_cells(family, row) for family, row in section.items() if family != "all"]
        blocks += [f"### By architecture: {name}\n", table(f"architecture|{_NUMBERS}", rows, _NUMBERS), ""]
    return "\n".join(blocks)


# --- published files ------------------------------------------------------------------------------


def _standard() -> list[Published]:
    return [file for file in published.files() if file.standard and file.bytes is not None]


def _off_by(file: Published) -> int:
    ours = published.plain(file)
    assert file.bytes is not None
    assert ours.file_bytes is not None
    return file.bytes - ours.file_bytes


def plain_files() -> str:
    """Plain files to the byte, by tokenizer."""
    files = _standard()
    inside = [file for file in files if published.agrees(file, published.plain(file))]
    by_row: dict[tokenizers.Vocabulary, list[int]] = defaultdict(list)
    for file in inside:
        model = published.model(file.model)
        row = tokenizers.of_model(model.architecture, model.n_vocab)
        assert row is not None
        by_row[row].append(_off_by(file))
    rows = [(row.name, f"{row.tokens:,}", f"{row.kv_bytes:,}", len(off), f"{min(off):+,}", f"{max(off):+,}") for row, off in by_row.items()]
    share = f"{len(inside)} of {len(files)} published files that are plain runs of llama-quantize lie within {filesize.METADATA_DOUBT:,} bytes."
    numbers = "tokens|metadata, bytes|files|smallest difference|largest difference"
    return f"{share}\n\n{table(f'tokenizer|{numbers}', rows, numbers)}"


def odd_files() -> str:
    """Files outside of their band."""
    rows = [(f"`{name.split()[0].rsplit('/', 1)[-1]}`", f"{row['larger_by']:+,}", row["reason"]) for name, row in published.exceptions().items()]
    return table("file|published less predicted, bytes|why", rows, "published less predicted, bytes")


def mixes() -> str:
    """Uploaders' names, by what is known of them."""
    found: Counter[tuple[str, str, str]] = Counter()
    for file in published.files():
        known = published.status(file)
        ours = published.mixed(file)
        key = "refused" if ours is None else "agree" if published.agrees(file, ours) else "differ"
        found[file.uploader, known, key] += 1
    kinds = sorted({(uploader, known) for uploader, known, _ in found}, key=lambda kind: (kind[0].lower(), kind[1]))
    numbers = "agree|differ|refused"
    return table(f"uploader|status|{numbers}", [(*kind, *(found[*kind, key] for key in numbers.split("|"))) for kind in kinds], numbers)


# --- models ---------------------------------------------------------------------------------------


def models() -> str:
    """How many built-in models have rules, and why the others are refused."""
    refused = [row for row in catalogue.index() if row["architecture"] is None]
    known = len(catalogue.index()) - len(refused)
    lines = [f"{known} built-in models are answered; {len(refused)} are refused:\n", "| model | why |", "| --- | --- |"]
    return "\n".join(lines + [f"| {row['hf_id']} | {row['why']} |" for row in refused])


def parameters() -> str:
    """Parameter counts that are not the published ones, and why."""
    content = json.loads((ROOT / "tests/data/parameter_exceptions.json").read_text(encoding="utf-8"))
    by_reason: dict[str, list[str]] = defaultdict(list)
    for model, row in content.items():
        differences = ", ".join(f"{count} {number:+,}" for count, number in row["differences"].items())
        by_reason[row["reason"]].append(f"{model} ({differences})")
    known = sum(row["architecture"] is not None for row in catalogue.index())
    head = f"Every count of {known - len(content)} of {known} models is the published one; {len(content)} differ, ours less the published:\n"
    return head + "\n" + table("why|models", [(reason, ", ".join(rows)) for reason, rows in by_reason.items()])


# --- the reference calculator ---------------------------------------------------------------------

REFERENCE = (("weights", 68.0), ("KV cache", 26.0), ("overhead", 9.4), ("total", 104.0))
"""GB that a calculator page printed in 2026 for this model, Q4_K_M, 262,144 tokens, batch 1"""
_PARTS = {"weights": ("weights",), "KV cache": ("kv",), "overhead": ("state", "compute", "output")}


def reference() -> str:
    """Another calculator's parts beside ours."""
    answer = estimate("qwen3.5-122b-a10b", quant="Q4_K_M", context=262144, slots=1)
    parts = [part for device in answer.devices for part in device.parts if part.held != "reserved"]
    ours = {name: sum(part.bytes for part in parts if part.part in kinds) for name, kinds in _PARTS.items()}
    ours["total"] = sum(ours.values())
    rows = [(name, f"{theirs:g}", gb(ours[name])) for name, theirs in REFERENCE]
    gpu = f"{gb(answer.gpu_bytes)} GB of the total are on the GPU."
    return f"{table('GB|the page|Tonnage', rows, 'the page|Tonnage')}\n\n{gpu}"


BLOCKS: dict[str, Callable[[], str]] = {
    "runs": runs,
    "families": families,
    "plain-files": plain_files,
    "odd-files": odd_files,
    "mixes": mixes,
    "parameters": parameters,
    "models": models,
    "reference": reference,
    **make_speed_accuracy.BLOCKS,
}
"""block of the page -> what writes it"""


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
