"""CPU time of llama.cpp's compute buffers: the exact walk, an answer that remembers it, a curve, and hundreds of questions.

usage: python benchmarks/bench_walk.py [rounds]

The interpreter is warm and the model is read; `walk` has nothing remembered but what the model itself is.
It fails where a figure is above its limit. Limits are those of a machine on which a bare interpreter takes 10 ms, and grow with that.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from bench_startup import BARE, PYTHON, cpu_ms
from tonnage.engines.llamacpp import compute, placement_of
from tonnage.engines.llamacpp.compute.curve import compute_curve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.estimation import judged
from tonnage.question import Question, from_dict
from tonnage.source import open_question
from tonnage.verbs.estimate import _answer_line

MOE = ("qwen3-30b-a3b", "qwen3.5-122b-a10b", "glm-4.5-air")
"""mixtures of experts with 46 to 48 layers: plain, hybrid, with shared experts"""
MANY = ("qwen3.5-122b-a10b", "llama-3.1-8b-instruct", "gpt-oss-120b", "gemma-3-27b-it", "deepseek-r1", "qwen3-30b-a3b", "glm-4.5-air")
QUESTIONS = 754
POINTS = 64


class Figure(NamedTuple):
    """What is measured, and the milliseconds that it may take; None where there is no limit."""

    name: str
    run: Callable[[], object]
    limit_ms: float | None


def asked(model: str, **given: object) -> Question:
    """A question of 32K tokens."""
    return from_dict({"model": model, "quant": "Q4_K_M", "context": 32768, **given})


def walk(question: Question) -> Callable[[], object]:
    """The compute buffers of a question, walked anew each time."""
    question, model, _ = open_question(question)
    settings, placement = placement_of(question, model)
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)

    def run() -> object:
        compute._walked.cache_clear()
        return compute.compute_by_device(model, tensors, settings, placement)

    return run


def remembered(question: Question) -> Callable[[], object]:
    """The whole answer about memory, its walk remembered."""
    question, model, attached = open_question(question)
    return lambda: judged(question, model, attached)


def curve(question: Question) -> Callable[[], object]:
    """Buffers at many contexts, from a few walks."""
    question, model, _ = open_question(question)
    settings, placement = placement_of(question, model)
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)

    def run() -> object:
        compute._walked.cache_clear()
        return compute_curve(model, tensors, settings, placement, [4096 * (i + 1) for i in range(POINTS)])

    return run


def lines() -> list[bytes]:
    """As many questions as llama.cpp's own runs are, none like another."""
    rows = ({"model": MANY[i % len(MANY)], "quant": "Q4_K_M", "context": 2048 * (1 + i // len(MANY))} for i in range(QUESTIONS))
    return [json.dumps(row).encode() for row in rows]


def answer_all(rows: list[bytes]) -> object:
    """Each line answered as `estimate -` does."""
    compute._walked.cache_clear()
    return [_answer_line(row, i) for i, row in enumerate(rows)]


def figures() -> list[Figure]:
    """Everything that is measured."""
    one, four = {"device": ["24GB"]}, {"device": ["24GB"] * 4}
    rows = lines()
    return [
        *(Figure(f"walk, {m}, one device", walk(asked(m, **one)), 10) for m in MOE),
        *(Figure(f"walk, {m}, four devices", walk(asked(m, **four)), 40) for m in MOE),
        *(Figure(f"walk, {m}, experts on the host", walk(asked(m, **one, cpu_moe=True)), None) for m in MOE[:1]),
        *(Figure(f"answer, {m}, walk remembered", remembered(asked(m, **one)), 1) for m in MOE),
        Figure(f"curve of {POINTS} contexts, {MOE[1]}", curve(asked(MOE[1], **one)), None),
        Figure(f"{QUESTIONS} lines of estimate -", lambda: answer_all(rows), 15_000),
    ]


def measured(figure: Figure, rounds: int) -> list[float]:
    """Milliseconds of CPU of each round; one round goes before, and a figure of seconds is taken once."""
    figure.run()
    times = []
    for _ in range(1 if figure.limit_ms and figure.limit_ms > 1000 else rounds):
        start = time.process_time()
        figure.run()
        times.append(1000 * (time.process_time() - start))
    return times


def slowness() -> float:
    """How much slower than the limits' machine this one is now, by a bare interpreter."""
    with open(os.devnull, "rb") as nothing:
        return max(1.0, min(cpu_ms(BARE, (PYTHON, "-c", "pass"), nothing.fileno()) for _ in range(9)) / 10)


def main(rounds: int) -> int:
    print(f"{'CPU time of ' + str(rounds) + ' runs':48} {'least':>12} {'median':>12} {'limit':>10}")
    slow, scale = 0, slowness()
    for figure in figures():
        times = measured(figure, rounds)
        limit = f"{figure.limit_ms * scale:7,.1f} ms" if figure.limit_ms else "-"
        print(f"{figure.name:48} {min(times):9,.2f} ms {statistics.median(times):9,.2f} ms {limit:>10}")
        slow += bool(figure.limit_ms) and min(times) > figure.limit_ms * scale
    return int(slow > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15))
