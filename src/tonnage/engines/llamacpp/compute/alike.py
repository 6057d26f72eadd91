"""Recipes whose graphs are the same: they are walked once.

A graph allocates what operations put out, never a weight that lies where it is used. Of the types of weights it sees
whether they are quantised, and which of the matrices are alike that CUDA computes as one (fusion.py). Where weights are
copied to another device their own bytes count. tests/engines/llamacpp/compute hold what is shared against walks of its own.
"""

from collections.abc import Hashable, Iterator
from functools import lru_cache

from tonnage.engines.llamacpp.compute.graph import PRECISE_DOWN
from tonnage.engines.llamacpp.compute.periods import TYPED
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.same import Same
from tonnage.model.types import Tensor
from tonnage.quant.types import TYPES

QUANTISED = "quantised"
"""stands for every type of blocks"""


class _Seen:
    """Tensors that equal others of which a graph sees the same."""

    __slots__ = ("_hash", "kinds", "tensors")

    def __init__(self, tensors: tuple[Tensor, ...]) -> None:
        self.tensors = tensors
        self.kinds = tuple(_kinds(tensors))
        self._hash = hash(self.kinds)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Seen) and other.kinds == self.kinds


def _kinds(tensors: tuple[Tensor, ...]) -> Iterator[Hashable]:
    """Names and shapes, plain types as they are; of the types that must be alike in a block which of them are."""
    orders: dict[str, dict[str, int]] = {}
    for name, shape, type_ in tensors:
        if TYPES[type_].elements == 1:
            yield name, shape, type_
            continue
        block, _, suffix = name.removeprefix("blk.").partition(".")
        order = orders.setdefault(block, {}) if suffix.startswith(TYPED) else None
        yield name, shape, QUANTISED if order is None else order.setdefault(type_, len(order))


def walked_for(architecture: str, tensors: tuple[Tensor, ...], placement: Placement) -> tuple[Tensor, ...]:
    """The tensors that were first walked of those whose graph is the same under this placement."""
    stays = placement.devices and placement.kv_offload and not placement.overrides and HOST not in placement.layers
    stays = stays and architecture not in PRECISE_DOWN  # their last matrices are copied to the CPU
    return _first(Same(tensors)) if stays else tensors


@lru_cache(maxsize=256)
def _first(same: Same) -> tuple[Tensor, ...]:
    return _first_seen(_Seen(same.tensors)).tensors


@lru_cache(maxsize=64)
def _first_seen(seen: _Seen) -> _Seen:
    """What is remembered of equal keys is the first of them."""
    return seen
