"""Qwen3.8-Flash-Next: Qwen3.5's mixers under hyper-connections, sparse attention, and n-gram embeddings.

Hyper-connections keep several residual streams and stand where other models have norms. The full
attention layers pick blocks of tokens by an indexer (QSA). One layer looks hashed n-grams up in a
table of 51 B parameters (PLE), which no matrix is multiplied with.
"""

from math import isqrt

from tonnage.frozen import replace
from tonnage.model.archs import parts, qwen35
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Indexer, Layer, Recurrent, Tensor
from tonnage.units import pad

POOLED_ROW = 2
"""A cached row of the indexer: the raw key, and the mean of its block (indexer_kpool_row)."""


# --- config -> GGUF, as conversion/qwen4exp.py does it (Qwen4ExpTextModel) -------------------------------


def convert(config: Config) -> Checkpoint:
    """The trunk, its MTP block and the n-gram table."""
    linear = qwen35.linear_blocks(config, int(config.get("n_nextn", 0)))
    blocks = (t for i, is_linear in enumerate(linear) for t in parts.block(i, _block(config, is_linear, i)))
    hparams = parts.base_hparams(
        config,
        hyper_connection__count=config["hc_count"],
        hyper_connection__low_rank=config["hc_lowrank"],
        attention__indexer__head_count=config["indexer_n_heads"],
        attention__indexer__key_length=config["indexer_head_dim"],
        attention__indexer__top_k=config["indexer_budget"],
        attention__compress_ratios=[0 if is_linear else config["indexer_compress_ratio"] for is_linear in linear],
        **qwen35.hybrid_hparams(config, linear),
        **_ple_hparams(config),
    )
    return Checkpoint("qwen4exp", hparams, (*_outer(config), *blocks))


def _outer(config: Config) -> list[Tensor]:
    """Embedding, table, final mixer (in the place of a final norm) and head."""
    d = config.n_embd
    head = [] if config.is_tied else [parts.matrix("output", d, config.n_vocab)]
    return [parts.matrix("token_embd", d, config.n_vocab), *_ngram_table(config), *_mixer(config, "output_hc"), *head]


def _block(config: Config, linear: bool, i: int) -> list[Tensor]:
    mixer = qwen35.delta_net(config) if linear else [*qwen35.gated_attention(config), *_indexer(config)]
    streams = [*_residual(config, "hc_attn"), *_residual(config, "hc_ffn")]
    ple = _ple(config) if i in _ple_layers(config) else []
    return [*streams, *mixer, *ple, *qwen35.shared_moe(config), *(_nextn_head(config) if i >= config.n_layer else [])]


def _width(config: Config) -> int:
    """All residual streams side by side."""
    return int(config["hc_count"] * config.n_embd)


def _mixer(config: Config, name: str) -> list[Tensor]:
    """What makes one input of all streams: a norm of each, and a map of low rank."""
    width, rank = _width(config), config["hc_lowrank"]
    return [parts.norm(f"{name}_norm", width), parts.matrix(f"{name}_down", width, rank), parts.matrix(f"{name}_up", rank, width)]


def _residual(config: Config, name: str) -> list[Tensor]:
    """A hyper-connection around attention or experts: the mixer, and how its output is dealt to the streams."""
    return [*_mixer(config, name), parts.matrix(f"{name}_inject", _width(config), config["hc_count"])]


def _indexer(config: Config) -> list[Tensor]:
    d, heads, head = config.n_embd, config["indexer_n_heads"], config["indexer_head_dim"]
    return [
        parts.matrix("indexer.q_proj", d, heads * head),
        parts.matrix("indexer.k_proj", d, head),
        parts.norm("indexer.q_norm", head),
        parts.norm("indexer.k_norm", head),
    ]


def _nextn_head(config: Config) -> list[Tensor]:
    """What the MTP block has besides: it takes in every stream and has a final mixer of its own."""
    d = config.n_embd
    return [
        parts.matrix("nextn.eh_proj", 2 * d, d),
        parts.norm("nextn.enorm", d),
        parts.norm("nextn.hnorm", _width(config)),
        *_mixer(config, "nextn.hc_head"),
    ]


# --- n-gram embeddings --------------------------------------------------------------------------------------


def _ple_layers(config: Config) -> list[int]:
    """Layers with n-gram embeddings; the config counts from 1."""
    return [i - 1 for i in config.get("ple_layer_ids", [])]


def _ple_hparams(config: Config) -> dict[str, object]:
    if not _ple_layers(config):
        return {}
    return {
        "ple.layers": _ple_layers(config),
        "ple.ngram_size": config["ngram_size"],
        "ple.heads_per_ngram": config["heads_per_ngram"],
        "ple.conv_kernel": config["ple_conv_kernel_size"],
        "embedding_length_per_layer_input": _ple_width(config) // _ngram_heads(config),
    }


def _ple_width(config: Config) -> int:
    """The rows of all hash heads side by side."""
    return int(config.get("ple_embed_dim", config.n_embd))


def _ngram_heads(config: Config) -> int:
    """Independent hashes of a token: several for each length of n-gram from 2 on."""
    return int((config["ngram_size"] - 1) * config["heads_per_ngram"])


def _ple(config: Config) -> list[Tensor]:
    """The layer's way from looked-up rows to the streams."""
    width = _width(config)
    return [
        parts.matrix("ple_key", _ple_width(config), width),
        parts.matrix("ple_value", _ple_width(config), config.n_embd),
        *(parts.norm(f"ple_norm_{name}", width) for name in ("key", "query", "conv")),
        parts.matrix("ple_conv1d", config["ple_conv_kernel_size"], width),
    ]


def _ngram_table(config: Config) -> list[Tensor]:
    """One table for all heads: the next primes from the base on, a prime of rows each (transformers 5.23)."""
    if not _ple_layers(config):
        return []
    heads = _ngram_heads(config)
    rows = sum(_primes_from(config["ngram_vocab_size_base"], heads))
    return [parts.matrix("per_layer_token_embd", _ple_width(config) // heads, pad(rows, config["make_ngram_vocab_size_divisible_by"]))]


def _primes_from(start: int, count: int) -> list[int]:
    """The first `count` primes that are not below `start`."""
    primes: list[int] = []
    n = start
    while len(primes) < count:
        if all(n % divisor for divisor in range(2, isqrt(n) + 1)):
            primes.append(n)
        n += 1
    return primes


# --- layers -------------------------------------------------------------------------------------------------


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Qwen3.5's layers; attention keeps an indexer's keys, and an n-gram layer a second convolution's inputs."""
    ple = set(hp.get("ple.layers") or ())
    history = Recurrent("short_conv", _ple_conv_state(hp) if ple else 0, 0)
    plain = qwen35.layers(hp, _indexer_cache(hp))
    return tuple(replace(layer, mixers=(*layer.mixers, history)) if i in ple else layer for i, layer in enumerate(plain))


def _indexer_cache(hp: Hparams) -> Indexer | None:
    """The indexer's row per token; without a compress ratio there is no pooled key in it."""
    width = int(hp.get("attention.indexer.key_length") or 0)
    pooled = any(hp.per_layer("attention.compress_ratios", 0))
    return Indexer(width * (POOLED_ROW if pooled else 1)) if width else None


def _ple_conv_state(hp: Hparams) -> int:
    """Inputs that the dilated convolution looks back on, of every stream (ple_conv_state)."""
    taps = (int(hp.need("ple.conv_kernel")) - 1) * int(hp.need("ple.ngram_size"))
    return taps * int(hp.need("hyper_connection.count")) * int(hp.need("embedding_length"))
