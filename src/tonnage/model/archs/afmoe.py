"""Trinity (AFMoE): norms on both sides of each part, a gate on attention's output, three windowed blocks of four, experts."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/afmoe.py does it."""
    n_dense = int(config.get("num_dense_layers", 0))
    hparams = parts.base_hparams(
        config,
        attention__sliding_window=config.get("window"),
        expert_feed_forward_length=config.n_ff_exp,
        expert_shared_count=config.get("n_expert_shared"),
        leading_dense_block_count=config.get("num_dense_layers"),
        expert_weights_norm=config.get("route_norm"),
        expert_weights_scale=config.get("route_scale"),
    )
    dense, sparse = parts.gated_ffn(config.n_embd, config.n_ff), parts.moe(config)
    attention = _attention(config)
    blocks = (parts.sandwich_block(config.n_embd, attention, dense if i < n_dense else sparse) for i in range(config.n_layer))
    return Checkpoint("afmoe", hparams, parts.stack(config, blocks))


def _attention(config: Config) -> list[Tensor]:
    d, heads, head_dim = config.n_embd, config.n_head, config.k_dim
    return [
        *parts.gqa(d, heads, config.kv_heads, head_dim),
        *parts.qk_norms(head_dim),
        parts.matrix("attn_gate", d, heads * head_dim),
    ]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Every fourth block is full; all are where the file names no window."""
    return parts.attention_layers(hp, parts.windows(hp, 4))
