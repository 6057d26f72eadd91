"""RAM timings as times: DDR3, DDR4 and DDR5. All times are nanoseconds, rates 10^9 bytes a second."""

import re
from collections.abc import Iterator
from functools import cache

from tonnage import data
from tonnage.errors import QuestionError, nearest
from tonnage.frozen import dataclass

STREAMING = 0.85
"""share of the peak that long reads reach"""
EXPERTS = 0.45
"""share of what long reads reach at which experts in RAM are read (data/speed.json measures it)"""

_SPEEDS = {"DDR3": (800, 3200), "DDR4": (1600, 5600), "DDR5": (3200, 12000)}
"""MT/s at which a generation is made, overclocked modules included"""
_ANY = (800, 12000)
_BURST = {"DDR3": 8, "DDR4": 8, "DDR5": 16}
_BYTES = 8
"""of one transfer of a channel; DDR5's two subchannels count as one"""
_READ_TO_PRECHARGE_NS = 7.5
_JEDEC_RAS_NS = 31.8
"""the shortest that JEDEC's own bins ask for"""
_SLOW_NS, _FAST_NS = 18.0, 6.5
"""first words outside of these are of no kit that is sold"""
_MOST_CHANNELS = 24
_TEXT = (
    r"(?:(DDR[0-9]+[A-Z]?)[- ]*)?([0-9]{3,5})\s*(MHZ|MT/?S)?(?:\s*,?\s*C?L?\s*([0-9]+)(?:-([0-9]+)-([0-9]+)(?:-([0-9]+))?)?)?"
    r"(?:\s*(?:[X×]|CHANNELS=)\s*([0-9]+)(?:\s*CHANNELS?)?)?"
)


@dataclass(frozen=True, slots=True)
class Kit:
    """Modules of one kind. Timings are clocks, None where they were not given."""

    generation: str | None
    mt_s: int
    cl: int | None = None
    trcd: int | None = None
    trp: int | None = None
    tras: int | None = None
    channels: int = 1
    called_mhz: bool = False
    """the speed was written in MHz"""
    profile: str = ""
    """JEDEC, XMP or EXPO, where it is a packaged row"""

    @property
    def name(self) -> str:
        """The kit as it is written."""
        timings = "-".join(str(t) for t in (self.cl, self.trcd, self.trp, self.tras) if t is not None)
        speed = f"{self.generation}-{self.mt_s}" if self.generation else str(self.mt_s)
        return speed + (f" CL{timings}" if timings else "") + (f" x{self.channels}" if self.channels > 1 else "")

    @property
    def clock_ns(self) -> float:
        """One clock: two transfers."""
        return 2000 / self.mt_s

    @property
    def cas_ns(self) -> float | None:
        """From a read of an open row to its first word."""
        return self._after(self.cl)

    @property
    def closed_ns(self) -> float | None:
        """To the first word of a row that must be opened."""
        return self._after(self.trcd, self.cl)

    @property
    def conflict_ns(self) -> float | None:
        """To the first word where another row must be closed first."""
        return self._after(self.trp, self.trcd, self.cl)

    @property
    def cycle_ns(self) -> float | None:
        """From opening a row to opening the next in the same bank."""
        return self._after(self.tras, self.trp)

    def word_ns(self, n: int) -> float | None:
        """To the n-th word of a burst from an open row."""
        return None if self.cl is None else (self.cl + (n - 1) / 2) * self.clock_ns

    @property
    def burst(self) -> int | None:
        """Words of one burst; None where the generation is not known."""
        return _BURST.get(self.generation or "")

    @property
    def peak_gb_s(self) -> float:
        """All channels together, as the bus allows."""
        return self.mt_s * _BYTES * self.channels / 1000

    @property
    def streaming_gb_s(self) -> float:
        """What long reads reach."""
        return STREAMING * self.peak_gb_s

    @property
    def expert_gb_s(self) -> float:
        """At what rate experts that lie in RAM are read while tokens are generated."""
        return EXPERTS * self.streaming_gb_s

    def _after(self, *clocks: int | None) -> float | None:
        given = [n for n in clocks if n is not None]
        return sum(given) * self.clock_ns if len(given) == len(clocks) else None


