"""How long one token takes: the one function that a plan is judged by.

Every memory is read at a share of its bandwidth, one after another, and each change of device costs a fixed
time. The shares are those of the speed model where devices and RAM are known (`machine.py`).
"""

from collections.abc import Mapping

from tonnage.engines.llamacpp.plan.machine import Machine

SPLIT_SECONDS = 15e-6
"""start of a piece of the graph on another device"""

DEPTH = 8192
"""tokens in the cache that a plan is judged at where the question names no depth"""


def seconds_per_token(reads: Mapping[int, int], splits: int, machine: Machine) -> float:
    """Time of one generated token: `reads` bytes of every device (host: -1), and `splits` pieces of the graph."""
    return sum(nbytes / machine.rate(device) for device, nbytes in reads.items()) + SPLIT_SECONDS * splits
