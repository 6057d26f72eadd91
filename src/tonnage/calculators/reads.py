"""How long a read takes from each level of memory, to a human scale: one nanosecond as one second."""

from functools import cache

from tonnage import data
from tonnage.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Level:
    """A place that bytes are read from."""

    name: str
    latency_ns: float
    gb_s: float | None
    """10^9 bytes a second of a long read; None where a read is one access"""
    size: str = ""
    """what such a place holds, in words"""
    source: str = ""

    def read_ns(self, nbytes: int) -> float:
        """Nanoseconds to read so many bytes: one latency, then the stream."""
        return self.latency_ns + (nbytes / self.gb_s if self.gb_s else 0.0)


@cache
def levels() -> tuple[Level, ...]:
    """The packaged levels, from registers to the internet."""
    rows = data.load_json("calculators/hierarchy.json")["rows"]
    return tuple(Level(row["level"], row["latency_ns"], row["gb_s"], row.get("size", ""), row["source"]) for row in rows)


@dataclass(frozen=True, slots=True)
class Share:
    """What one token reads of one kind in one place."""

    where: str
    what: str
    """weights, experts, kv, state, or disk"""
    nbytes: int
    seconds: float


def shares_of(shares: tuple[Share, ...]) -> tuple[tuple[Share, float, float], ...]:
    """Every share with its part of all bytes and of all time."""
    nbytes, seconds = sum(s.nbytes for s in shares) or 1, sum(s.seconds for s in shares) or 1.0
    return tuple((share, share.nbytes / nbytes, share.seconds / seconds) for share in shares)
