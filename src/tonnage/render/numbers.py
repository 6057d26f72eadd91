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
    return {"kv": "KV cache"}.get(part, part.replace("_", " "))
