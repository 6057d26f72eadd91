"""The rules of the readers, held against inputs that hypothesis makes: seeds of the corpus with bytes changed, cut, doubled, and noise.

Each example is tried whole, cut at nineteen places, and with a byte changed at twenty.

usage: python fuzz/with_hypothesis.py [executions] [gguf safetensors gguf_remote ...]

Prints executions, seconds, the slowest input (CPU time) and the peak memory; it fails at the first finding, or where an input takes over a second.
"""

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

CORPUS = Path(__file__).resolve().parent / "corpus"
sys.path.insert(0, str(CORPUS.parent.parent / "src"))

import rules  # noqa: E402

RULES = {"gguf": rules.gguf_file, "safetensors": rules.safetensors_file, "gguf_remote": rules.gguf_far_away}
BATCH = 2_000
"""examples of one run: hypothesis remembers those of a run, which costs memory"""
PLACES = 20
PER_EXAMPLE = 2 * PLACES
QUIET = settings(max_examples=BATCH, deadline=None, database=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))
EDITS = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 6), st.binary(min_size=1, max_size=9)), max_size=6)


def edited(seed_bytes: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """The seed with bytes set, put in, cut out, or repeated."""
    data = bytearray(seed_bytes)
    for place, kind, new in edits:
        at = place % (len(data) + 1)
        if kind < 3:
            data[at : at + len(new)] = new
        elif kind == 3:
            data[at:at] = new
        elif kind == 4:
            del data[at : at + new[0]]
        elif kind == 5:
            del data[at:]
        else:
            data[at:at] = data[at : at + new[0]]
    return bytes(data)


class Watch:
    """Counts inputs, and the most CPU time that one took."""

    def __init__(self, rule: Callable[[bytes], None]) -> None:
        self.rule = rule
        self.executions = 0
        self.slowest = 0.0

    def example(self, data: bytes) -> None:
        """Hold an example, its beginnings and its neighbours against the rule."""
        for place in range(PLACES, 0, -1):
            at = len(data) * place // PLACES
            self.one(data[:at])
            self.one(data[: at - 1] + bytes((data[at // 2] ^ (1 << place % 8),)) + data[at:] if at else data)

    def one(self, data: bytes) -> None:
        """Hold one input against the rule."""
        start = time.process_time()
        self.rule(data)
        took = time.process_time() - start
        self.executions += 1
        self.slowest = max(self.slowest, took)
        assert took < 1, f"{took:.1f} s for {data!r}"


def run(name: str, executions: int) -> None:
    """Batches of one rule until there were so many executions."""
    watch, start, number = Watch(RULES[name]), time.perf_counter(), 0
    seeds = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    inputs = st.one_of(st.builds(edited, st.sampled_from(seeds), EDITS), st.builds(edited, st.sampled_from(seeds), EDITS), st.binary(max_size=400))
    while watch.executions < executions:
        seed(number)(QUIET(given(inputs)(watch.example)))()
        number += 1
    seconds, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:12} {watch.executions:10,} executions in {seconds:6.0f} s, slowest {1000 * watch.slowest:.0f} ms, peak {peak:.0f} MiB", flush=True)


def main(executions: int, names: list[str]) -> None:
    """Every rule that is asked for."""
    rules.small_ranges()
    for name in names or list(RULES):
        run(name, executions)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else BATCH * PER_EXAMPLE, sys.argv[2:])
