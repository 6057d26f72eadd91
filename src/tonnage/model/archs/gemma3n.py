"""Gemma 3n (E2B, E4B): AltUp streams, a low-rank LAuReL path, per-layer embeddings, late blocks without a cache."""

from typing import Any

from tonnage.model.archs import gemma3, parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Layer, Tensor

DEFAULTS = {
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "intermediate_size": 16384,
    "max_position_embeddings": 32768,
    "vocab_size": 262400,
    "hidden_size_per_layer_input": 256,
    "altup_active_idx": 0,
    "altup_num_inputs": 4,
    "laurel_rank": 64,
    "tie_word_embeddings": True,
}
"""Gemma3nTextConfig of transformers 5.23."""

CACHE_OWNERS = 20
"""Blocks that keep keys and values: the loader's own number, whatever the file says (src/models/gemma3n.cpp)."""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/gemma.py does it (Gemma3NModel).

    Both embeddings are padded to the full vocabulary. Blocks that share a cache keep their unused key
    and value projections.
    """
    config = parts.with_defaults(config, **DEFAULTS)
    hparams = parts.base_hparams(
        config,
        attention__sliding_window=config.window,
        attention__sliding_window_pattern=parts.sliding_pattern(config),
        attention__shared_kv_layers=config["num_kv_shared_layers"],
        embedding_length_per_layer_input=config["hidden_size_per_layer_input"],
        altup__active_idx=config["altup_active_idx"],
        altup__num_inputs=config["altup_num_inputs"],
    )
    blocks = (_block(config, _width(config.n_ff, i)) for i in range(config.n_layer))
    return Checkpoint("gemma3n", hparams, parts.stack(config, blocks, *_streams(config), *per_layer_embedding(config, config.n_vocab)))


def _width(n_ff: Any, i: int) -> int:
    """The feed-forward width of block `i`, which published configs repeat for every block."""
    return int(n_ff[i] if isinstance(n_ff, list) else n_ff)


def _streams(config: Config) -> list[Tensor]:
    """What spreads the embedding over the AltUp streams and gathers them again."""
    d, more = config.n_embd, config["altup_num_inputs"] - 1
    return [parts.matrix("altup_proj", d, d, more), parts.matrix("altup_unembd_proj", d, d, more)]


def per_layer_embedding(config: Config, rows: int) -> list[Tensor]:
    """The table that gives every block an input of its own, and the projection that is added to it."""
    width = config["hidden_size_per_layer_input"]
    return [
        parts.matrix("per_layer_token_embd", width * config.n_layer, rows),
        parts.matrix("per_layer_model_proj", config.n_embd, width * config.n_layer),
        parts.norm("per_layer_proj_norm", width),
    ]


def per_layer_input(config: Config) -> list[Tensor]:
    """How a block takes in its row of the per-layer embedding."""
    d, width = config.n_embd, config["hidden_size_per_layer_input"]
    return [parts.matrix("inp_gate", d, width), parts.matrix("proj", width, d), parts.norm("post_norm", d)]


def _block(config: Config, n_ff: int) -> list[Tensor]:
    d, streams, rank = config.n_embd, config["altup_num_inputs"], config["laurel_rank"]
    return [
        *parts.sandwich_block(d, gemma3.attention(config), parts.gated_ffn(d, n_ff)),
        *per_layer_input(config),
        parts.vector("altup_correct_coef.weight", streams, streams),
        parts.vector("altup_correct_scale.weight", d),
        parts.vector("altup_predict_coef.weight", streams, streams * streams),
        parts.matrix("altup_router", d, streams),
        parts.norm("altup_router_norm", d),
        parts.matrix("laurel_l", d, rank),
        parts.matrix("laurel_r", rank, d),
        parts.norm("laurel_post_norm", d),
    ]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Every fifth block is full; the blocks past the owners of caches read the last one of their kind."""
    window_of = parts.windows(hp, 5)
    heads, kv_heads = hp.per_layer("attention.head_count", 0), hp.per_layer("attention.head_count_kv", 0)

    def attention(i: int) -> Attention:
        window = window_of(i)
        return Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim, window, kv_layer=parts.kv_source(i, CACHE_OWNERS, window))

    return parts.mixer_layers(hp, attention)
