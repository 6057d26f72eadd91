"""Constants of the speed model by group of backend and hardware; scripts/fit_speed.py measures them."""

from functools import cache
from typing import Any, NamedTuple

from tonnage.hardware.groups import table


class Decode(NamedTuple):
    """What makes generating a token slower than reading its bytes at the memory's full rate."""

    weights: float
    """time to read weights over the time that the bandwidth allows; never below 1"""
    cache: float
    """the same for keys and values"""
    dense_us: float
    """microseconds of a layer, whatever it reads"""
    moe_us: float
    """the same for a model of experts"""
    two_dies: float
    """added to `weights` for a chip of two dies"""


class Prefill(NamedTuple):
    """What makes a prompt slower than its arithmetic at the full rate; never below 1."""

    quant: float
    f16: float
    attention: float


class Band(NamedTuple):
    """Measured over predicted tokens per second: nine of ten rows lie between `low` and `high`."""

    low: float
    high: float


class Batch(NamedTuple):
    """What each further sequence of a step adds, over the time that it takes at the full rate."""

    arithmetic: float
    state: float
    """beside its reading"""


class Group(NamedTuple):
    """One group of machines that behave alike."""

    name: str
    decode: Decode
    prefill: Prefill
    band: Band
    prefill_band: Band
    machines: int
    """on how many it was measured"""
    rows: int
    batch: Batch
    batch_band: Band
    exchange_us: float = 0.0
    """microseconds of a layer whose ranks exchange their parts"""
    kin: str = ""
    """the group that constants are drawn to where there are few rows"""


@cache
def group(name: str) -> Group:
    """The constants of a group of the table."""
    row = table()["groups"][name]
    bands = table()["bands"]
    batch = bands["batch"].get(row["band"], bands["batch"]["all"])
    return Group(
        name,
        Decode(*row["decode"]),
        Prefill(*row["prefill"]),
        _band(bands["decode"][row["band"]]),
        _band(bands["prefill"]["all"]),
        row["machines"],
        row["rows"],
        Batch(*batch["batch"]),
        _band(batch),
    )


@cache
def engine_group(name: str) -> Group | None:
    """The constants of an engine other than llama.cpp; None where no runs of it are known."""
    row = table()["engines"].get(name)
    if row is None:
        return None
    return Group(
        name,
        Decode(*row["decode"]),
        Prefill(*row["prefill"]),
        _band(row["band"]),
        _band(row["prefill_band"]),
        row["machines"],
        row["rows"],
        Batch(*row["batch"]),
        _band(row["batch_band"]),
        row["exchange_us"],
        row["kin"],
    )


def _band(row: Any) -> Band:
    return Band(row["low"], row["high"])
