"""llama.cpp's whole numbers: unsigned ones that wrap at 2^32, and division towards zero."""

from tonnage.engines.llamacpp.fit.fitted import GaveUpError

MAX_UINT32 = 2**32 - 1


def uint32(n: int) -> int:
    """As an unsigned number of 32 bits holds it: -1 becomes 4,294,967,295."""
    return n & MAX_UINT32


def quotient(dividend: int, divisor: int) -> int:
    """Division towards zero; by zero llama.cpp is ended by the processor."""
    if divisor == 0:
        raise GaveUpError("llama.cpp divides by zero here and is ended")
    q = abs(dividend) // abs(divisor)
    return q if (dividend < 0) == (divisor < 0) else -q


def step_towards(target: int, low: int, high: int, delta: int) -> int:
    """Layers by which the method of false position goes on: where a line from `low` to `high` bytes meets the target.

    At least one, at most `delta` - 1. A target below `low` makes a negative number, which wraps and so becomes the most.
    """
    return min(max(uint32(quotient(delta * (target - low), high - low)), 1), delta - 1)
