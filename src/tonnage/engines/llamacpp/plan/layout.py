"""A placement as a plan makes it, and the flags by which llama.cpp does it."""

from collections.abc import Mapping, Sequence
from typing import Any

from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan.ledger import Block, Ledger
from tonnage.engines.llamacpp.plan.numbers import pattern
from tonnage.frozen import dataclass, replace
from tonnage.question import Question

PLACED = ("gpu_layers", "n_cpu_moe", "cpu_moe", "override_tensor", "tensor_split")
"""the keys that a plan sets"""

NOTHING_MATCHES = "^no_tensor$=CPU"
"""an override that moves nothing: with any override llama.cpp keeps one copy of a graph's inputs instead of four"""


@dataclass(frozen=True, slots=True)
class Layout:
    """Devices by number, the host as -1."""

    counts: tuple[int, ...]
    """blocks on the host, then on every GPU; the output layer is one more on the last that has any"""
    homes: tuple[tuple[int, ...], ...]
    """device of every matrix of every block's feed-forward part"""
    devices: int
    unpiped: bool = False
    """pipeline parallelism is switched off by an override that moves nothing"""

    @property
    def blocks(self) -> tuple[int, ...]:
        """Device of every block, the output layer last."""
        return tuple(device for device, count in enumerate(self.counts, HOST) for _ in range(count))


def flags(ledger: Ledger, layout: Layout) -> dict[str, Any]:
    """The keys of a question that place it so; only those that are needed."""
    found: dict[str, Any] = {}
    on_gpus = sum(layout.counts[1:])
    if layout.counts[0]:
        found["gpu_layers"] = on_gpus
    if layout.devices > 1 and on_gpus:
        found["tensor_split"] = tuple(float(count) for count in layout.counts[1:])
    first, all_experts = _leading(ledger, layout)
    if all_experts:
        found["cpu_moe"] = True
    elif first:
        found["n_cpu_moe"] = first
    overrides = _overrides(ledger, layout, first)
    if overrides or layout.unpiped:
        found["override_tensor"] = ",".join(overrides) or NOTHING_MATCHES
    return found


def placed(question: Question, given: Mapping[str, Any]) -> Question:
    """The question with this placement and no other."""
    keys: dict[str, Any] = dict.fromkeys(PLACED) | dict(given)
    return replace(question, **keys)


def _leading(ledger: Ledger, layout: Layout) -> tuple[int, bool]:
    """How many first blocks have all experts on the host, and whether these are all that have any.

    Blocks that are on the host with all they have need no flag, and are counted only where one behind them does.
    """
    first, end = 0, 0
    for i, block in enumerate(ledger.blocks):
        if block.experts and not all(home == HOST for home in layout.homes[i]):
            break
        end = i + 1
        if block.experts and layout.blocks[i] != HOST:
            first = end
    return first, bool(first) and not any(block.experts for block in ledger.blocks[end:])


def _overrides(ledger: Ledger, layout: Layout, first: int) -> list[str]:
    """One pattern for all blocks that treat the same matrices the same way."""
    moved: dict[tuple[int, bool, tuple[str, ...]], list[int]] = {}
    for i, block in enumerate(ledger.blocks):
        if block.experts and i < first:
            continue
        for device, kinds in _by_device(block, layout.homes[i]).items():
            if device != layout.blocks[i]:
                moved.setdefault((device, block.experts, kinds), []).append(i)
    return [_override(ledger, blocks, *key) for key, blocks in sorted(moved.items(), key=lambda item: item[1])]


def _by_device(block: Block, homes: Sequence[int]) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = {}
    for unit, home in zip(block.units, homes, strict=True):
        found.setdefault(home, []).append(unit.kind)
    return {device: tuple(kinds) for device, kinds in found.items()}


def _override(ledger: Ledger, blocks: list[int], device: int, experts: bool, kinds: tuple[str, ...]) -> str:
    whole = all(len(ledger.blocks[i].units) == len(kinds) for i in blocks)
    names = "up|down|gate_up|gate" if whole and experts else "|".join(kinds)
    names = f"({names})" if "|" in names else names
    target = "CPU" if device == HOST else f"CUDA{device}"
    return rf"blk\.{pattern(blocks)}\.ffn_{names}{'_(ch|)exps' if experts else '[.]'}={target}"
