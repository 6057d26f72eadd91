"""GLM-5.3-Flash: three Kimi delta attentions to one sparse latent attention whose indexer pools its keys."""

from typing import Any

from tonnage.model.archs import kda, mla, parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Indexer, Layer, Mixer, Tensor

POOLED_ROWS = 3
"""What the cache keeps per token and layer, in key lengths: key, gate and pooled key (llama_memory_hybrid_idx)"""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/glm.py does it (Glm5NextModel)."""
    n_nextn = int(config.get("n_nextn", 0))
    shape = _shape(config, n_nextn)
    hparams = parts.base_hparams(
        config,
        block_count=config.n_layer + n_nextn,
        nextn_predict_layers=n_nextn or None,
        **{**mla.hparams(config), **mla.moe_hparams(config), **mla.indexer_hparams(config), **kda.hparams(shape)},
        **_own_hparams(config),
    )
    blocks = (_block(config, shape, i) for i in range(config.n_layer + n_nextn))
    return Checkpoint("glm5-next", hparams, parts.stack(config, blocks))


def _shape(config: Config, n_nextn: int) -> kda.Kda:
    """Blocks of multi-token prediction attend."""
    shape = kda.of_config(config)
    return shape._replace(recurrent=shape.recurrent + (False,) * n_nextn)


def _own_hparams(config: Config) -> dict[str, Any]:
    types, bound = config.get("indexer_types"), config.get("swiglu_limit")
    bounds = None if bound is None else [bound] * (config.n_layer + int(config.get("n_nextn", 0)))
    return {
        "hyper_connection__sinkhorn_iterations": config.get("hc_sinkhorn_iters"),
        "swiglu_clamp_exp": bounds,
        "swiglu_clamp_shexp": bounds,
        "attention__indexer__kpool": config["index_kpool"],
        "attention__indexer__kpool_select_tail": config.get("index_kpool_always_select_tail", True),
        "attention__indexer__types": [t == "full" for t in types] if types else None,
        "hyper_connection__count": config["hc_mult"],
    }


def _block(config: Config, shape: kda.Kda, i: int) -> list[Tensor]:
    d, streams, nextn = config.n_embd, config["hc_mult"], i >= config.n_layer
    return [
        # the loader knows no residual streams in blocks of multi-token prediction
        *([] if nextn else parts.hyper_connections(d, streams, (2 + streams) * streams, 3)),
        parts.norm("attn_norm", d),
        *_mixer(config, shape, i),
        parts.norm("ffn_norm", d),
        *(parts.gated_ffn(d, config.n_ff) if i < parts.leading_dense(config) else parts.moe(config)),
        *(parts.nextn_head(d) if nextn else []),
    ]


def _mixer(config: Config, shape: kda.Kda, i: int) -> list[Tensor]:
    if shape.recurrent[i]:
        return kda.tensors(config.n_embd, shape, a_shape=(shape.heads,))
    types = config.get("indexer_types")
    indexed = not types or i >= len(types) or types[i] == "full"
    return [*mla.attention(config), *(_indexer(config) if indexed else [])]


def _indexer(config: Config) -> list[Tensor]:
    """The lightning indexer and what pools its keys, which stays F32."""
    key = config["index_head_dim"]
    pooling = [
        parts.vector("indexer_compressor_ape.weight", key, config["index_kpool"]),
        parts.vector("indexer_compressor_gate.weight", config.n_embd, key),
    ]
    return [*mla.indexer(config), *pooling]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Layers without KV heads are recurrent, the others keep a latent and a pooled indexer key per token."""
    kv_heads, types = hp.per_layer("attention.head_count_kv"), hp.get("attention.indexer.types")
    indexer = Indexer(POOLED_ROWS * int(hp.need("attention.indexer.key_length")))

    def mixer(i: int) -> Mixer:
        if not kv_heads[i]:
            return kda.recurrent(hp)
        return mla.latent(hp, indexer if types is None or i >= len(types) or types[i] else None)

    return parts.mixer_layers(hp, mixer)
