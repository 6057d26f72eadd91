"""`device_map="auto"`: whole blocks on one device after another, as even as accelerate makes it.

Source: accelerate 1.x, utils/modeling.py (get_balanced_memory, infer_auto_device_map).
"""

from collections.abc import Sequence

from tonnage.engines.torch.frame import stored_bytes
from tonnage.engines.torch.storage import Storage
from tonnage.model.pieces import EMBEDDING, pieces
from tonnage.model.towers import tower
from tonnage.model.types import Model

BUFFER = 1.25
"""times a block's size that is added to an even share, so that the last device is not overfull"""


def block_bytes(model: Model, storage: Storage) -> tuple[int, tuple[int, ...], int]:
    """(what comes before the blocks, every block, what comes behind them)."""
    trunk = len(model.layers) - model.n_nextn
    before, after, blocks = 0, 0, [0] * trunk
    for piece in pieces(model):
        nbytes = 0 if piece.stem == "exp_probs_b" else stored_bytes(piece, storage)
        if piece.block is not None:
            blocks[piece.block] += nbytes
        elif piece.role == EMBEDDING:
            before += nbytes
        else:
            after += nbytes
    return before + vision_bytes(model, storage), tuple(blocks), after


def vision_bytes(model: Model, storage: Storage) -> int:
    """The vision tower, by its shape or else by its published count."""
    images = tower(model)
    return 2 * model.parameters.vision if images is None else sum(stored_bytes(piece, storage) for piece in images)


def homes(sizes: Sequence[int], before: int, after: int, devices: int) -> tuple[int, ...]:
    """The device of every block."""
    if devices == 1:
        return (0,) * len(sizes)
    share = (before + sum(sizes) + after) // devices + round(BUFFER * max(sizes))
    found, device, held = [], 0, before
    for size in sizes:
        if held + size > share and device < devices - 1:
            device, held = device + 1, 0
        held += size
        found.append(device)
    return tuple(found)
