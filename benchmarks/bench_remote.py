"""Bytes, requests and seconds that it takes to know a remote model, beside other readers.

usage: python benchmarks/bench_remote.py [rounds]

The imitation of the hub that the tests use serves every reader on 127.0.0.1; it waits before each answer, and once
more for each connection. Bytes are those of all bodies that it sent. Seconds are from the question to the answer, the
least of the rounds, in a process of its own, imports not counted. Each peer gets what its users would give it.

- hf-mem: the package itself, where `hf-mem` is on PATH or HF_MEM_PYTHON names an interpreter that has it; its fixed host is replaced.
- 1 MB doubling: from the start again, twice as much each time, until the header is whole (as hf-mem reads, without its parser).
- 4 MiB ranges: one after the other until the header is whole, one redirect for all of them (as gguf-parser-go reads).

It fails where another reader takes fewer bytes or, by more than the noise of a busy machine, less time.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from hub import Content, Hub, serving  # noqa: E402
from remote import safetensors_repo, vocabulary_gguf  # noqa: E402

LATENCIES = (0.02, 0.08)
NOISE_SECONDS = 0.05

TONNAGE = """
from tonnage.remote import opening, heads, hub
from tonnage.source import load
read = lambda repo, file: load(f"{repo}/{file}" if file else repo).tensors
"""
HF_MEM = """
import os, httpx2
from hf_mem.run import run
get = httpx2.AsyncClient.get
async def here(self, url, **how):
    return await get(self, str(url).replace("https://huggingface.co", os.environ["HF_ENDPOINT"]), **how)
httpx2.AsyncClient.get = here
read = lambda repo, file: run(repo, gguf_file=file or None)
"""
RANGES = """
import os, http.client, urllib.parse
from tonnage.model import gguf
links = {}
def get(url, first, last):
    at = urllib.parse.urlsplit(url)
    link = links.setdefault(at.netloc, http.client.HTTPConnection(at.netloc))
    link.request("GET", f"{at.path}?{at.query}", headers={"Range": f"bytes={first}-{last - 1}"})
    answer = link.getresponse()
    body = answer.read()
    return get(answer.headers["Location"], first, last) if answer.status == 302 else (url, body)
"""
DOUBLING = """
def read(repo, file):
    url, size = f"{os.environ['HF_ENDPOINT']}/{repo}/resolve/main/{file}", 1_000_000
    while True:
        try:
            return gguf.parse(get(url, 0, size)[1])
        except gguf.TruncatedError:
            size *= 2
"""
CHUNKS = """
def read(repo, file):
    url, held = f"{os.environ['HF_ENDPOINT']}/{repo}/resolve/main/{file}", b""
    while True:
        url, more = get(url, len(held), len(held) + 4 * 2**20)
        held += more
        try:
            return gguf.parse(held)
        except gguf.TruncatedError:
            pass
"""
MEASURE = """
import sys, time
start = time.perf_counter()
read(*sys.argv[1:])
print(time.perf_counter() - start)
"""


class Reader(NamedTuple):
    """A program that reads a header."""

    name: str
    python: str
    code: str
    safetensors: bool = False


class Row(NamedTuple):
    """What one reader took."""

    nbytes: int
    requests: int
    seconds: float


def readers() -> Iterator[Reader]:
    """Tonnage, and the peers that are there."""
    yield Reader("tonnage", sys.executable, TONNAGE, safetensors=True)
    python = _hf_mem_python()
    if python:
        yield Reader("hf-mem", python, HF_MEM, safetensors=True)
    yield Reader("1 MB doubling", sys.executable, RANGES + DOUBLING)
    yield Reader("4 MiB ranges", sys.executable, RANGES + CHUNKS)


def _hf_mem_python() -> str:
    """An interpreter that has the package `hf_mem`; empty where there is none."""
    program = shutil.which("hf-mem")
    beside = str(Path(program).resolve().parent / "python") if program else ""
    for python in (os.environ.get("HF_MEM_PYTHON", ""), beside, sys.executable):
        if python and not subprocess.run([python, "-c", "import hf_mem"], capture_output=True, check=False).returncode:
            return python
    return ""


def models() -> dict[str, tuple[str, str, dict[str, Content]]]:
    """What is read: name -> repo, file, and the repo's files."""
    gguf = "m-Q4_K_M.gguf"
    return {
        "GGUF, 248,320 tokens, known": ("bench/known", gguf, {gguf: vocabulary_gguf()}),
        "GGUF, 248,320 tokens, unknown": ("bench/unknown", gguf, {gguf: vocabulary_gguf(pre="new")}),
        "GGUF, 128,256 tokens, known": ("bench/llama", gguf, {gguf: vocabulary_gguf("llama-3.1-8b-instruct", "llama-bpe", 128256, 7_822_900)}),
        "safetensors, 40 shards, dense": ("bench/dense", "", safetensors_repo(40, "qwen2.5-72b-instruct")),
        "safetensors, 40 shards, experts": ("bench/experts", "", safetensors_repo(40, "qwen3-30b-a3b")),
    }


def measure(hub: Hub, reader: Reader, repo: str, file: str, rounds: int) -> Row:
    """The best of the rounds; bytes and requests are the same in all of them."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    env |= {"HF_ENDPOINT": hub.url, "HF_HOME": os.devnull, "PYTHONPATH": str(ROOT / "src"), "TONNAGE_CACHE": "", "NO_PROXY": "127.0.0.1"}
    seconds = []
    for _ in range(rounds):
        hub.forget()
        done = subprocess.run([reader.python, "-c", reader.code + MEASURE, repo, file], capture_output=True, text=True, env=env, check=False)
        if done.returncode:
            raise SystemExit(f"{reader.name} failed on {repo}: {done.stderr[-2000:]}")
        seconds.append(float(done.stdout.split()[-1]))
    return Row(hub.sent, len(hub.seen), min(seconds))


def main(rounds: int) -> int:
    """Print one line per model, latency and reader."""
    rows: list[dict[str, Any]] = []
    failed = 0
    there = list(readers())
    print(f"{'model':32} {'latency':>8} {'reader':14} {'bytes':>12} {'requests':>9} {'seconds':>8}")
    with serving() as hub:
        for name, (repo, file, files) in models().items():
            hub.add(repo, files)
            for latency in LATENCIES:
                hub.latency = hub.connecting = latency
                found = {r.name: measure(hub, r, repo, file, rounds) for r in there if file or r.safetensors}
                for reader, row in found.items():
                    print(f"{name:32} {1000 * latency:5.0f} ms {reader:14} {row.nbytes:12,} {row.requests:9} {row.seconds:8.3f}", flush=True)
                    rows.append({"model": name, "latency": latency, "reader": reader, **row._asdict()})
                failed += _behind(name, found)
    if "hf-mem" not in {r.name for r in there}:
        print("hf-mem is not installed: set HF_MEM_PYTHON to an interpreter that has it")
    if os.environ.get("BENCH_JSON"):
        Path(os.environ["BENCH_JSON"]).write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return int(failed > 0)


def _behind(name: str, found: dict[str, Row]) -> int:
    """How many readers were better than Tonnage at anything."""
    ours, behind = found["tonnage"], 0
    for reader, row in found.items():
        if row.nbytes < ours.nbytes or row.seconds + NOISE_SECONDS < ours.seconds:
            print(f"tonnage is behind {reader} on {name}")
            behind += 1
    return behind


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
