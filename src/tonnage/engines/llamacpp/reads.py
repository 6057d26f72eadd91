"""What one generated token reads, and from where: the bytes that decoding speed follows.

A token reads every weight once, but of the experts only those that it is sent to, and of a table that is looked
up by row next to nothing; and the cache of all tokens before it, as far as each layer sees them.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from tonnage.engines.llamacpp.placement import Placement
from tonnage.engines.llamacpp.same import Same
from tonnage.engines.llamacpp.settings import Settings
from tonnage.engines.llamacpp.weights import HOST_TENSORS, homes
from tonnage.model.active import top_k
from tonnage.model.types import Attention, Compressed, Experts, Latent, Mixer, Model, Recurrent, Tensor
from tonnage.quant.types import row_bytes

WIDE = ("f16", "bf16", "f32")
"""types that are not quantised"""


class Reads(NamedTuple):
    """Bytes that one token reads on one device."""

    dense: int = 0
    """weights that every token passes, shared experts and the output among them"""
    experts: int = 0
    """routed experts, as many as one token is sent to"""
    kv: int = 0
    """keys and values of the tokens before it"""
    state: int = 0
    """recurrent state"""

    @property
    def total(self) -> int:
        """All together."""
        return self.dense + self.experts + self.kv + self.state


def reads_by_device(model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement, depth: int) -> dict[int, Reads]:
    """Bytes per token on every device (host: -1), with `depth` tokens of one sequence in the cache."""
    total = {device: Reads(read.dense, read.experts) for device, read in weights_read(model, Same(tensors), placement).items()}
    for i in range(len(model.layers)):
        kv, state = _of_layer(model, i, settings, depth)
        if kv or state:
            device = placement.cache_device(i)
            was = total.get(device, Reads())
            total[device] = was._replace(kv=was.kv + kv, state=was.state + state)
    return total


class WeightsRead(NamedTuple):
    """What one token reads of the weights on one device, and what these are; bytes but for `parameters`."""

    dense: int = 0
    experts: int = 0
    parameters: int = 0
    """elements that are multiplied with"""
    stored: int = 0
    """all of the tensors, whatever is read of them"""
    wide: int = 0
    """those of `stored` that are not quantised"""


@lru_cache(maxsize=64)
def weights_read(model: Model, same: Same, placement: Placement) -> Mapping[int, WeightsRead]:
    """Per device; the same at every depth, and asked for by each question."""
    sums: dict[int, list[int]] = {}
    for tensor, device in tensors_read(model, same.tensors, placement):
        total = sums.setdefault(device, [0] * len(WeightsRead._fields))
        nbytes, read = tensor.nbytes, read_of(model, tensor)
        total[is_expert(tensor)] += read
        total[2] += tensor.elements * read // (nbytes or 1)
        total[3] += nbytes
        total[4] += nbytes if tensor.type.lower() in WIDE else 0
    return {device: WeightsRead(*total) for device, total in sums.items()}


def cache_reads(model: Model, i: int, settings: Settings, depth: int) -> int:
    """Bytes of cache and state that one token reads in block `i`."""
    return sum(_of_layer(model, i, settings, depth))


def _of_layer(model: Model, i: int, settings: Settings, depth: int) -> tuple[int, int]:
    layer = model.layers[i]
    if layer.nextn:
        return 0, 0
    kv = sum(cache_read(mixer, settings, depth, top_k(model)) for mixer in layer.mixers)
    return kv, sum(4 * (m.conv_elements + m.state_elements) for m in layer.mixers if isinstance(m, Recurrent))


def tensors_read(model: Model, tensors: tuple[Tensor, ...], placement: Placement) -> Iterator[tuple[Tensor, int]]:
    """Every tensor where it is read: of a tied embedding the copy that serves as output."""
    tied = not any(tensor.name == "output.weight" for tensor in tensors)
    for tensor, device in homes(model, tensors, placement, False):
        if not tensor.name.startswith(HOST_TENSORS):
            yield tensor, device
    if tied:
        yield from ((tensor, placement.tied_output) for tensor in tensors if tensor.name == "token_embd.weight")


def is_expert(tensor: Tensor) -> bool:
    """Whether a tensor holds the routed experts of a block."""
    return "exps" in tensor.name


def read_of(model: Model, tensor: Tensor) -> int:
    """Bytes of a tensor that one token reads: of the experts those that it is sent to."""
    if not is_expert(tensor) or tensor.block is None:
        return tensor.nbytes
    ffn = model.layers[tensor.block].ffn
    return tensor.nbytes * ffn.used // ffn.count if isinstance(ffn, Experts) else tensor.nbytes


def cache_read(mixer: Mixer, settings: Settings, depth: int, top_k: int = 0) -> int:
    """Bytes of keys and values that one token reads in one block.

    A window is read as far as it reaches; sparse attention reads its indexer's keys and the chosen tokens alone.
    """
    if isinstance(mixer, Recurrent):
        return 0
    if isinstance(mixer, Compressed):
        return _compressed_read(mixer, settings, depth)
    index = row_bytes(settings.type_k, mixer.indexer.k_width) * depth if mixer.indexer else 0
    seen = min(depth, top_k) if mixer.indexer and top_k else depth
    if isinstance(mixer, Latent):
        return index + row_bytes(settings.type_k, mixer.width) * seen
    seen = min(seen, mixer.window) if mixer.window else seen
    return index + seen * _row(mixer, settings)


def _row(mixer: Attention, settings: Settings) -> int:
    return row_bytes(settings.type_k, mixer.k_dim * mixer.kv_heads) + row_bytes(settings.type_v, mixer.v_dim * mixer.kv_heads)


def _compressed_read(mixer: Compressed, settings: Settings, depth: int) -> int:
    """DeepSeek V4: its window, and one entry for so many tokens."""
    tokens = min(depth, mixer.window) + (depth // mixer.ratio if mixer.ratio else 0)
    index = row_bytes(settings.type_k, mixer.index_dim) * (depth // mixer.ratio) if mixer.ratio and mixer.index_dim else 0
    return row_bytes(settings.type_k, mixer.head_dim) * tokens + index
