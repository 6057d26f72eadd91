"""The versions of vLLM that the rules speak of, and what differs between them.

Read in 0.11, 0.17.1, 0.19, 0.21, 0.24 and 0.33; a version between two that were read is answered as the older one.
"""

import re

from tonnage.errors import UnsupportedError
from tonnage.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Build:
    """One version."""

    name: str
    utilization: float
    """share of the device's memory that is taken by default"""
    graphs_counted: bool
    """the memory of CUDA graphs is taken off the cache's share"""
    checkpoint_align: int
    """tokens that a block of gated delta nets is a multiple of, where prefixes are cached"""
    latent_align: int
    """the same for hybrids with latent attention"""
    cached_pages: int
    """state pages that a request holds besides its own, where prefixes are cached"""
    spec_pages: int
    """1 where each drafted token takes a state page more"""
    hybrid_prefix_caching: bool
    """prefixes are cached by default in models with states"""
    tokens_by_concurrency: bool
    """the logged tokens are concurrency x context; before, blocks / groups x block, which understates hybrids"""
    sampler_bytes: float
    """per logit of the profiling run's sampler"""
    sampler_proven: bool
    async_scheduling: bool
    """sliding layers keep the tokens of a second step, which is in flight while one is computed (run in 0.33; a log of 0.20 has one alone)"""
    large_gpus: bool
    """devices of 160 GiB and more, and GB10, have defaults of their own"""


_SORTED, _KERNEL = (38.4, True), (14.0, False)
"""the sampler's peak: sort-based top-k and top-p (fitted on six logs, 0.4 %); the Triton and FlashInfer kernels since
(reckoned; of two logs of one setting of 0.20, on unified memory, one left 0.2 GiB more for the cache and the other 3.2 GiB less)"""

_TABLE = (
    ((0, 11), Build("0.11", 0.90, False, 1, 64, 1, 1, False, False, *_SORTED, False, False)),
    ((0, 17), Build("0.17", 0.90, False, 1, 128, 1, 1, False, False, *_KERNEL, False, False)),
    ((0, 20), Build("0.20", 0.90, False, 1, 128, 1, 1, True, False, *_KERNEL, False, False)),
    ((0, 21), Build("0.21", 0.92, True, 1, 128, 1, 1, True, True, *_KERNEL, False, False)),
    ((0, 33), Build("0.33", 0.92, True, 64, 128, 2, 1, True, True, *_KERNEL, True, True)),
)
"""first version -> rules"""
NEWEST = "0.33"
OLDEST = "0.11"


def build_of(version: str | None) -> Build:
    """The rules of `version` (`0.19`, `v0.24.0`); UnsupportedError where none are known."""
    text = version or NEWEST
    found = re.fullmatch(r"v?(\d{1,4})\.(\d{1,4})(?:\.\w{1,20})*", text)
    asked = (int(found[1]), int(found[2])) if found else (-1, 0)
    if not (0, 11) <= asked <= (0, 33):
        raise UnsupportedError(f"engine_version={version!r}: rules are known of vLLM {OLDEST} to {NEWEST}")
    rules = next(rules for first, rules in reversed(_TABLE) if asked >= first)
    return _named(rules, text.removeprefix("v"))


def _named(rules: Build, name: str) -> Build:
    from tonnage.frozen import replace

    return replace(rules, name=name)
