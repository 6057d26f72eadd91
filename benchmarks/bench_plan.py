"""CPU time of plans and of inverse questions, from an opened model to the answer that was held against the engine's rules.

usage: python benchmarks/bench_plan.py [rounds]

Each question is answered in a process of its own, so that nothing is remembered; modules are imported before. The least of the rounds counts.
It fails where a plan on one device takes more than 100 ms, or on four more than 1 s; where the largest context for three types of cache
takes more than 100 ms; where a model against the whole catalogue of devices takes more than 400 ms.
"""

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from tonnage.cli import COLLECTED_AFTER
from tonnage.engines.llamacpp.plan import plan
from tonnage.frozen import replace
from tonnage.hardware import devices
from tonnage.model import catalogue
from tonnage.model.types import Model
from tonnage.question import Question, from_dict
from tonnage.solve import max_context
from tonnage.survey import survey
from tonnage.verbs.max_context import TYPES

MOST_MS = {1: 100, 2: 500, 4: 1000}
MOST_CONTEXT_MS, MOST_FIT_MS = 100, 400
PLANS = (
    ("qwen3-30b-a3b", "32K", ("12GB",)),
    ("gpt-oss-120b", "128K", ("24GB",)),
    ("qwen3.5-122b-a10b", "128K", ("24GB",)),
    ("llama-3.3-70b-instruct", "32K", ("24GB",)),
    ("gemma-3-27b-it", "128K", ("16GB",)),
    ("qwen3.5-122b-a10b", "256K", ("24GB", "24GB")),
    ("llama-3.3-70b-instruct", "32K", ("24GB", "12GB")),
    ("qwen3.5-122b-a10b", "128K", ("24GB", "24GB", "12GB", "8GB")),
    ("deepseek-r1", "64K", ("80GB", "80GB", "48GB", "24GB")),
)
CONTEXTS = (
    ("qwen3-32b", "RTX 5090"),
    ("llama-3.3-70b-instruct", "RTX 6000 Ada"),
    ("gemma-3-27b-it", "RTX 4090"),
    ("qwen3.5-122b-a10b", "RTX PRO 6000 Blackwell"),
    ("qwen3.5-122b-a10b", "75GB"),
)
SURVEYED = ("qwen3.5-122b-a10b", "llama-3.3-70b-instruct")


class Case(NamedTuple):
    """A question, what answers it, and the most that it may take."""

    title: str
    answer: Callable[[Question, Model], object]
    question: Question
    most_ms: float


def three_contexts(question: Question, model: Model) -> object:
    """What `tonnage max-context` answers."""
    return [max_context(replace(question, cache_type_k=kind, cache_type_v=kind), model) for kind in TYPES]


def whole_catalogue(question: Question, model: Model) -> object:
    """What `tonnage fit` answers."""
    return survey(question, model, devices.catalogue())


def cases() -> list[Case]:
    """All that is timed."""
    asked = {"quant": "Q4_K_M", "slots": 1}
    plans = [
        Case(f"plan {n} {context} on {' + '.join(on)}", plan, from_dict({**asked, "model": n, "context": context, "device": on}), MOST_MS[len(on)])
        for n, context, on in PLANS
    ]
    contexts = [
        Case(f"max-context {name} on {device}", three_contexts, from_dict({**asked, "model": name, "device": device}), MOST_CONTEXT_MS)
        for name, device in CONTEXTS
    ]
    fits = [Case(f"fit {name}", whole_catalogue, from_dict({**asked, "model": name, "context": "256K"}), MOST_FIT_MS) for name in SURVEYED]
    return [*plans, *contexts, *fits]


def cpu_ms(case: Case, model: Model) -> float:
    """User and system time of one answer in a child process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        start = time.process_time()
        made = case.answer(case.question, model)
        os.write(writing, f"{1000 * (time.process_time() - start) if made else -1}".encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as answer:
        return float(answer.read())


def main(rounds: int) -> int:
    gc.set_threshold(COLLECTED_AFTER)
    warm = from_dict({"model": "gpt-oss-20b", "device": "8GB"})
    plan(warm, catalogue.model("gpt-oss-20b"))
    failed = False
    print(f"{'CPU time, ' + str(rounds) + ' runs':65} {'least':>10} {'median':>10} {'at most':>10}")
    for case in cases():
        model = catalogue.model(str(case.question.model))
        times = [cpu_ms(case, model) for _ in range(rounds)]
        print(f"{case.title:65} {min(times):7.1f} ms {statistics.median(times):7.1f} ms {case.most_ms:7.0f} ms")
        failed |= not 0 <= min(times) <= case.most_ms
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
