"""Several sequences at a time: a step reads the weights once for all of them, and each one's cache."""

from collections.abc import Mapping
from functools import reduce

from tonnage.frozen import dataclass
from tonnage.speed import prefill
from tonnage.speed.constants import Band
from tonnage.speed.sources import Source, wider
from tonnage.speed.speculation import more_experts
from tonnage.speed.token import ARITHMETIC, DISK, Range, Share, seconds_of
from tonnage.work import HOST, Place, Work

EIGHT_BIT = 2
"""times the 16-bit rate that matrix units reach with 8 bits: no step is faster than its arithmetic at that"""


@dataclass(frozen=True, slots=True)
class Together:
    """What the requests of a question get at the same time, each of them at the question's depth."""

    users: int
    step: Range
    """seconds in which each of them gets one token"""
    shares: tuple[Share, ...]
    """of a step of the replica that has the most"""

    @property
    def bytes(self) -> int:
        """Read in such a step."""
        return sum(share.nbytes for share in self.shares)

    @property
    def each(self) -> Range:
        """Tokens per second of one request."""
        return self.step.inverse()

    @property
    def total(self) -> Range:
        """Tokens per second of all requests."""
        return self.each.scaled(self.users)


def together(work: Work, one: tuple[Share, ...], sources: Mapping[int, Source]) -> Together | None:
    """A step of all the work's sequences; None where the rate of arithmetic of a place is not known, as a CPU's.

    `one` are the shares of a token of a single sequence.
    """
    placed = [place for place in work.places if place.parameters]
    if any(place.device == HOST or not sources[place.device].tflops for place in placed):
        return None
    band = reduce(wider, (sources[place.device].group.batch_band for place in placed), Band(1.0, 1.0))
    shares = (*(_read(share, work, band) for share in one), *(_further(place, sources[place.device], work.sequences, band) for place in placed))
    least = work.sequences / EIGHT_BIT * sum(full_rate(place, sources[place.device]) for place in placed)
    alone = seconds_of(one).low
    return Together(work.users, Range(*(max(seconds, least, alone) for seconds in seconds_of(shares))), shares)


def _read(share: Share, work: Work, band: Band) -> Share:
    """What a step reads of a token's share: experts as far as the sequences are sent to others, the cache of each."""
    factor = 1.0
    if share.what == "experts" or share.where == DISK:
        factor = more_experts(work.expert_share, work.sequences - 1)
    elif share.what in ("cache", "state"):
        factor = work.sequences
    return Share(share.where, share.what, int(share.nbytes * factor), share.seconds * factor, share.least * factor, wider(share.band, band))


def _further(place: Place, source: Source, sequences: int, band: Band) -> Share:
    """What the sequences beyond the first add: arithmetic, and what an engine does with states beside reading them."""
    law = source.group.batch
    seconds = law.arithmetic * full_rate(place, source) + law.state * place.state / source.bandwidth
    return Share(source.name, ARITHMETIC, 0, seconds * (sequences - 1), 0.0, wider(source.band, band))


def full_rate(place: Place, source: Source) -> float:
    """Seconds of one token's arithmetic at the full rate."""
    return sum(prefill.terms(place.parameters, 0, source.tflops or 1, False, None))
