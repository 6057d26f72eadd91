"""A plan in words."""

from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan import Planned
from tonnage.engines.llamacpp.plan.ledger import Block
from tonnage.units import GIB


def in_ram(planned: Planned) -> str:
    """What a plan leaves to host memory: `experts of 38 layers`; empty where nothing is that a GPU could hold."""
    layers, bare, experts, dense = _counts(planned)
    told = []
    if layers:
        told.append(f"{'attention and cache of ' if bare == layers else ''}{_layers(layers)}")
    if experts:
        told.append(f"experts of {_layers(experts)}")
    if dense:
        told.append(f"feed-forward matrices of {_layers(dense)}")
    return ", ".join(told)


def short(planned: Planned) -> str:
    """What a plan does, for a list of remedies."""
    held = in_ram(planned)
    if held:
        return f"{held} in RAM ({planned.checked.host / GIB:.1f} GiB of it)"
    split = "/".join(f"{count}" for count in planned.layout.counts[1:]) if planned.layout else ""
    return f"layers split {split} over the GPUs" if split else "placed as llama.cpp does"


def _counts(planned: Planned) -> tuple[int, int, int, int]:
    """Layers on the host; those of them whose matrices are all on GPUs; layers on GPUs with experts, and with matrices, on the host."""
    layers = bare = experts = dense = 0
    for block, device, homes in _rows(planned):
        if device == HOST:
            layers += 1
            bare += bool(homes) and HOST not in homes
        elif HOST in homes:
            experts += block.experts
            dense += not block.experts
    return layers, bare, experts, dense


def _rows(planned: Planned) -> list[tuple[Block, int, tuple[int, ...]]]:
    blocks, devices = planned.ledger.blocks, planned.plan.layers
    homes = planned.layout.homes if planned.layout else [(device,) * len(block.units) for block, device in zip(blocks, devices, strict=False)]
    return [(block, device, tuple(of_units)) for block, device, of_units in zip(blocks, devices, homes, strict=False) if block.core or block.units]


def _layers(count: int) -> str:
    return f"{count} layer{'s' if count != 1 else ''}"
