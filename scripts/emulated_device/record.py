"""What llama.cpp measures on emulated devices, for questions drawn at random: tests/data/emulated-cases.json.gz.

usage: python scripts/emulated_device/record.py LLAMA.CPP NUMBER SEED

Cases on which Tonnage differs are printed; they are kept all the same.
"""

import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tonnage.engines.llamacpp.measured import parse, predicted, words_of
from tonnage.errors import TonnageError
from tonnage.model import catalogue
from tonnage.model.types import Model
from tonnage.question import Question, from_dict
from tonnage.units import MIB

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(HERE))
import headers  # noqa: E402

from model_files import header_model, sparse_gguf  # noqa: E402

HEADERS = sorted(file.name.partition(".gguf")[0] for file in (ROOT / "tests/data/gguf-headers").glob("*.head*"))

MACHINES_MIB = (
    (23990,), (80900,), (23990, 23990), (23990, 23210), (48480, 23990), (80900, 80900), (11780, 15850), (142900, 142900),
    (23990, 23990, 23990), (80900, 80900, 48480, 23990),
)  # fmt: skip
SOURCE = (
    "llama.cpp build 11434: what llama-fit-params prints (model, context and compute of every device in whole MiB, the host last) "
    "on emulated CUDA devices, scripts/emulated_device"
)
OVERRIDES = (
    r"ffn_(up|down)_exps=CPU", r"blk\.(3|4|5)\.ffn_.*=CPU", r"blk\.[0-9]\.ffn_down.*=CUDA0", "attn_=CPU",
    "token_embd=CPU", "token_embd=CUDA0", "output=CPU",
)  # fmt: skip


def drawn(model: str) -> dict[str, Any]:
    """A question about a model, with a setting away from its default in most cases."""
    asked: dict[str, Any] = {"model": model, "context": random.choice((4096, 8192, 32768, 131072))}
    settings: tuple[tuple[float, dict[str, Any]], ...] = (
        (0.4, {"slots": random.choice((2, 4))}),
        (0.2, dict.fromkeys(("cache_type_k", "cache_type_v"), random.choice(("q8_0", "q4_0")))),
        (0.15, {"ubatch": random.choice((128, 1024, 2048)), "batch": 2048}),
        (0.15, {"flash_attn": random.choice(("off", "on"))}),
    )
    placements: tuple[dict[str, Any], ...] = (
        {}, {"n_cpu_moe": random.choice((1, 3, 10, 20, 100))}, {"cpu_moe": True}, {"gpu_layers": random.choice((0, 1, 5, 10, 20, 30))},
        {"kv_offload": False}, {"override_tensor": random.choice(OVERRIDES)},
    )  # fmt: skip
    for chance, keys in settings:
        if random.random() < chance:
            asked |= keys
    return asked | random.choice(placements)


def measured(llama: Path, words: list[str], free_mib: tuple[int, ...]) -> dict[str, list[int]]:
    """The engine's own table, in whole MiB."""
    emulated = {"LD_PRELOAD": str(HERE / "libemulated.so"), "EMULATED_MIB": ",".join(map(str, free_mib))}
    program = [str(llama / "build/bin/llama-fit-params"), *words]
    done = subprocess.run(program, env=os.environ | emulated, capture_output=True, text=True, timeout=300, check=False)
    return {name: [nbytes // MIB for nbytes in row] for name, row in parse(done.stdout).items()}


def of_header(folder: Path) -> tuple[Model, dict[str, Any], str]:
    """A model by its real header, a question about it, and the file."""
    name = random.choice(HEADERS)
    return header_model(name), drawn(name), sparse_gguf(folder, name)


def of_catalogue(folder: Path) -> tuple[Model, dict[str, Any], str]:
    """A model of the catalogue in a recipe."""
    asked = drawn(random.choice(catalogue.names())) | {"quant": random.choice(("Q4_K_M", "Q8_0"))}
    model = catalogue.model(asked["model"])
    return model, asked, headers.write(model, asked["quant"], folder)


def case(llama: Path, folder: Path) -> dict[str, Any] | None:
    """One question and the engine's answer; None where one of both refuses it."""
    free_mib = random.choice(MACHINES_MIB)
    try:
        model, asked, path = random.choice((of_header, of_catalogue))(folder)
        question = of(asked, free_mib)
        words = words_of(question, model, path)
        ours = [[nbytes // MIB for nbytes in row] for row in predicted(question, model, len(free_mib))]
        theirs = measured(llama, words, free_mib)
    except TonnageError:
        return None
    if ours != list(theirs.values()):
        print(asked, free_mib, theirs, ours)
    return {"question": asked, "free_mib": free_mib, "mib": theirs}


def of(asked: dict[str, Any], free_mib: tuple[int, ...]) -> Question:
    """The question on GPUs with so much free memory, as the engine's tools measure it."""
    return from_dict(asked | {"profile": "tools", "device": [f"cuda:{mib}MiB-free" for mib in free_mib]})


def main(llama: Path, number: int, seed: int) -> None:
    random.seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        drawn_cases = [case(llama, Path(folder)) for _ in range(number)]
    kept = {"source": SOURCE, "cases": [one for one in drawn_cases if one]}
    text = json.dumps(kept, separators=(",", ":")).encode()
    (ROOT / "tests/data/emulated-cases.json.gz").write_bytes(gzip.compress(text, mtime=0))
    print(f"{len(kept['cases'])} of {number} kept")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
