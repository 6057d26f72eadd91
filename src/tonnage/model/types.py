"""What a checkpoint is: tensors with shapes, and layers. No bytes of any engine."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tonnage.frozen import dataclass
from tonnage.quant.types import row_bytes


class Tensor(NamedTuple):
    """One stored array. `shape` is in ggml's order: `shape[0]` is the length of a row."""

    name: str
    shape: tuple[int, ...]
    type: str

    @property
    def elements(self) -> int:
        """Number of values."""
        count = 1
        for n in self.shape:
            count *= n
        return count

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor's data, without any padding (ggml_nbytes of a stored tensor)."""
        rows = 1
        for n in self.shape[1:]:
            rows *= n
        return row_bytes(self.type, self.shape[0]) * rows

    @property
    def block(self) -> int | None:
        """The block that the tensor belongs to; None for embedding, head and their like."""
        return int(self.name.split(".", 2)[1]) if self.name.startswith("blk.") else None


# --- mixers: what moves information between tokens, and what it must remember ----------------------


@dataclass(frozen=True, slots=True)
class Indexer:
    """Extra keys (and values) per token by which sparse attention picks what it attends to.

    `k_width` and `v_width` are elements per token; `v_width` is 0 where only keys are kept.
    """

    k_width: int
    v_width: int = 0


@dataclass(frozen=True, slots=True)
class Attention:
    """Softmax attention that remembers keys and values of every token.

    `window` is 0 for full attention, else the tokens that a query can see.
    `chunked` windows end at multiples of the window (Llama 4).
    `kv_layer` names the earlier layer whose cache this one reads; it then stores nothing.
    """

    heads: int
    kv_heads: int
    k_dim: int
    v_dim: int
    window: int = 0
    chunked: bool = False
    kv_layer: int | None = None
    indexer: Indexer | None = None


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention (MLA): one compressed key per token, shared by all heads.

    `width` is kv_lora_rank + qk_rope_head_dim, the elements remembered per token.
    """

    heads: int
    width: int
    kv_lora_rank: int
    indexer: Indexer | None = None


@dataclass(frozen=True, slots=True)
class Compressed:
    """DeepSeek V4's attention: a short window of latents, and one entry per `ratio` tokens.

    `ratio` is 0 where the layer has its window alone. `index_dim` is the indexer's key length,
    kept for the layers of ratio 4.
    """

    heads: int
    head_dim: int
    window: int
    ratio: int
    index_dim: int


@dataclass(frozen=True, slots=True)
class Recurrent:
    """A mixer whose memory does not grow: so many elements per sequence, whatever the context.

    `conv_elements` and `state_elements` are those of one sequence.
    """

    kind: str
    """`gated_delta`, `kda`, `mamba`, `mamba2` or `short_conv`"""
    conv_elements: int
    state_elements: int


Mixer = Attention | Latent | Compressed | Recurrent


# --- feed-forward parts ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dense:
    """A feed-forward part of `width` that every token runs through."""

    width: int


@dataclass(frozen=True, slots=True)
class Experts:
    """`count` experts of `width`, `used` of them per token, and `shared_width` for every token."""

    count: int
    used: int
    width: int
    shared_width: int = 0


FeedForward = Dense | Experts


@dataclass(frozen=True, slots=True)
class Layer:
    """One block. Most have one mixer; Falcon-H1 has two side by side; Nemotron's FFN blocks none."""

    mixers: tuple[Mixer, ...]
    ffn: FeedForward | None
    nextn: bool = False
    """a multi-token-prediction block, stored behind the trunk"""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What llama.cpp's converter makes of a config: the metadata and the tensor table of a GGUF.

    `hparams` are the metadata keys without the architecture's prefix (`block_count`,
    `attention.head_count`, ...). Tensors carry the type that the converter writes for a BF16 source.
    """

    architecture: str
    hparams: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameter counts. `total` is all that is published: text, vision and MTP.

    `active` are those of the text model that one token runs through, with embedding and head.
    """

    total: int
    text: int
    active: int
    experts: int
    embedding: int
    vision: int
    mtp: int


@dataclass(frozen=True, slots=True)
class Published:
    """What the safetensors files of a checkpoint hold, by their headers."""

    tensor_bytes: int
    file_bytes: int
    """of all shards, headers included"""
    shards: int
    parameters: int
    """packed weights counted one by one; scales and the like are none"""
    vision: int
    mtp: int
    by_dtype: Mapping[str, tuple[int, int]]
    """dtype -> (tensors, bytes)"""
    format: str = ""
    """of its quantisation, a name of quant/formats.py; empty for none or one that is not known"""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A checkpoint as every engine sees it: the one value that all sources are turned into."""

    name: str
    architecture: str
    """GGUF's `general.architecture`"""
    hparams: Mapping[str, Any]
    """GGUF's metadata without the architecture's prefix"""
    tensors: tuple[Tensor, ...]
    """as stored, or as the converter would write them"""
    layers: tuple[Layer, ...]
    """every block, those of multi-token prediction last"""
    parameters: Parameters
    context: int
    """tokens that the model was trained for: the smaller of config and file"""
    basis: str
    """`file` or `config`"""
    source: str
    """where it was read"""
    file_bytes: int = 0
    """size of the file or of all its parts; 0 when there is none"""
    notes: tuple[str, ...] = ()
    published: Published | None = None
    """the safetensors files that it was read from"""
    config: Mapping[str, Any] = MappingProxyType({})
    """the config.json that it was read from, which tells what a GGUF leaves out; empty for a GGUF"""
    between: "tuple[Model, Model] | None" = None
    """where the architecture is not known: the same with the least and the most that its layers may keep"""

    @property
    def n_embd(self) -> int:
        """Width of the hidden state."""
        return int(self.hparams["embedding_length"])

    @property
    def n_vocab(self) -> int:
        """Rows of the embedding: the logits that one output has."""
        return next(t.shape[1] for t in self.tensors if t.name == "token_embd.weight")

    @property
    def n_nextn(self) -> int:
        """Blocks of multi-token prediction."""
        return sum(layer.nextn for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Attached:
    """What a question names besides the model: a vision projector, adapters, a draft model."""

    projector: tuple[Tensor, ...] = ()
    adapters: tuple[tuple[Tensor, ...], ...] = ()
    draft: Model | None = None
    draft_quant: str | None = None
    """the recipe that the draft is named in; None for its file's own, or the engine's usual one"""
    notes: tuple[str, ...] = ()
    """what was found out on the way to the question, one sentence each"""


NOTHING = Attached()
