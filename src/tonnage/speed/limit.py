"""What a power limit below a card's rating does to its speed."""

from typing import NamedTuple

from tonnage import data

_TABLE = "calculators/power_limit.json"


class Slowed(NamedTuple):
    """Speeds as shares of those at the full rating."""

    decode: float
    prefill: float


def slowed(limit: float, rated: float) -> Slowed:
    """Speeds at a limit of so many watts, between the measured points of one card of 600 W; below them in proportion."""
    table = data.load_json(_TABLE)
    rows = sorted(table["rows"], key=lambda row: row["limit_w"])
    share = min(limit / rated, 1.0)
    shares = [row["limit_w"] / table["board_w"] for row in rows]
    return Slowed(*(_between(share, shares, [min(row[kind] / rows[-1][kind], 1.0) for row in rows]) for kind in ("decode", "prefill")))


def _between(x: float, xs: list[float], ys: list[float]) -> float:
    if x <= xs[0]:
        return ys[0] * x / xs[0]
    above = next((i for i, value in enumerate(xs) if value >= x), len(xs) - 1)
    low, high = xs[above - 1], xs[above]
    return ys[above - 1] + (ys[above] - ys[above - 1]) * (x - low) / (high - low)
