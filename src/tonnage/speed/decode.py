"""Generating one token: t = W/(BW e) + KV/(BW ek) + layers c, summed over the places that it reads from."""

from typing import NamedTuple

from tonnage.speed.constants import Decode


def terms(weights: float, cache: float, layers: int, moe: bool, bandwidth: float, two_dies: bool) -> tuple[float, float, float, float, float]:
    """What each constant of `Decode` is multiplied with: seconds that bandwidth alone would take, layers.

    `weights` and `cache` are bytes, `bandwidth` bytes a second.
    """
    reading = weights / bandwidth
    return reading, cache / bandwidth, 0.0 if moe else layers * 1e-6, layers * 1e-6 if moe else 0.0, reading if two_dies else 0.0


def seconds(constants: Decode, found: tuple[float, ...]) -> float:
    """The seconds of `terms`."""
    return sum(constant * term for constant, term in zip(constants, found, strict=True))


class Spent(NamedTuple):
    """Seconds of a token in one place, by what they are spent on."""

    weights: float
    cache: float
    layers: float

    @property
    def total(self) -> float:
        """All together."""
        return self.weights + self.cache + self.layers


def spent(constants: Decode, found: tuple[float, float, float, float, float]) -> Spent:
    """`terms` as seconds, by what they are spent on."""
    reading, cache, dense, moe, two_dies = (constant * term for constant, term in zip(constants, found, strict=True))
    return Spent(reading + two_dies, cache, dense + moe)
