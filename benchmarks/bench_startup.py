"""CPU time of whole commands, from start to end: what a person or a script waits for.

usage: python benchmarks/bench_startup.py [rounds]

Each figure is the least of several interleaved runs, user and system time together, from compiled modules.
It fails where an answer takes more than six times a bare interpreter (60 ms where that takes 10).
Peers are measured where they are installed.
"""

import os
import shutil
import sys

PYTHON = sys.executable
SCRIPT = shutil.which("tonnage", path=os.path.dirname(PYTHON))
TONNAGE = (SCRIPT,) if SCRIPT else (PYTHON, "-m", "tonnage")
ANSWER = ("estimate", "qwen3.5-122b-a10b", "-c", "256K")
BARE, JSON = "bare interpreter", "tonnage estimate --json"
MOST = 6

COMMANDS: dict[str, tuple[str, ...]] = {
    BARE: (PYTHON, "-c", "pass"),
    "tonnage --version": (*TONNAGE, "--version"),
    "tonnage models --names": (*TONNAGE, "models", "--names"),
    JSON: (*TONNAGE, *ANSWER, "--json"),
    "tonnage estimate": (*TONNAGE, *ANSWER),
    "tonnage quants": (*TONNAGE, "quants", "qwen3.5-122b-a10b"),
    "hf-mem --help": ("hf-mem", "--help"),
    "llmfit --version": ("llmfit", "--version"),
    "gguf-parser --version": ("gguf-parser", "--version"),
}


def cpu_ms(words: tuple[str, ...]) -> float:
    """User and system time of one run."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    pid = os.posix_spawnp(words[0], list(words), environment, file_actions=silent)
    usage = os.wait4(pid, 0)[2]
    return 1000 * (usage.ru_utime + usage.ru_stime)


def main(rounds: int) -> int:
    there = {name: words for name, words in COMMANDS.items() if shutil.which(words[0])}
    best = dict.fromkeys(there, float("inf"))
    for _ in range(rounds):
        for name, words in there.items():
            best[name] = min(best[name], cpu_ms(words))
    for name, ms in best.items():
        print(f"{name:26} {ms:7.1f} ms {ms / best[BARE]:6.1f} x")
    return int(best[JSON] > MOST * best[BARE])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
