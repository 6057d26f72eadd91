"""Qwen3.5, 3.6 and 3.8, dense and MoE: three gated delta nets to one gated full attention."""

from typing import Any

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Indexer, Layer, Recurrent, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/qwen.py does it (Qwen3_5TextModel, Qwen3_5MoeTextModel)."""
    moe = "n_expert" in config
    linear = linear_blocks(config, int(config.get("n_nextn", 0)))
    hparams = parts.base_hparams(config, feed_forward_length=None if moe else config.n_ff, **hybrid_hparams(config, linear))
    blocks = (block(config, delta_net(config) if is_linear else gated_attention(config), i) for i, is_linear in enumerate(linear))
    return Checkpoint("qwen35moe" if moe else "qwen35", hparams, parts.stack(config, blocks))


def linear_blocks(config: Config, n_nextn: int) -> list[bool]:
    """Which blocks are recurrent; those of MTP, behind the trunk, never are."""
    period = config.get("full_attention_interval", 4)
    kinds = config.get("layer_types")
    trunk = [k == "linear_attention" for k in kinds] if kinds else [(i + 1) % period != 0 for i in range(config.n_layer)]
    return trunk + [False] * n_nextn


def hybrid_hparams(config: Config, linear: list[bool]) -> dict[str, Any]:
    """Metadata that Qwen3-Next and its successors share: blocks, delta nets, experts."""
    moe = "n_expert" in config
    return {
        "block_count": len(linear),
        "nextn_predict_layers": len(linear) - config.n_layer or None,
        "expert_feed_forward_length": config.n_ff_exp if moe else None,
        "expert_shared_feed_forward_length": config.n_ff_shexp if moe else None,
        "ssm.conv_kernel": config["linear_conv_kernel_dim"],
        "ssm.state_size": config["linear_key_head_dim"],
        "ssm.group_count": config["linear_num_key_heads"],
        "ssm.time_step_rank": config["linear_num_value_heads"],
        "ssm.inner_size": config["linear_num_value_heads"] * config["linear_value_head_dim"],
        "attention.recurrent_layers": linear,
        "full_attention_interval": config.get("full_attention_interval", 4),
    }


def block(config: Config, mixer: list[Tensor], i: int) -> list[Tensor]:
    """Block `i` around its mixer; one of MTP has a head besides."""
    d = config.n_embd
    ffn = shared_moe(config) if "n_expert" in config else parts.gated_ffn(d, config.n_ff)
    more = parts.nextn_head(d) if i >= config.n_layer else []
    return [parts.norm("attn_norm", d), *mixer, parts.norm("post_attention_norm", d), *ffn, *more]


def delta_net(config: Config) -> list[Tensor]:
    """A gated delta net with its z gate apart from q, k and v."""
    d, heads, head = config.n_embd, config["linear_num_value_heads"], config["linear_value_head_dim"]
    inner = heads * head
    keys = config["linear_num_key_heads"] * config["linear_key_head_dim"]
    return [
        parts.vector("ssm_a", heads),
        parts.vector("ssm_conv1d.weight", config["linear_conv_kernel_dim"], 2 * keys + inner),
        parts.vector("ssm_dt.bias", heads),
        parts.matrix("ssm_alpha", d, heads),
        parts.matrix("ssm_beta", d, heads),
        parts.matrix("attn_qkv", d, 2 * keys + inner),
        parts.matrix("attn_gate", d, inner),
        parts.norm("ssm_norm", head),
        parts.matrix("ssm_out", inner, d),
    ]


def gated_attention(config: Config) -> list[Tensor]:
    """Attention whose query projection also yields the gate of its output."""
    d, q, k = config.n_embd, config.n_head * config.k_dim, config.kv_heads * config.k_dim
    return [
        parts.matrix("attn_q", d, 2 * q),
        parts.matrix("attn_k", d, k),
        parts.matrix("attn_v", d, k),
        parts.matrix("attn_output", q, d),
        *parts.qk_norms(config.k_dim),
    ]


def shared_moe(config: Config) -> list[Tensor]:
    """Experts, and a shared expert with a gate of its own."""
    d = config.n_embd
    return [
        *parts.gated_experts(d, config.n_ff_exp, config.n_expert),
        *parts.gated_ffn(d, config.n_ff_shexp, "_shexp"),
        parts.vector("ffn_gate_inp_shexp.weight", d, 1),
    ]


def layers(hp: Hparams, indexer: Indexer | None = None) -> tuple[Layer, ...]:
    """Recurrent blocks, and between them full attention with `indexer`, if there is one."""
    heads, kv_heads = hp.per_layer("attention.head_count"), hp.per_layer("attention.head_count_kv")
    state = gated_delta(hp)

    def layer(i: int, is_recurrent: bool) -> Layer:
        attention = Attention(int(heads[i]), int(kv_heads[i]), hp.k_dim, hp.v_dim, indexer=indexer)
        return Layer((state if is_recurrent else attention,), parts.ffn_of(hp, i), i >= hp.n_layer - hp.n_nextn)

    return tuple(layer(i, is_recurrent) for i, is_recurrent in enumerate(recurrent_blocks(hp)))


def recurrent_blocks(hp: Hparams) -> list[bool]:
    """Recurrent blocks as the metadata list them, else the trunk's but each `full_attention_interval`-th."""
    period = int(hp.get("full_attention_interval") or 4)
    trunk = hp.n_layer - hp.n_nextn
    listed = hp.get("attention.recurrent_layers")
    return [bool(r) for r in listed] if listed else [(i + 1) % period != 0 and i < trunk for i in range(hp.n_layer)]


def gated_delta(hp: Hparams) -> Recurrent:
    """Memory of one sequence: the convolution's last inputs and a state matrix per value head."""
    inner, state, groups = (int(hp.need(f"ssm.{key}")) for key in ("inner_size", "state_size", "group_count"))
    conv = (int(hp.need("ssm.conv_kernel")) - 1) * (inner + 2 * groups * state)
    return Recurrent("gated_delta", conv, state * inner)
