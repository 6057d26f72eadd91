"""Which blocks a graph must really hold: alike blocks repeat, and the allocator's state repeats with them.

After a few rounds of a repeating pattern the free blocks are where they were some rounds before, so that as
many more add nothing to the peak. tests/engines/llamacpp hold the short cut against the whole walk.
"""

from collections.abc import Hashable, Sequence
from functools import lru_cache

from tonnage.engines.llamacpp.compute.constants import SPARSE
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.same import Same, by_block
from tonnage.model.hparams import Hparams
from tonnage.model.types import Layer, Model, Recurrent, Tensor

LONGEST_PERIOD = 12
ROUNDS_BEFORE = 3
"""rounds of a pattern that are walked before it is taken to repeat"""
BLOCKS_BEFORE = 4
"""blocks that are walked at least: the first ones of a device find another state than those behind them"""
ROUNDS_AFTER = 1
"""rounds that are walked at its end, in which the last block drops the tokens that are not wanted"""

SWING_ALONE, SWING = 6, 2
"""rounds after which the free blocks are where they were, of one block alone and of several: results take turns in two places, or in three
(with everything in one place none of the engine's 3,700 kept runs shows it)"""

UNROTATED_STEP = {"smollm3": 4, "afmoe": 4}
"""architectures in which each so-manieth block is not rotated, whatever its window"""

SPARSE_FIRST = {"gemma3n": 10}
"""architectures whose leading blocks keep the greatest elements of their gates alone"""

TYPED = ("ffn_gate", "ffn_up")
"""tensors whose types decide what CUDA computes as one"""


def needed_blocks(model: Model, tensors: tuple[Tensor, ...], placement: Placement) -> tuple[int, ...]:
    """The blocks of the trunk to walk: all of them where the cache is away from its layers, or every block counts.

    Sparse attention makes constants in each block; the engine allocates all of them before the first operation. Where every block
    has a state (Mamba, Falcon-H1) and not all are on one GPU, the free blocks do not come back to where they were.
    """
    trunk = model.layers[: len(model.layers) - model.n_nextn]
    together = len(set(placement.layers)) == 1 and (placement.output != HOST or not placement.devices)
    spread = bool(placement.overrides) or not together
    if not placement.kv_offload or model.architecture in SPARSE or (spread and all(map(_has_state, trunk))):
        return tuple(range(len(trunk)))
    if spread:
        return shortened(list(zip(_alike(model, Same(tensors)), _placed(model, tensors, placement), strict=True)))
    return _shortened(model, Same(tensors))


def _has_state(layer: Layer) -> bool:
    return any(isinstance(mixer, Recurrent) for mixer in layer.mixers)


def _placed(model: Model, tensors: tuple[Tensor, ...], placement: Placement) -> list[Hashable]:
    """Device of every block, and which of its tensors lie elsewhere or on the host: these are copied, so that their types count."""
    trunk = len(model.layers) - model.n_nextn
    moved: list[list[Hashable]] = [[placement.layers[il]] for il in range(trunk)]
    for il, (name, _, type_) in by_block(Same(tensors)):
        if il is not None and il < trunk:
            override = placement.override(name) if placement.overrides else None
            home = placement.layers[il] if override is None else override
            if home == HOST or override is not None:
                moved[il].append((name[name.index(".", 4) + 1 :], type_, home))
    return [tuple(part) for part in moved]


@lru_cache(maxsize=64)
def _shortened(model: Model, same: Same) -> tuple[int, ...]:
    return shortened(_alike(model, same), spread=False)


@lru_cache(maxsize=64)
def _alike(model: Model, same: Same) -> tuple[int, ...]:
    """For every block the number of the first one that is like it."""
    first: dict[Hashable, int] = {}
    signatures = _signatures(model, same.tensors, len(model.layers) - model.n_nextn)
    return tuple(first.setdefault(signature, il) for il, signature in enumerate(signatures))


def _signatures(model: Model, tensors: tuple[Tensor, ...], trunk: int) -> list[Hashable]:
    """What makes two blocks alike: their mixers, and their tensors' names and shapes."""
    # Kimi K3: what each so-manieth block puts out is kept to the end
    banking = int(model.hparams.get("attn_res.block_size") or 0)
    deepstack, unrotated = int(model.hparams.get("n_deepstack_layers") or 0), UNROTATED_STEP.get(model.architecture, 1)
    sparse, limits = SPARSE_FIRST.get(model.architecture, 0), _limits(model, trunk)
    parts: list[list[Hashable]] = [
        [layer.mixers, layer.ffn, min(il, deepstack), (il + 1) % unrotated == 0, il < sparse, limits[il], il if banking and il % banking == 0 else -1]
        for il, layer in enumerate(model.layers[:trunk])
    ]
    for il, (name, shape, type_) in by_block(Same(tensors)):
        if il is not None and il < trunk:
            suffix = name[name.index(".", 4) + 1 :]
            parts[il].append((suffix, shape, type_ if suffix.startswith(TYPED) else ""))
    return [tuple(part) for part in parts]


def _limits(model: Model, trunk: int) -> tuple[Hashable, ...]:
    """Which of its bounds each block's gates have (Step 3.5)."""
    keys = [key for key in ("swiglu_clamp_exp", "swiglu_clamp_shexp") if key in model.hparams]
    if not keys:
        return (None,) * trunk
    hp = Hparams(model.hparams)
    return tuple(zip(*([limit > 0 for limit in hp.per_layer(key, 0.0)[:trunk]] for key in keys), strict=True))


def shortened(signatures: Sequence[Hashable], *, spread: bool = True) -> tuple[int, ...]:
    """Indices that remain when long repetitions are cut to a few rounds, of blocks that are `spread` over places to more of them."""
    kept: list[int] = []
    i, n = 0, len(signatures)
    while i < n:
        period, end = _repetition(signatures, i)
        rounds = (end - i) // period
        before = max(ROUNDS_BEFORE, BLOCKS_BEFORE // period) if spread else ROUNDS_BEFORE
        swing = 1 if not spread else SWING_ALONE if period == 1 else SWING
        cut = (rounds - before - ROUNDS_AFTER) // swing * swing
        if cut > 0:
            tail = i + (rounds - ROUNDS_AFTER) * period
            kept += range(i, tail - cut * period)
            kept += range(tail, end)
            i = end
        else:
            kept.append(i)
            i += 1
    return tuple(kept)


def _repetition(signatures: Sequence[Hashable], start: int) -> tuple[int, int]:
    """The period that covers most from `start` on, and where its repetition ends."""
    best = (1, start + 1)
    for period in range(1, min(LONGEST_PERIOD, (len(signatures) - start) // 2) + 1):
        end = start + period
        while end < len(signatures) and signatures[end] == signatures[end - period]:
            end += 1
        if end - start >= 2 * period and end > best[1]:
            best = (period, end)
    return best
