"""Every run of llama.cpp on one device: weights and cache to the byte, compute exact or inside its band."""

import pytest

import llama_cases
from llama_cases import Case
from tonnage.errors import RefusedError

CASES = llama_cases.single()
ANSWERED = [case for case in CASES if case.measured is not None]
REFUSED = [case for case in CASES if case.measured is None]
WEIGHTS, CACHE, COMPUTE = range(3)


def test_the_oracle_is_whole() -> None:
    """754 runs were answered by the engine, 13 were refused."""
    assert (754, 13) == (len(ANSWERED), len(REFUSED))


@pytest.mark.parametrize("case", ANSWERED, ids=str)
@pytest.mark.parametrize("term", [WEIGHTS, CACHE], ids=["weights", "cache"])
def test_weights_and_cache_are_the_engines(case: Case, term: int) -> None:
    """To the byte, on the GPU and on the host."""
    assert case.measured is not None

    assert llama_cases.column(case.measured, term) == llama_cases.column(llama_cases.predicted(llama_cases.answered(case)), term)


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_the_engine_refuses_is_refused(case: Case) -> None:
    """Unlike K and V types with latent attention, and settings that llama.cpp aborts on."""
    with pytest.raises(RefusedError):
        llama_cases.answered(case)


@pytest.mark.parametrize("case", ANSWERED, ids=str)
def test_compute_that_is_called_exact_is_exact(case: Case) -> None:
    """A buffer without a band equals what the engine allocated; one with a band may differ."""
    assert case.measured is not None
    exact = {name: size for name, size in buffers(case).items() if size[1] is None}

    assert {name: case.measured[name][COMPUTE] for name in exact} == {name: size for name, (size, _) in exact.items()}


def buffers(case: Case) -> dict[str, tuple[int, object]]:
    """Compute of every device: bytes and band."""
    estimate = llama_cases.answered(case)
    named = zip(llama_cases.names(estimate), estimate.devices, strict=True)
    return {name: (part.bytes, part.error) for name, device in named for part in device.parts if part.part == "compute"}
