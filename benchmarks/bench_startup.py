"""CPU time of whole commands, from start to end: what a person or a script waits for.

usage: python benchmarks/bench_startup.py [rounds]

Each figure is user and system time together, from compiled modules, the least and the median of interleaved runs; ratios are of the least.
It fails where an answer takes more than twelve times a bare interpreter (120 ms where that takes 10): half of that for the
start, half for the walk of the graph.
Peers are measured where they are installed.
"""

import importlib.util
import json
import os
import shutil
import statistics
import sys
import tempfile

PYTHON = sys.executable
SCRIPT = shutil.which("tonnage", path=os.path.dirname(PYTHON))
TONNAGE = (SCRIPT,) if SCRIPT else (PYTHON, "-m", "tonnage")
ANSWER = ("estimate", "qwen3.5-122b-a10b", "-c", "256K")
BARE, JSON = "bare interpreter", "tonnage estimate --json"
MOST = 12
QUESTIONS = 100
MANY = f"tonnage estimate -, {QUESTIONS} questions"
MODELS = ("qwen3.5-122b-a10b", "llama-3.1-8b-instruct", "gpt-oss-120b", "gemma-3-27b-it", "deepseek-r1")

COMMANDS: dict[str, tuple[str, ...]] = {
    BARE: (PYTHON, "-c", "pass"),
    "import tonnage": (PYTHON, "-c", "import tonnage"),
    "tonnage --version": (*TONNAGE, "--version"),
    "tonnage models --names": (*TONNAGE, "models", "--names"),
    JSON: (*TONNAGE, *ANSWER, "--json"),
    "tonnage estimate": (*TONNAGE, *ANSWER),
    MANY: (*TONNAGE, "estimate", "-"),
    "tonnage quants": (*TONNAGE, "quants", "qwen3.5-122b-a10b"),
    "import gguf": (PYTHON if importlib.util.find_spec("gguf") else "", "-c", "import gguf"),
    "hf-mem --help": ("hf-mem", "--help"),
    "llmfit --version": ("llmfit", "--version"),
    "gguf-parser --version": ("gguf-parser", "--version"),
}


def questions() -> bytes:
    """JSON lines: every model at contexts from 4K up."""
    asked = ({"model": MODELS[i % len(MODELS)], "quant": "Q4_K_M", "context": 4096 * (1 + i // len(MODELS))} for i in range(QUESTIONS))
    return b"".join(json.dumps(question).encode() + b"\n" for question in asked)


def cpu_ms(name: str, words: tuple[str, ...], asked: int) -> float:
    """User and system time of one run; `asked` is the file that it may read."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    os.lseek(asked, 0, os.SEEK_SET)
    pid = os.posix_spawnp(words[0], list(words), environment, file_actions=[*silent, (os.POSIX_SPAWN_DUP2, asked, 0)])
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{name} failed: {' '.join(words)}")
    return 1000 * (usage.ru_utime + usage.ru_stime)


def main(rounds: int) -> int:
    there = {name: words for name, words in COMMANDS.items() if shutil.which(words[0])}
    times: dict[str, list[float]] = {name: [] for name in there}
    with tempfile.TemporaryFile() as asked:
        asked.write(questions())
        asked.flush()
        for _ in range(rounds):
            for name, words in there.items():
                times[name].append(cpu_ms(name, words, asked.fileno()))
    best = {name: min(runs) for name, runs in times.items()}
    print(f"{'CPU time of ' + str(rounds) + ' runs':34} {'least':>10} {'median':>10} {'ratio':>8}")
    for name, ms in best.items():
        print(f"{name:34} {ms:7.1f} ms {statistics.median(times[name]):7.1f} ms {ms / best[BARE]:6.1f} x")
    print(f"{'one more question of estimate -':34} {(best[MANY] - best[JSON]) / QUESTIONS:7.1f} ms")
    return int(best[JSON] > MOST * best[BARE])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
