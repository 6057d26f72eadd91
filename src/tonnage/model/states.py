"""What a recurrent mixer keeps, told so that it can be shared out: convolution tails by channels, states by heads."""

from typing import NamedTuple

from tonnage.errors import CorruptError
from tonnage.model.hparams import Hparams
from tonnage.model.types import Model, Recurrent


class Segment(NamedTuple):
    """`rows` neighbours that belong together, made up of `units` that are never cut."""

    rows: int
    units: int
    copied: bool = False
    """where ranks outnumber the units, each rank holds a copy of one"""

    @property
    def width(self) -> int:
        """Rows of one unit."""
        return self.rows // self.units if self.units else 0


class State(NamedTuple):
    """The memory of one sequence in one layer."""

    kind: str
    kernel: int
    """taps of the convolution; an engine keeps these, or one fewer"""
    channels: tuple[Segment, ...]
    """what the convolution runs over"""
    heads: int
    elements: int
    """of the state proper, all heads together; 0 where there is none"""


def state_of(model: Model, mixer: Recurrent) -> State:
    """The state of `mixer`, by the metadata that all families of its kind share."""
    hp = Hparams(model.hparams)
    kernel = int(hp.get("ssm.conv_kernel") or hp.get("shortconv.l_cache") or 0)
    if kernel < 2:
        raise CorruptError(f"{model.name}: a recurrent layer needs the length of its convolution")
    return State(mixer.kind, kernel, _channels(hp, mixer, mixer.conv_elements // (kernel - 1)), _heads(hp, mixer), mixer.state_elements)


def _heads(hp: Hparams, mixer: Recurrent) -> int:
    if mixer.kind == "kda":
        return max(int(n) for n in hp.per_layer("attention.head_count", 0))
    if mixer.kind in ("gated_delta", "mamba2"):
        return int(hp.need("ssm.time_step_rank"))
    return int(hp.get("ssm.inner_size") or hp.need("embedding_length"))


def _channels(hp: Hparams, mixer: Recurrent, channels: int) -> tuple[Segment, ...]:
    heads, groups, width = _heads(hp, mixer), int(hp.get("ssm.group_count") or 0), int(hp.get("ssm.state_size") or 0)
    inner = channels - 2 * groups * width
    if mixer.kind == "gated_delta":
        return (Segment(groups * width, groups), Segment(groups * width, groups), Segment(inner, heads))
    if mixer.kind == "mamba2":
        return (Segment(inner, heads), Segment(groups * width, groups, copied=True), Segment(groups * width, groups, copied=True))
    if mixer.kind == "kda":
        return tuple(Segment(channels // 3, heads) for _ in range(3))
    return (Segment(channels, channels),)
