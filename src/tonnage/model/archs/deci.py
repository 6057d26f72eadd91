"""DeciLM and what neural architecture search made of Llama: blocks of unlike widths, some without attention."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tonnage.errors import UnsupportedError
from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Layer, Tensor
from tonnage.units import pad


class _Block(NamedTuple):
    """What `block_configs` says of one block: 0 KV heads for no attention, 0 width for no feed-forward part."""

    heads: int
    kv_heads: int
    n_ff: int


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/deci.py does it."""
    if "block_configs" not in config:
        raise UnsupportedError("DeciLM configs without block_configs have no rules yet: give a GGUF file of it")
    blocks = [_block_of(config, block) for block in config["block_configs"]]
    head_dim = config.n_embd // config.n_head
    hparams = parts.base_hparams(
        config,
        feed_forward_length=[b.n_ff for b in blocks],
        attention__head_count=[b.heads for b in blocks],
        attention__head_count_kv=[b.kv_heads for b in blocks],
        attention__key_length=head_dim,
        attention__value_length=head_dim,
    )
    tensors = parts.stack(config, (_tensors(config, b, head_dim) for b in blocks), *parts.rope_freqs(config))
    return Checkpoint("deci", hparams, tensors)


def _block_of(config: Config, block: Mapping[str, Any]) -> _Block:
    group, mult = block["attention"]["n_heads_in_group"], block["ffn"]["ffn_mult"]
    n_ff = pad(int(2 * mult * config.n_embd / 3), 256) if mult else 0
    if group is not None:
        return _Block(config.n_head, config.n_head // group, n_ff)
    return _Block(config.n_head if block["attention"]["replace_with_linear"] else 0, 0, n_ff)


def _tensors(config: Config, block: _Block, head_dim: int) -> list[Tensor]:
    d = config.n_embd
    norm = [parts.norm("attn_norm", d)] if block.heads else []
    # a block with heads but no KV heads keeps one matrix in place of attention
    linear = [parts.matrix("attn_output", d, d)] if block.heads else []
    attention = parts.gqa(d, block.heads, block.kv_heads, head_dim) if block.kv_heads else linear
    ffn = [parts.norm("ffn_norm", d), *parts.gated_ffn(d, block.n_ff)] if block.n_ff else []
    return [*norm, *attention, *ffn]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """A block without KV heads keeps no keys, yet llama.cpp gives it a V row like the others' without flash attention."""
    heads, kv_heads = hp.per_layer("attention.head_count", 0), hp.per_layer("attention.head_count_kv", 0)
    mixers = (Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim) for i in range(hp.n_layer))
    return tuple(Layer((mixer,), parts.ffn_of(hp, i)) for i, mixer in enumerate(mixers))
