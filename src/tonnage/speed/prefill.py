"""Reading a prompt: arithmetic at the rate of the matrix units, and attention over what came before."""

from tonnage.speed.constants import Prefill

HALF_FULL = 110
"""tokens per expert at which the matrix units are half as busy as with a dense model"""
UBATCH = 512


def terms(parameters: float, attention: float, tflops: float, f16: bool, tokens_per_expert: float | None) -> tuple[float, float, float]:
    """Seconds of a token at the full rate, for each constant of `Prefill`.

    `parameters` are those that a token runs through, `attention` the products of queries, keys and values with
    what came before (heads x length x tokens, summed over layers); experts see a part of the micro-batch each.
    """
    rate = tflops * 1e12
    busy = 1.0 if tokens_per_expert is None else tokens_per_expert / (tokens_per_expert + HALF_FULL)
    linear = 2 * parameters / (rate * busy)
    return 0.0 if f16 else linear, linear if f16 else 0.0, 4 * attention / rate


def seconds(constants: Prefill, found: tuple[float, float, float]) -> float:
    """The seconds of `terms`."""
    return sum(constant * term for constant, term in zip(constants, found, strict=True))
