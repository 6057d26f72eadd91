"""Numbers as people read them."""

from tonnage.answer import Part
from tonnage.units import GB, GIB


def gib(nbytes: int, places: int = 2) -> str:
    """Binary gigabytes: `6.00`; `<0.01` for what would round to nothing."""
    return _rounded(nbytes, GIB, places)


def gb(nbytes: int, places: int = 2) -> str:
    """Decimal gigabytes, as disks and downloads count them."""
    return _rounded(nbytes, GB, places)


def _rounded(nbytes: int, unit: int, places: int) -> str:
    text = f"{nbytes / unit:,.{places}f}"
    least = 10**-places
    return f"<{least:.{places}f}" if nbytes > 0 and float(text.replace(",", "")) == 0 else text


def error(part: Part) -> str:
    """How far the truth may lie from the number, in percent of it."""
    if part.held == "reserved":
        return "at most"
    if part.error is None:
        return "as given" if part.basis == "assumed" else "exact"
    if not part.bytes:
        return f"to {gib(part.error.high)} GiB"
    low, high = (100 * side / part.bytes for side in (part.error.low, part.error.high))
    if percent(-low) == percent(high):
        return f"±{percent(high)} %"
    return f"-{percent(abs(low))} +{percent(high)} %"


def percent(share: float) -> str:
    """One place below ten percent, none above."""
    return f"{share:.1f}" if 0 < share < 10 else f"{share:.0f}"


def tokens(count: int) -> str:
    """`262,144`."""
    return f"{count:,}"


def parameters(count: int) -> str:
    """Parameters in billions or millions: `122.1B`, `596M`."""
    return f"{count / 1e9:.1f}B" if count >= 1e9 else f"{count / 1e6:.0f}M"


def part_name(part: str) -> str:
    """A part as people write it."""
    return {"kv": "KV cache", "draft_kv": "draft KV cache"}.get(part, part.replace("_", " "))


def significant(x: float, digits: int = 3) -> str:
    """A number with so many digits that count, never in powers of ten: `0.0352`, `9.75`, `1,230`."""
    if x == 0:
        return "0"
    power = int(f"{x:.{digits - 1}e}".partition("e")[2])
    return f"{x:,.{max(digits - 1 - power, 0)}f}"


def rough(x: float) -> str:
    """A number that is known roughly, in three digits: `9.75`, `154`, `12,000`."""
    return significant(float(f"{x:.3g}"))


_SHORT = ((1.0, 1, "s"), (1e-3, 1e-3, "ms"), (1e-6, 1e-6, "µs"), (0.0, 1e-9, "ns"))
_LONG = ((31_536_000, "years", "days"), (86400, "days", "h"), (3600, "h", "min"), (60, "min", "s"))
_IN = {"days": 86400, "h": 3600, "min": 60, "s": 1}


def seconds(x: float) -> str:
    """A time in the units that suit it: `16.7 ns`, `2.86 s`, `1 min 49 s`, `3 days 2 h`."""
    for least, unit, rest in _LONG:
        if round(x) >= max(least, 100 if unit == "min" else least):
            whole = round(x / _IN[rest]) * _IN[rest]
            more = round(whole % least / _IN[rest])
            return _counted(whole // int(least), unit) + (f" {_counted(more, rest)}" if more else "")
    return next(f"{significant(x / unit)} {name}" for least, unit, name in _SHORT if x >= least)


def _counted(n: int, unit: str) -> str:
    return f"{n:,} {unit[:-1] if n == 1 and len(unit) > 3 else unit}"


def money(x: float) -> str:
    """An amount in its currency's unit: two places, more where it is less than one."""
    return f"{x:,.2f}" if x >= 1 or x == 0 else significant(x, 2) if x < 0.1 else f"{x:.2f}"
