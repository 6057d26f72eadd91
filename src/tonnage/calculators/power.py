"""What electricity costs, and a million tokens of it."""

from collections.abc import Iterable
from functools import cache

from tonnage import data
from tonnage.errors import QuestionError, nearest
from tonnage.frozen import dataclass

DAYS_A_MONTH, DAYS_A_YEAR = 365 / 12, 365
_JOULES_PER_KWH = 3.6e6
_MOST_WATTS = 10**9


@dataclass(frozen=True, slots=True)
class Tariff:
    """Price of a kilowatt-hour."""

    price: float
    currency: str
    """empty where the user typed a price alone"""
    region: str = ""
    date: str = ""
    source: str = ""
    weak: bool = False
    """the source is a secondary page"""
    kind: str = "household"


@dataclass(frozen=True, slots=True)
class Use:
    """A machine's power: watts at its own rails, hours of load a day, watts for the rest of the day."""

    watts: float
    hours: float
    idle_watts: float = 0.0
    psu: float = 1.0
    """efficiency of the power supply: what the wall gives is more by its inverse"""

    @property
    def wall_watts(self) -> float:
        """What the wall gives under load."""
        return self.watts / self.psu

    @property
    def kwh_per_day(self) -> float:
        """Load and rest of a day together."""
        return (self.watts * self.hours + self.idle_watts * (24 - self.hours)) / self.psu / 1000


def check(use: Use) -> Use:
    """`use`, if there can be such; QuestionError otherwise."""
    if not 0 < use.watts <= _MOST_WATTS:
        raise QuestionError(f"watts={use.watts:g}: must be more than 0")
    if not 0 <= use.hours <= 24:
        raise QuestionError(f"hours={use.hours:g}: a day has 24")
    if not 0 < use.psu <= 1:
        raise QuestionError(f"psu={use.psu:g}: an efficiency lies between 0 and 1, such as 0.9")
    return use


def per_million_tokens(watts: float, tokens_per_second: float, price: float) -> float:
    """Price of the electricity for a million tokens: `W * price / (3.6 * t/s)`."""
    return watts * price * 1e6 / (_JOULES_PER_KWH * tokens_per_second)


@cache
def tariffs() -> tuple[dict[str, object], ...]:
    """The packaged rows: region, code, household, business, currency, date, source."""
    return tuple(data.load_json("calculators/electricity.json")["rows"])


WORLD = "World average"


def tariff(country: str, kind: str = "household") -> Tariff:
    """The price in a country, by its name or code; QuestionError where there is no row."""
    wanted = country.strip().lower()
    row = next((row for row in tariffs() if wanted in _names(row)), None)
    if row is None:
        regions = [str(row["region"]) for row in tariffs()]
        raise QuestionError(f"country={country[:60]!r}: no price is known; give one with --price", nearest(country[:60], regions))
    if kind not in row:
        other = "business" if kind == "household" else "household"
        raise QuestionError(f"country={country[:60]!r}: no {kind} price is known, only {other}; give one with --price")
    region, date, source, currency = (str(row[key]) for key in ("region", "date", "source", "currency"))
    return Tariff(float(str(row[kind])), currency, region, date, source, bool(row.get("weak")), kind)


def _names(row: dict[str, object]) -> Iterable[str]:
    """Everything that a row may be called, lower case."""
    region, code = str(row["region"]).lower(), str(row.get("code", "")).lower()
    return {region, region.split(" (")[0], code, *_ALIASES.get(code, ())} - {""}


_ALIASES = {
    "us": ("usa", "america", "united states of america"),
    "gb": ("uk", "united kingdom", "england", "britain"),
    "eu": ("europe (eu)", "european union", "eu27"),
    "us-ca": ("california",),
    "us-tx": ("texas",),
    "us-al": ("alabama",),
    "us-wa": ("washington",),
    "world": ("average",),
    "de": ("deutschland",),
    "tr": ("türkiye",),
}
