"""Time and memory of reading the header of a model with a vocabulary of 250,000 tokens.

usage: python benchmarks/bench_gguf.py [tokens]

Each reader runs in a process of its own, on the same file. Memory is what the process's peak grows by while it
reads (Linux's VmHWM); the pages of the file that a reader maps or loads count. The `gguf` package is measured where it is installed.
"""

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
READERS = {
    "tonnage": "from tonnage.model.gguf import parse\nread = lambda path: parse(open(path, 'rb').read())",
    "gguf package": "from gguf import GGUFReader\nread = GGUFReader",
}
MEASURE = r"""
import re, sys, time
peak = lambda: int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
before, start = peak(), time.process_time()
read(sys.argv[1])
print(time.process_time() - start, peak() - before)
"""


def header(tokens: int) -> bytes:
    """A header like that of a large model: vocabulary, merges, scores, token types and 800 tensors."""
    from gguf_writer import Typed, write
    from tonnage.model.types import Tensor

    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrst", k=rng.randint(1, 12))) for _ in range(tokens)]
    metadata = {
        "general.architecture": "llama",
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.scores": Typed("f32", [0.0] * tokens),
        "tokenizer.ggml.token_type": Typed("i32", [1] * tokens),
        "tokenizer.ggml.merges": [f"{word} {word[:3]}" for word in words],
        "tokenizer.chat_template": "x" * 20_000,
    }
    return write(metadata, [Tensor(f"blk.{i}.weight", (4096, 0), "q4_K") for i in range(800)])


def measure(code: str, path: str) -> tuple[float, float] | None:
    """CPU milliseconds (best of five, or one slow run) and MiB of peak memory; None where the reader is not installed."""
    first = _run(code, path)
    if first is None:
        return None
    again = [run for _ in range(4 if first[0] < 1 else 0) if (run := _run(code, path))]
    return min(f[0] for f in (first, *again)) * 1000, max(f[1] for f in (first, *again)) / 1024


def _run(code: str, path: str) -> tuple[float, int] | None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code + MEASURE, path], capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        return None
    seconds, kib = done.stdout.split()
    return float(seconds), int(kib)


def main() -> None:
    """Print one line per reader."""
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
    tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 250_000
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        data = header(tokens)
        file.write(data)
        file.flush()
        print(f"header of {len(data) / 1e6:.1f} MB, {tokens:,} tokens and merges, 800 tensors")
        print(f"{'reader':<14} {'CPU ms':>8} {'peak MiB':>9}")
        for name, code in READERS.items():
            found = measure(code, file.name)
            print(f"{name:<14} {found[0]:>8.1f} {found[1]:>9.1f}" if found else f"{name:<14} not installed")


if __name__ == "__main__":
    main()
