"""What each device gets while --fit searches, and the flags that say so."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tonnage.engines.llamacpp.fit.fitted import GaveUpError
from tonnage.engines.llamacpp.fit.whole import uint32
from tonnage.engines.llamacpp.placement import EXPERTS, HOST

# parts of a layer that stay on the device -> what of its tensors goes elsewhere
ATTENTION = r"\.ffn_(gate|up|gate_up|down).*"
ATTENTION_UP = r"\.ffn_(gate|gate_up|down).*"
ATTENTION_UP_GATE = r"\.ffn_down.*"
BUT_EXPERTS = EXPERTS
KEPT = {
    ATTENTION: "attention",
    ATTENTION_UP: "attention and up",
    ATTENTION_UP_GATE: "attention, up and gate",
    BUT_EXPERTS: "all but the experts",
}
"""pattern -> what of the layer stays"""

ALL_EXPERTS = r"blk\.\d+" + EXPERTS
MOST_OVERRIDES = 4095
"""llama_max_tensor_buft_overrides, less the end of the list"""


class Share(NamedTuple):
    """One device's layers. Both numbers are unsigned and may wrap, as llama.cpp's do."""

    layers: int = 0
    partial: int = 0
    """how many of them, the last ones, do not have all their tensors here"""
    overflow: str = BUT_EXPERTS
    """what of the first partial layer goes elsewhere; the further ones lack their experts"""
    to: int = HOST
    """where that goes; all else goes to the host"""

    @property
    def full(self) -> int:
        """Layers with all their tensors."""
        return uint32(self.layers - self.partial)

    def more(self, layers: int, partial: int) -> "Share":
        """The share with so many layers more, so many of them partial."""
        return self._replace(layers=uint32(self.layers + layers), partial=uint32(self.partial + partial))


Shares = tuple[Share, ...]


class Flags(NamedTuple):
    """The placement as llama.cpp's options say it."""

    gpu_layers: int
    tensor_split: tuple[int, ...] | None
    override_tensor: str | None


def flags_of(shares: Shares, blocks: int) -> Flags:
    """-ngl, -ts and -ot of the shares; blocks of prediction are not among the `blocks`, though the loader counts them."""
    gpu_layers = uint32(sum(share.layers for share in shares))
    split = tuple(share.layers for share in shares) if len(shares) > 1 else None
    overrides = ",".join(_overrides(shares, uint32(blocks + 1 - gpu_layers)))
    return Flags(gpu_layers, split, overrides or None)


def _overrides(shares: Sequence[Share], first: int) -> Iterator[str]:
    written = 0
    for share in shares:
        first = uint32(first + share.full)
        for il in range(first, uint32(first + share.partial)):
            if written == MOST_OVERRIDES:
                raise GaveUpError(f"llama_max_tensor_buft_overrides() == {MOST_OVERRIDES + 1} is insufficient for model")
            pattern, to = (share.overflow, share.to) if il == first else (BUT_EXPERTS, HOST)
            yield rf"blk\.{il}{pattern}={'CPU' if to == HOST else f'CUDA{to}'}"
            written += 1
        first = uint32(first + share.partial)


def changed(shares: Shares, device: int, share: Share) -> Shares:
    """The shares with one of them replaced."""
    return (*shares[:device], share, *shares[device + 1 :])


def in_words(shares: Shares) -> str:
    """`CUDA0 15 layers (1 partial), CUDA1 34 layers (20 partial)`."""
    return ", ".join(
        f"CUDA{device} {share.layers} layers" + (f" ({share.partial} partial)" if share.partial else "") for device, share in enumerate(shares)
    )
