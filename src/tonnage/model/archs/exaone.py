"""EXAONE 4.0 and 4.5 (norms behind each part) and K-EXAONE (norms before, experts): three windowed blocks of four, MTP."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Dense, FeedForward, Layer, Tensor

WINDOWED_DEPTH = 64
"""The only depth of EXAONE 4 for which the loader uses windows (src/models/exaone4.cpp)."""
WINDOW, WINDOW_MOE = 4096, 128
"""The loader's windows for files that name none (src/models/exaone4.cpp, exaone-moe.cpp)."""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/exaone.py does it (Exaone4Model and those built on it)."""
    return _convert_moe(config) if "exaone_moe" in config.model_types else _convert_dense(config)


def _convert_dense(config: Config) -> Checkpoint:
    d, n_nextn = config.n_embd, int(config.get("n_nextn", 0))
    hparams = parts.base_hparams(config, block_count=config.n_layer + n_nextn, nextn_predict_layers=n_nextn or None, **_window(config))
    block = parts.post_norm_block(d, _attention(config), parts.gated_ffn(d, config.n_ff))
    blocks = [block] * config.n_layer + [[*block, *parts.nextn_head(d)]] * n_nextn
    return Checkpoint("exaone4", hparams, parts.stack(config, blocks, *parts.rope_freqs(config)))


def _convert_moe(config: Config) -> Checkpoint:
    n_nextn, n_shared = int(config.get("n_nextn", 0)), config.n_expert_shared
    n_dense = int(config.get("first_k_dense_replace", config.get("first_last_k_dense_replace", 0)))
    hparams = parts.base_hparams(
        config,
        block_count=config.n_layer + n_nextn,
        expert_feed_forward_length=config.n_ff_exp,
        expert_shared_count=n_shared,
        expert_shared_feed_forward_length=config.n_ff_exp * n_shared,
        leading_dense_block_count=n_dense,
        nextn_predict_layers=n_nextn,
        **_window(config),
    )
    dense = parts.pre_norm_block(config, parts.gated_ffn(config.n_embd, config.n_ff), qk_norm=True)
    sparse = parts.pre_norm_block(config, parts.moe(config), qk_norm=True)
    # the block of multi-token prediction is dense (src/models/exaone-moe.cpp)
    blocks = [dense] * n_dense + [sparse] * (config.n_layer - n_dense) + [[*dense, *parts.nextn_head(config.n_embd)]] * n_nextn
    return Checkpoint("exaone-moe", hparams, parts.stack(config, blocks, *parts.rope_freqs(config)))


def _window(config: Config) -> dict[str, int | list[bool] | None]:
    window = config.get("window")
    return {"attention__sliding_window": window, "attention__sliding_window_pattern": parts.sliding_pattern(config) if window else None}


def _attention(config: Config) -> list[Tensor]:
    return [*parts.gqa(config.n_embd, config.n_head, config.kv_heads, config.k_dim), *parts.qk_norms(config.k_dim)]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Windows as the metadata list them, else all but every fourth; EXAONE 4 of another depth has none."""
    if hp.get("expert_count"):
        return parts.attention_layers(hp, parts.windows(hp, 4, window=WINDOW_MOE), ffn=_ffn)
    if hp.n_layer - hp.n_nextn != WINDOWED_DEPTH:
        return parts.attention_layers(hp)
    return parts.attention_layers(hp, parts.windows(hp, 4, window=WINDOW))


def _ffn(hp: Hparams, i: int) -> FeedForward | None:
    if i >= hp.n_layer - hp.n_nextn:
        return Dense(int(hp.per_layer("feed_forward_length")[i]))
    return parts.ffn_of(hp, i)
