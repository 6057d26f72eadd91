"""Llama 4: three chunked blocks to each full one, every n-th block with experts and a shared one."""

from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Dense, Experts, FeedForward, Layer, Tensor

CHUNK = 8192
"""Tokens of a chunk: the loader's own number, whatever the file says (src/models/llama4.cpp)."""


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/llama.py does it (Llama4Model).

    `intermediate_size` is the experts' width here, `intermediate_size_mlp` that of dense blocks.
    """
    step = int(config.get("interleave_moe_layer_step", 1))
    kinds = config.get("layer_types")
    hparams = parts.base_hparams(
        config,
        feed_forward_length=config["intermediate_size_mlp"],
        expert_feed_forward_length=config["intermediate_size"],
        interleave_moe_layer_step=step,
        attention__sliding_window=0 if kinds and set(kinds) == {"full_attention"} else None,
    )
    blocks = (parts.pre_norm_block(config, _experts(config) if _has_experts(step, i) else _dense(config)) for i in range(config.n_layer))
    return Checkpoint("llama4", hparams, parts.stack(config, blocks, *parts.rope_freqs(config)))


def _has_experts(step: int, i: int) -> bool:
    return step > 0 and (i + 1) % step == 0


def _dense(config: Config) -> list[Tensor]:
    return parts.gated_ffn(config.n_embd, config["intermediate_size_mlp"])


def _experts(config: Config) -> list[Tensor]:
    d, width = config.n_embd, config["intermediate_size"]
    return [*parts.gated_experts(d, width, config.n_expert), *parts.gated_ffn(d, width, "_shexp")]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Every fourth block is full; all are where the file names a window of 0."""
    chunked = hp.get("attention.sliding_window") != 0
    window_of = parts.windows(Hparams({**hp, "attention.sliding_window": CHUNK if chunked else 0}), 4)
    return parts.attention_layers(hp, window_of, chunked=True, ffn=_ffn)


def _ffn(hp: Hparams, i: int) -> FeedForward:
    if not _has_experts(int(hp.need("interleave_moe_layer_step")), i):
        return Dense(int(hp.need("feed_forward_length")))
    width = int(hp.need("expert_feed_forward_length"))
    return Experts(int(hp.need("expert_count")), int(hp.need("expert_used_count")), width, width)
