"""The closed forms of compute buffers, which answer where no graph is walked: inside their bands, and the bands are narrow."""

from functools import cache
from statistics import median, quantiles
from typing import NamedTuple

import pytest

import llama_cases
from llama_cases import Case
from tonnage.engines.llamacpp import gpus_of
from tonnage.engines.llamacpp.compute import spread
from tonnage.engines.llamacpp.compute.constants import SPARSE
from tonnage.engines.llamacpp.placement import HOST, place
from tonnage.engines.llamacpp.settings import resolve
from tonnage.question import Question

PLAIN = ("cache_type_k", "cache_type_v", "kv_offload", "gpu_layers", "n_cpu_moe", "cpu_moe")
"""keys that a question has none of where the server runs with its own settings"""


class Fit(NamedTuple):
    """One buffer of one run, as predicted and as measured."""

    question: Question
    architecture: str
    predicted: int
    low: int
    high: int
    measured: int

    @property
    def percent(self) -> float:
        """How far the prediction is off."""
        return abs(self.predicted / self.measured - 1) * 100

    @property
    def inside(self) -> bool:
        """Whether the measured number lies in the band."""
        return self.predicted + self.low <= self.measured <= self.predicted + self.high

    @property
    def width(self) -> float:
        """Width of the band, percent."""
        return (self.high - self.low) / self.predicted * 100


@cache
def fits(where: str) -> tuple[Fit, ...]:
    """All buffers of `single` or `spread` runs."""
    cases = llama_cases.single() if where == "single" else llama_cases.spread()
    return tuple(fit for case in cases if case.measured for fit in _fits(case, case.measured))


def _fits(case: Case, measured: dict[str, tuple[int, int, int]]) -> list[Fit]:
    model = llama_cases.model(case.question.model)
    settings = resolve(case.question, model)
    placement = place(case.question, model, [gpu.usable_bytes or 1 for gpu in gpus_of(case.question, settings)])
    found = spread.compute_by_device(model, model.tensors, settings, placement)
    named = {("host" if device == HOST else f"gpu{device}"): fitted for device, fitted in found.items()}
    return [
        Fit(case.question, model.architecture, fitted.bytes, fitted.error.low, fitted.error.high, measured[name][2])
        for name, fitted in named.items()
        if name in measured and measured[name][2]
    ]


def test_one_device_lies_in_the_band() -> None:
    """95 % of the buffers at least; half of the bands are narrower than 5 %."""
    found = fits("single")

    assert sum(fit.inside for fit in found) >= 0.95 * len(found)
    assert median(fit.width for fit in found) <= 5


def test_several_devices_lie_in_the_band() -> None:
    """95 % of the buffers, with layers and experts in host memory."""
    found = fits("spread")

    assert sum(fit.inside for fit in found) >= 0.95 * len(found)


def test_server_settings_are_nearly_exact() -> None:
    """Standard families with the server's own settings: median 0.01 %, 95 % of the buffers within 2.5 %."""
    errors = [fit.percent for fit in fits("single") if fit.architecture not in SPARSE and _is_plain(fit.question)]

    assert median(errors) <= 0.01
    assert _p95(errors) <= 2.5


def _is_plain(question: Question) -> bool:
    return question.profile == "server" and question.flash_attn != "off" and not any(getattr(question, key) is not None for key in PLAIN)


def test_all_settings_are_close() -> None:
    """Standard families with any settings: 95 % of the buffers within 8 %."""
    assert _p95([fit.percent for fit in fits("single") if fit.architecture not in SPARSE]) <= 8


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20)[-1]


@pytest.mark.parametrize("profile", ["server", "tools"])
def test_inputs_of_the_host_are_exact(profile: str) -> None:
    """Masks and indices in pinned memory are counted, not fitted: exact in 95 % of the runs of standard families."""
    hosts = [fit for fit in fits("single") if _is_pinned(fit, profile)]

    assert sum(fit.predicted == fit.measured for fit in hosts) >= 0.95 * len(hosts) > 50


def _is_pinned(fit: Fit, profile: str) -> bool:
    """The whole model is on the GPU: what the host holds has a band of next to nothing."""
    return fit.question.backend == "cuda" and fit.question.profile == profile and fit.architecture not in SPARSE and fit.width < 0.5
