"""What depends on the build of llama.cpp: its defaults and limits, one row per build."""

from typing import NamedTuple

from tonnage.errors import UnsupportedError
from tonnage.units import GIB, MIB


class Build(NamedTuple):
    """Defaults of one build, and the sizes that its server may grow to."""

    number: int
    batch: int
    """-b"""
    ubatch: int
    """-ub"""
    server_slots: int
    """-np of llama-server when it is not given; the slots then share one cache"""
    n_draft: int
    """tokens drafted at a time with MTP"""
    cell_padding: int
    """the cache's cells come in multiples of this"""
    max_slots: int
    prompt_cache_bytes: int
    """--cache-ram: host memory in which the server keeps the prompts of idle slots"""
    checkpoints: int
    """--ctx-checkpoints: snapshots per slot of what cannot be rolled back"""
    fit_margin_bytes: int
    """--fit-target: memory that --fit leaves free per device"""

    @property
    def name(self) -> str:
        """As llama.cpp's releases are called."""
        return f"b{self.number}"


# Source: src/llama-context.cpp (llama_context_default_params), common/common.h, tools/server of the build.
BUILDS = {"b11434": Build(11434, 2048, 512, 4, 3, 256, 256, 8192 * MIB, 32, GIB)}
NEWEST = "b11434"


def build_of(version: str | None) -> Build:
    """The build called `version` (`b11434` or `11434`), the newest known one for None."""
    name = NEWEST if version is None else "b" + version.lower().lstrip("b")
    if name not in BUILDS:
        raise UnsupportedError(f"no rules for llama.cpp {version!r}; known: {', '.join(BUILDS)}")
    return BUILDS[name]
