"""CPU time of a plan, from an opened model to the layout that was held against the engine's rules.

usage: python benchmarks/bench_plan.py [rounds]

Each plan is made in a process of its own, so that nothing is remembered; modules are imported before. The least of the rounds counts.
It fails where a plan on one device takes more than 100 ms, or on four more than 1 s.
"""

import os
import statistics
import sys
import time

from tonnage.engines.llamacpp.plan import plan
from tonnage.model import catalogue
from tonnage.model.types import Model
from tonnage.question import Question, from_dict

MOST_MS = {1: 100, 2: 500, 4: 1000}
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


def cpu_ms(question: Question, model: Model) -> float:
    """User and system time of one plan in a child process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        start = time.process_time()
        made = plan(question, model)
        os.write(writing, f"{1000 * (time.process_time() - start) if made else -1}".encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as answer:
        return float(answer.read())


def main(rounds: int) -> int:
    warm = catalogue.model("gpt-oss-20b")
    plan(from_dict({"model": "gpt-oss-20b", "device": "8GB"}), warm)
    failed = False
    print(f"{'CPU time of a plan, ' + str(rounds) + ' runs':60} {'least':>10} {'median':>10}")
    for name, context, devices in PLANS:
        model = catalogue.model(name)
        question = from_dict({"model": name, "quant": "Q4_K_M", "context": context, "slots": 1, "device": list(devices)})
        times = [cpu_ms(question, model) for _ in range(rounds)]
        print(f"{name + ' ' + context + ' on ' + ' + '.join(devices):60} {min(times):7.1f} ms {statistics.median(times):7.1f} ms")
        failed |= not 0 <= min(times) <= MOST_MS[len(devices)]
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
