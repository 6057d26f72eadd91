"""Multi-head latent attention with a sparse indexer (DSA): DeepSeek V3.2, GLM-5 to 5.3, Hy4."""

from typing import Any

from tonnage.model.archs import mla, parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Indexer, Latent, Layer, Tensor

ARCHITECTURES = {"deepseek_v32": "deepseek32", "glm_moe_dsa": "glm-dsa", "hy_v4": "hy_v4"}

NEXTN_COPIES = ("deepseek_v32",)
"""model_types whose multi-token-prediction block holds copies of embedding and head.

By the hub's totals: 685,355,329,792 for DeepSeek-V3.2 is that of the copies, 753,864,139,008 for GLM-5
that without.
"""

GLM_52 = (78, 1 << 20)
"""Layers and context of GLM-5.2, whose first files name no indexer types; the loader knows them (glm-dsa.cpp)"""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/deepseek.py, glm.py and hy_v4.py do it (DeepseekV32Model, GlmMoeDsaModel, HYV4Model)."""
    architecture = _architecture(config)
    n_nextn = 0 if architecture == "hy_v4" else int(config.get("n_nextn", 0))
    full = _full_indexers(config)
    types = {"attention__indexer__types": list(full)} if architecture != "deepseek32" else {}
    hparams = parts.base_hparams(
        config,
        block_count=config.n_layer + n_nextn,
        nextn_predict_layers=n_nextn or None,
        **mla.hparams(config),
        **mla.moe_hparams(config),
        **mla.indexer_hparams(config),
        **types,
        **_stream_hparams(config),
    )
    # a multi-token-prediction block always has an indexer of its own
    blocks = (_block(config, i, indexed) for i, indexed in enumerate((*full, *[True] * n_nextn)))
    return Checkpoint(architecture, hparams, parts.stack(config, blocks, *_outer_streams(config)))


def _architecture(config: Config) -> str:
    return next(ARCHITECTURES[t] for t in reversed(config.model_types) if t in ARCHITECTURES)


def _full_indexers(config: Config) -> tuple[bool, ...]:
    """Which layers of the trunk own an indexer; the others reuse the choice of the one before."""
    types = config.get("indexer_types")
    return tuple(t == "full" for t in types[: config.n_layer]) if types else (True,) * config.n_layer


def _block(config: Config, i: int, indexed: bool) -> list[Tensor]:
    d = config.n_embd
    return [
        parts.norm("attn_norm", d),
        *mla.attention(config),
        *(mla.indexer(config) if indexed else []),
        *_gated_streams(config),
        parts.norm("ffn_norm", d),
        *(parts.gated_ffn(d, config.n_ff) if i < parts.leading_dense(config) else parts.moe(config)),
        *(_nextn(config) if i >= config.n_layer else []),
    ]


def _nextn(config: Config) -> list[Tensor]:
    copies = parts.nextn_copies(config) if any(t in NEXTN_COPIES for t in config.model_types) else []
    return [*parts.nextn_head(config.n_embd), *copies]


# --- Hy4: residual streams, a gate on the attention's output, learnable sinks -----------------------


def _gated_streams(config: Config) -> list[Tensor]:
    if "hc_mult" not in config:
        return []
    d, heads, streams = config.n_embd, config.n_head, config["hc_mult"]
    gate = parts.matrix("attn_gate", d, heads * config["v_head_dim"])
    return [gate, parts.vector("attn_sinks.weight", heads), *parts.hyper_connections(d, streams, 2 * streams, 2)]


def _outer_streams(config: Config) -> list[Tensor]:
    streams = config.get("hc_mult")
    return parts.hyper_connection("output_hc", streams * config.n_embd, streams, 1) if streams else []


def _stream_hparams(config: Config) -> dict[str, Any]:
    if "hc_mult" not in config:
        return {}
    bound = config.get("swiglu_limit") or 0.0
    return {"hyper_connection__count": config["hc_mult"], "swiglu_clamp_exp": [bound] * config.n_layer if bound else None}


# --- layers ---------------------------------------------------------------------------------------


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """A latent per token everywhere, and an indexer key in the layers of the trunk that own an indexer."""
    full = _stored_indexers(hp)
    key = Indexer(int(hp.get("attention.indexer.key_length") or 0))

    def mixer(i: int) -> Latent:
        return mla.latent(hp, key if i < len(full) and full[i] else None)

    return parts.mixer_layers(hp, mixer)


def _stored_indexers(hp: Hparams) -> tuple[bool, ...]:
    """Which layers of the trunk keep indexer keys; multi-token prediction attends without (llama_model::create_memory)."""
    n_layer = hp.n_layer - hp.n_nextn
    if not hp.get("attention.indexer.top_k"):
        return ()
    types = hp.get("attention.indexer.types")
    if types is not None:
        return tuple(bool(t) for t in types[:n_layer])
    shared = (n_layer, hp.get("context_length")) == GLM_52
    return tuple(not shared or i < 2 or i % 4 == 2 for i in range(n_layer))