def parse_kit(text: str) -> Kit:
    """A kit as people write it: `DDR5-6000 CL30-38-38-96 x2`; `x2` are channels. QuestionError for anything else."""
    match = re.fullmatch(_TEXT, text.strip().upper())
    if not match:
        raise QuestionError(f"kit={text[:60]!r}: must be written like DDR5-6000, DDR5-6000 CL30-38-38-96 or DDR4-3200 CL16 x2")
    generation, unit = match[1], match[3]
    mt_s, cl, trcd, trp, tras, channels = (int(match[i]) if match[i] else None for i in (2, 4, 5, 6, 7, 8))
    assert mt_s is not None
    kit = Kit(generation, mt_s, cl, trcd, trp, tras, 1 if channels is None else channels, unit == "MHZ")
    _check(kit, text)
    return kit


def check_speed(generation: str, mt_s: int, text: str) -> None:
    """QuestionError where a generation does not run at a speed, such as its clock in MHz; others than DDR3 to DDR5 may run at any."""
    if generation in _SPEEDS:
        _check(Kit(generation, mt_s), text)


def _check(kit: Kit, text: str) -> None:
    if kit.generation and kit.generation not in _SPEEDS:
        raise QuestionError(f"kit={text[:60]!r}: {kit.generation} is not known; there are {', '.join(_SPEEDS)}", nearest(kit.generation, _SPEEDS, 1))
    low, high = _SPEEDS.get(kit.generation or "", _ANY)
    if kit.mt_s < low <= 2 * kit.mt_s <= high:
        raise QuestionError(f"kit={text[:60]!r}: {kit.mt_s} is the clock in MHz; speed is counted in transfers, two a clock", (_doubled(kit).name,))
    if not low <= kit.mt_s <= high:
        raise QuestionError(f"kit={text[:60]!r}: {kit.generation or 'RAM'} runs at {low:,} to {high:,} MT/s")
    if not 1 <= kit.channels <= _MOST_CHANNELS:
        raise QuestionError(f"kit={text[:60]!r}: from 1 to {_MOST_CHANNELS} channels")
    if 0 in (kit.cl, kit.trcd, kit.trp, kit.tras):
        raise QuestionError(f"kit={text[:60]!r}: a timing of 0 clocks is none")


def _runs(kit: Kit) -> bool:
    """Whether its generation is made at its speed."""
    low, high = _SPEEDS.get(kit.generation or "", _ANY)
    return low <= kit.mt_s <= high


def _doubled(kit: Kit) -> Kit:
    return Kit(kit.generation, 2 * kit.mt_s, kit.cl, kit.trcd, kit.trp, kit.tras, kit.channels)


def warnings(kit: Kit) -> Iterator[str]:
    """What cannot be, or is of no kit that is sold."""
    cas = kit.cas_ns
    if cas is not None and cas > _SLOW_NS:
        doubled = _doubled(kit)
        meant = _FAST_NS < cas / 2 <= _SLOW_NS and _runs(doubled)
        clock = f"; if {kit.mt_s} is the clock in MHz, ask for {doubled.name}" if meant else ""
        yield f"a first word after {cas:.1f} ns is slower than any kit that is sold{clock}"
    elif kit.called_mhz:
        yield f"{kit.mt_s} is taken as MT/s, as kits are sold; the clock is {kit.mt_s // 2} MHz"
    if cas is not None and cas < _FAST_NS:
        yield f"a first word after {cas:.1f} ns is faster than any kit that is sold"
    yield from _row_warnings(kit)


def _row_warnings(kit: Kit) -> Iterator[str]:
    if kit.tras is None or kit.trcd is None or kit.cl is None:
        return
    least = kit.trcd + _READ_TO_PRECHARGE_NS / kit.clock_ns
    if kit.tras < least - 0.5:
        yield f"tRAS {kit.tras} cannot be: a row stays open for tRCD and 7.5 ns, {least:.0f} clocks, before a read of it is done"
    elif kit.tras < kit.trcd + kit.cl and kit.tras * kit.clock_ns < _JEDEC_RAS_NS:
        yield f"tRAS {kit.tras} is below tRCD + CL = {kit.trcd + kit.cl}: a read holds the row open for longer than that"


@cache
def known_kits() -> tuple[Kit, ...]:
    """The packaged kits, JEDEC's bins and common ones."""
    return tuple(Kit(**row) for row in data.load_json("calculators/ram_kits.json")["rows"])


def kits_at(kit: Kit) -> tuple[Kit, ...]:
    """The packaged kits of the same speed, with as many channels, for a kit without timings."""

    def same(row: Kit) -> bool:
        return row.mt_s == kit.mt_s and kit.generation in (None, row.generation)

    return tuple(
        Kit(row.generation, row.mt_s, row.cl, row.trcd, row.trp, row.tras, kit.channels, profile=row.profile) for row in known_kits() if same(row)
    )
