"""Compute buffers: what the graph of one batch needs besides weights and cache.

Exact where the architecture has a graph (families/): its operations run through the engine's scheduler
and allocator. Else the closed form, with the band that it was measured in.
"""

from functools import lru_cache

from tonnage.answer import Band
from tonnage.engines.llamacpp.compute.alike import walked_for
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.same import Same
from tonnage.engines.llamacpp.settings import Settings
from tonnage.frozen import dataclass, replace
from tonnage.model.types import Model, Tensor


@dataclass(frozen=True, slots=True)
class Computed:
    """Bytes of one compute buffer, and the band of a fitted one."""

    bytes: int
    error: Band | None

    @property
    def basis(self) -> str:
        """`rule` where the graph was walked, else `fitted`."""
        return "fitted" if self.error else "rule"


def compute_by_device(
    model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement, *, as_fit_sees_it: bool = False
) -> dict[int, Computed]:
    """Compute buffer of every device, the host as -1; `as_fit_sees_it` as llama.cpp's `--fit` measures it."""
    # GPUs of every backend are walked as CUDA's (others get a wider band), so that all share what is remembered
    shared = replace(settings, backend="cuda")
    same = Same(walked_for(model.architecture, tensors, placement))
    walked = None if model.basis == "assumed" else _walked(model, same, shared, placement, as_fit_sees_it)
    if walked is None:
        from tonnage.engines.llamacpp.compute import spread

        fitted = spread.compute_by_device(model, tensors, settings, placement)
        return {device: Computed(f.bytes, f.error) for device, f in fitted.items()}
    return {device: Computed(size, None) for device, size in zip((*range(placement.devices), HOST), walked, strict=True)}


@lru_cache(maxsize=512)
def _walked(model: Model, same: Same, settings: Settings, placement: Placement, as_fit_sees_it: bool) -> tuple[int, ...] | None:
    """Sizes in the order of the backends, the host last; None where the architecture has no graph, or this file lacks what it needs."""
    from tonnage.engines.llamacpp.compute.families import builder

    build = builder(model.architecture)
    if build is None:
        return None
    from tonnage.engines.llamacpp.compute.fusion import Fusion
    from tonnage.engines.llamacpp.compute.periods import needed_blocks
    from tonnage.engines.llamacpp.compute.reserve import reserved
    from tonnage.engines.llamacpp.compute.scheduler import Machine, compute_sizes

    try:
        graphs = list(reserved(build, model, same.tensors, settings, placement, needed_blocks(model, same.tensors, placement)))
    except KeyError:
        # a file without a tensor that the family's graph uses: an older layout of the same architecture
        return None
    machine = Machine(placement.devices, settings.op_offload, placement.pipeline)
    # --fit measures the first graph alone
    sizes = [compute_sizes(graph, machine, Fusion(graph), as_fit_sees_it=as_fit_sees_it) for graph in graphs[: 1 if as_fit_sees_it else None]]
    return tuple(max(column) for column in zip(*sizes, strict=True))
