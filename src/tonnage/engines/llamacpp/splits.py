"""Into how many pieces the graph of one generated token falls: each runs on one device without interruption."""

from functools import lru_cache

from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.same import Same
from tonnage.engines.llamacpp.settings import Settings
from tonnage.model.types import Model, Tensor


def splits(
    model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement, blocks: tuple[int, ...] | None = None
) -> int:
    """Pieces of the graph of one token, as llama.cpp's scheduler cuts it; about, where the architecture has no graph.

    `blocks` asks for a graph of these blocks alone.
    """
    if not placement.devices:
        return 1
    return _scheduled(model, Same(tensors), settings, placement, blocks) or about(placement)


def about(placement: Placement) -> int:
    """Changes of device between blocks; what overrides add is not seen."""
    return 1 + sum(a != b for a, b in zip((HOST, *placement.layers), placement.layers, strict=False))


@lru_cache(maxsize=256)
def _scheduled(model: Model, same: Same, settings: Settings, placement: Placement, blocks: tuple[int, ...] | None) -> int | None:
    from tonnage.engines.llamacpp.compute.families import builder
    from tonnage.engines.llamacpp.compute.net import Batch
    from tonnage.engines.llamacpp.compute.reserve import Reserve
    from tonnage.engines.llamacpp.compute.scheduler import Machine, Schedule

    build = builder(model.architecture)
    if build is None or model.basis == "assumed":
        return None
    try:
        graph = Reserve(build, model, same.tensors, settings, placement, blocks).graph(Batch(1, 1, 1))
    except KeyError:
        return None  # a file of an older layout, without a tensor that the family's graph uses
    return len(Schedule(graph, Machine(placement.devices, settings.op_offload, placement.pipeline)).splits)
