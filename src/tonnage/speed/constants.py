"""Constants of the speed model by group of backend and hardware; scripts/fit_speed.py measures them."""

from functools import cache
from typing import Any, NamedTuple

from tonnage import data

TABLE = "speed.json"


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


@cache
def group(name: str) -> Group:
    """The constants of a group of the table."""
    row = table()["groups"][name]
    bands = table()["bands"]
    decode, prefill = bands["decode"][row["band"]], bands["prefill"]["all"]
    return Group(
        name,
        Decode(*row["decode"]),
        Prefill(*row["prefill"]),
        Band(decode["low"], decode["high"]),
        Band(prefill["low"], prefill["high"]),
        row["machines"],
        row["rows"],
    )


def table() -> Any:
    """The packaged table."""
    return data.load_json(TABLE)
