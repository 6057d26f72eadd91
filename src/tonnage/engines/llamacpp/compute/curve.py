"""Compute buffers at many contexts, from exact walks at a few: for curves and searches, never for a figure that is shown.

Every size in a graph is affine in the context between the points where a window or the ubatch is full, so that the
peak is piecewise affine too; where the worst operation changes, or the allocator finds another hole, lies between
the walks. Held to the walk over all families from 4K to 256K: exact in the server's settings with everything on one
or more GPUs; within 1 % with flash attention off; elsewhere (quantised cache, logits of a whole batch, layers or
experts in host memory) one buffer in twelve is off by more than 1 %, the worst by 44 %, where the peak jumps.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from tonnage.engines.llamacpp.cache import window_cells
from tonnage.engines.llamacpp.compute import compute_by_device
from tonnage.engines.llamacpp.placement import Placement
from tonnage.engines.llamacpp.settings import Settings
from tonnage.frozen import replace
from tonnage.model.types import Attention, Model, Tensor

Sizes = Mapping[int, int]
"""bytes per device, the host as -1"""


def compute_curve(model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement, cells: Sequence[int]) -> list[Sizes]:
    """Compute buffers where each stream has so many cells, in the order of `cells`; walked at the knots, between them on a line."""
    if not cells:
        return []
    walked = {n: _walk(model, tensors, at_cells(settings, n), placement) for n in knots(model, settings, min(cells), max(cells))}
    return [interpolated(walked, n) for n in cells]


def at_cells(settings: Settings, cells: int) -> Settings:
    """The settings with another context, in cells per stream."""
    n_ctx = cells if settings.unified else cells * settings.streams
    batch = min(settings.batch, n_ctx)
    ubatch = min(settings.ubatch, batch)
    return replace(settings, cells=cells, n_ctx=n_ctx, batch=batch, ubatch=ubatch, outputs=min(settings.outputs, ubatch))


def knots(model: Model, settings: Settings, lowest: int, highest: int) -> tuple[int, ...]:
    """Cells to walk at: both ends, their geometric middle, and where a window is full."""
    windows = {m.window for layer in model.layers for m in layer.mixers if isinstance(m, Attention) and m.window}
    full = {window_cells(window, at_cells(settings, highest)) for window in windows}
    padding = settings.build.cell_padding
    middle = max(padding, round((lowest * highest) ** 0.5) // padding * padding)
    return tuple(sorted({lowest, highest, *(n for n in (middle, *full) if lowest < n < highest)}))


def interpolated(walked: Mapping[int, Sizes], cells: int) -> Sizes:
    """Sizes on the line between the two walks beside `cells`; the walk itself where there is one."""
    if cells in walked:
        return walked[cells]
    at = sorted(walked)
    i = min(max(bisect_left(at, cells), 1), len(at) - 1)
    low, high = at[i - 1], at[i]
    return {d: size + (walked[high][d] - size) * (cells - low) // (high - low) for d, size in walked[low].items()}


def _walk(model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement) -> Sizes:
    return {device: computed.bytes for device, computed in compute_by_device(model, tensors, settings, placement).items()}
