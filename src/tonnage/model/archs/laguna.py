"""Laguna: query heads per block, a gate on attention's output, one full block before three windowed ones, experts."""

from tonnage.errors import UnsupportedError
from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, FeedForward, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/laguna.py does it."""
    n_dense = parts.leading_dense(config)
    heads = config.get("num_attention_heads_per_layer") or [config.n_head] * config.n_layer
    hparams = parts.base_hparams(
        config,
        attention__head_count=heads,
        attention__sliding_window=config.get("window") or None,
        expert_feed_forward_length=config.n_ff_exp,
        expert_shared_feed_forward_length=config.n_ff_shexp,
        leading_dense_block_count=n_dense,
        expert_gating_func=parts.GATING["sigmoid"],
        expert_weights_norm=True,
    )
    dense, sparse = parts.gated_ffn(config.n_embd, config.n_ff), _experts(config)
    blocks = (_block(config, i, heads[i], dense if i < n_dense else sparse) for i in range(config.n_layer))
    return Checkpoint("laguna", hparams, parts.stack(config, blocks))


def _block(config: Config, i: int, heads: int, ffn: list[Tensor]) -> list[Tensor]:
    d, head_dim = config.n_embd, config.k_dim
    gate = parts.matrix("attn_gate", d, heads * _gates_per_head(config, i))
    attention = [*parts.gqa(d, heads, config.kv_heads, head_dim), *parts.qk_norms(head_dim), gate]
    return [parts.norm("attn_norm", d), *attention, parts.norm("ffn_norm", d), *ffn]


def _gates_per_head(config: Config, i: int) -> int:
    """One gate for a whole head (the first configs say just `true`), or one for each of its elements."""
    types = config.get("gating_types")
    kind = str(types[i] if types else config["gating"]).replace("-", "_")
    gates = {"True": 1, "per_head": 1, "per_element": config.k_dim}
    if kind not in gates:
        raise UnsupportedError(f"config.json of model_type laguna has gating {kind!r}: true, per-head and per-element are known")
    return gates[kind]


def _experts(config: Config) -> list[Tensor]:
    d = config.n_embd
    return [
        *parts.gated_experts(d, config.n_ff_exp, config.n_expert),
        parts.vector("exp_probs_b.bias", config.n_expert),
        *parts.gated_ffn(d, config.n_ff_shexp, "_shexp"),
    ]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Every fourth block is full, the first of four; all are where the file names no window."""
    return parts.attention_layers(hp, parts.windows(hp, 4, first_full=True), ffn=_ffn)


def _ffn(hp: Hparams, i: int) -> FeedForward | None:
    """A file that does not count its shared experts has one."""
    return parts.ffn_of(Hparams({"expert_shared_count": 1, **hp}), i)
