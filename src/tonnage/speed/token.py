"""Seconds of one token: every share of them by place and kind, and the band around their sum."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tonnage.speed import decode
from tonnage.speed.constants import Band
from tonnage.speed.sources import EXPERTS_BAND, Source
from tonnage.work import Place, Work

LAYERS = "per layer"
DISK = "disk"
ARITHMETIC = "arithmetic"
DISK_BAND = Band(0.3, 3.0)
"""paging is told by order of magnitude alone"""
RANDOM = 0.3
"""share of a disk's rate that reads of single experts reach"""


class Share(NamedTuple):
    """A part of the time of one token."""

    where: str
    what: str
    """weights, experts, cache, state, disk, arithmetic, or what a layer costs whatever it reads"""
    nbytes: int
    """on all ranks together; seconds are those of one, as they work at the same time"""
    seconds: float
    least: float
    """seconds that the memory's full rate would take: no token is faster"""
    band: Band


class Paging(NamedTuple):
    """Weights that host memory cannot hold, read from disk again and again."""

    missing: float
    """share of the host's weights that are not in memory when they are needed"""
    rate: float
    """the disk's bytes a second"""


def shares(work: Work, sources: Mapping[int, Source], paging: Paging | None = None) -> Iterator[Share]:
    """Every part of a token's time; `sources` must hold each device that reads something."""
    for place in work.places:
        yield from _of_place(place, sources[place.device], work.has_experts)
        if paging and paging.missing and place.device < 0:
            read = paging.missing * (place.dense + place.experts)
            yield Share(DISK, "missing weights", round(read), read / (paging.rate * RANDOM), read / paging.rate, DISK_BAND)


def _of_place(place: Place, source: Source, moe: bool) -> Iterator[Share]:
    """Weights, experts, cache and state at their place's rate, and the fixed cost of its layers."""
    apart = place.experts if source.expert_rate else 0
    found = decode.terms(place.dense + place.experts - apart, place.cache + place.state, place.layers, moe, source.bandwidth, source.two_dies)
    spent = decode.spent(source.group.decode, found)
    told = (("weights", place.dense, spent.weights), ("experts", place.experts - apart, spent.weights), ("cache", place.cache, spent.cache))
    ranks = place.ranks
    together = {"weights": place.dense + place.experts - apart, "experts": place.dense + place.experts - apart, "cache": place.cache + place.state}
    for what, nbytes, seconds in (*told, ("state", place.state, spent.cache)):
        if nbytes:
            part = nbytes / together.get(what, place.cache + place.state)
            yield Share(source.name, what, nbytes * ranks, seconds * part, nbytes / source.bandwidth, source.band)
    if apart:
        yield Share(source.name, "experts", apart, apart / source.expert_rate, apart / source.bandwidth, EXPERTS_BAND)
    exchange = place.layers * source.group.exchange_us * 1e-6 if ranks > 1 else 0.0
    if spent.layers or exchange:
        yield Share(source.name, LAYERS, 0, spent.layers + exchange, 0.0, source.band)


class Range(NamedTuple):
    """A number and how far the truth may lie from it."""

    low: float
    likely: float
    high: float

    def scaled(self, factor: float) -> "Range":
        """All three times a factor."""
        return Range(self.low * factor, self.likely * factor, self.high * factor)

    def inverse(self) -> "Range":
        """One over it: what is high becomes low."""
        return Range(1 / self.high, 1 / self.likely, 1 / self.low)


def seconds_of(found: tuple[Share, ...]) -> Range:
    """Seconds of a token: the sum, between the ends of each share's band, and never faster than the memory."""
    least = sum(share.least for share in found)
    likely = sum(share.seconds for share in found)
    low = sum(share.seconds / share.band.high for share in found)
    return Range(max(low, least), max(likely, least), max(sum(share.seconds / share.band.low for share in found), least))
