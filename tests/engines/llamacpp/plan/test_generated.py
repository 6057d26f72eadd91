"""Plans of many kept models on many machines, beside --fit with the same context."""

import random
from functools import cache
from math import exp, log
from typing import Any, NamedTuple

import pytest

import placements
from tonnage.engines.llamacpp.plan import Planned, plan, task_of
from tonnage.engines.llamacpp.plan.against import fitted
from tonnage.engines.llamacpp.plan.check import Checked, Task, hold
from tonnage.engines.llamacpp.plan.layout import placed
from tonnage.question import Question

pytestmark = pytest.mark.slow

MODELS = (
    "deepseek-v3", "deepseek-v3.2", "gemma3-27b", "gemma4-like", "glm4.5-air", "gpt-oss-120b", "gpt-oss-20b", "kimi-linear-48b", "lfm2-1.2b",
    "llama3.1-8b", "llama4-scout", "mamba2-2.7b", "minimax-m3-like", "nemotron3-nano-30b", "qwen3-30b-a3b", "qwen3.5-122b-a10b",
)  # fmt: skip
FREE_MIB = (7_730, 11_780, 15_850, 23_990, 31_950, 48_480, 80_900)
FAST, MANY = 8, 240
SAME = 0.9995
"""ratio of two speeds that count as one"""


class Problem(NamedTuple):
    """A model, devices, a context, and host memory."""

    name: str
    free_mib: tuple[int, ...]
    context: int
    ram: str | None

    def question(self) -> Question:
        """As it is asked."""
        given: dict[str, Any] = {"ram": self.ram} if self.ram else {}
        return placements.question(self.name, list(self.free_mib), min(self.context, placements.model(self.name).context), **given)


class Solved(NamedTuple):
    """Our plan, and what --fit does with the same context; None where it gives up or breaks margin or host memory."""

    task: Task
    ours: Planned | None
    theirs: Checked | None


def problems(count: int) -> list[Problem]:
    """The same ones every time."""
    chosen = random.Random(20261125)
    return [
        Problem(
            chosen.choice(MODELS),
            tuple(chosen.choice(FREE_MIB) for _ in range(chosen.choice((1, 1, 1, 2, 2, 3, 4)))),
            chosen.choice((8_192, 32_768, 65_536, 131_072, 262_144)),
            chosen.choice((None, None, "32GB", "64GB", "128GB", "256GB")),
        )
        for _ in range(count)
    ]


@cache
def solved(problem: Problem) -> Solved:
    """A problem's two answers, made once."""
    question, model = problem.question(), placements.model(problem.name)
    task = task_of(question, model)
    decided, theirs = fitted(task, keep_context=True)
    return Solved(task, plan(question, model), theirs if decided.success and theirs.fits(task.machine) else None)


def sample() -> list[Any]:
    """A few for every run, the rest for the slow one."""
    return [pytest.param(p, id=f"{i}", marks=() if i < FAST else pytest.mark.slow) for i, p in enumerate(problems(MANY))]


@pytest.mark.slow
@pytest.mark.parametrize("problem", sample())
def test_the_context_is_kept_where_any_simple_placement_keeps_it(problem: Problem) -> None:
    """All on the host, all experts on the host, half of the layers, or --fit: where one fits, there is a plan."""
    found = solved(problem)
    half = len(found.task.model.layers) // 2
    simple: list[dict[str, Any]] = [{"cpu_moe": True}, {"gpu_layers": 0}, {"gpu_layers": half}, {"gpu_layers": half, "cpu_moe": True}]
    if found.ours is None:
        assert found.theirs is None
        assert not any(hold(found.task, placed(found.task.question, keys), 0.0).fits(found.task.machine) for keys in simple)


@pytest.mark.parametrize("problem", sample())
def test_no_device_is_over_its_memory_less_the_margin(problem: Problem) -> None:
    """The question that the plan makes, answered anew in the real view, host memory too."""
    found = solved(problem)
    if found.ours:
        assert hold(found.task, found.ours.question, 0.0).fits(found.task.machine)


def ratios(count: int) -> list[float]:
    """Our speed over --fit's, wherever both keep context and margin."""
    pairs = [(found.ours, found.theirs) for found in map(solved, problems(count))]
    return [theirs.seconds / ours.checked.seconds for ours, theirs in pairs if ours and theirs]


@pytest.mark.slow
def test_plans_are_as_fast_as_fit_in_98_of_100() -> None:
    """By the same model of time."""
    found = ratios(MANY)

    assert sum(ratio >= SAME for ratio in found) >= 0.98 * len(found)


@pytest.mark.slow
def test_plans_are_faster_than_fit_in_the_mean() -> None:
    """Geometric mean, of at least 150 problems that both solve."""
    found = ratios(MANY)

    assert len(found) >= 150
    assert exp(sum(map(log, found)) / len(found)) >= 1.15
