"""Configs and GGUF headers become the same kind of model."""

from typing import Any

import pytest

from tonnage.errors import CorruptError, SourceError, UnsupportedError
from tonnage.model import build, catalogue
from tonnage.model.archs import FAMILIES
from tonnage.model.types import Attention, Dense, Experts, Layer, Model, Recurrent, Tensor

EMBEDDING = Tensor("token_embd.weight", (64, 1000), "q4_K")


def header(architecture: str, tensors: tuple[Tensor, ...] = (EMBEDDING,), **keys: Any) -> Model:
    """The model of a made-up header; `__` in a key stands for its dot."""
    metadata = {"block_count": 4, "context_length": 4096, "embedding_length": 64, "attention.head_count": 4}
    metadata |= {key.replace("__", "."): value for key, value in keys.items()}
    prefixed = {f"{architecture}.{key}": value for key, value in metadata.items()}
    return build.from_header({"general.architecture": architecture, **prefixed}, tensors, "made up", "test")


SSM = {"ssm__conv_kernel": 4, "ssm__inner_size": 128, "ssm__state_size": 16, "ssm__time_step_rank": 8}
MAMBA2 = SSM | {"ssm__group_count": 2}
ATTENTION = Attention(4, 2, 16, 16)
STATE = Recurrent("mamba2", 3 * (128 + 2 * 2 * 16), 16 * 128)


def mixers(model: Model) -> list[tuple[object, ...]]:
    """What each layer remembers with."""
    return [layer.mixers for layer in model.layers]


def test_nemotron_blocks_are_one_thing_each() -> None:
    """Recurrent are the blocks with neither KV heads nor a feed-forward part; a feed-forward block remembers nothing."""
    model = header("nemotron_h", attention__head_count_kv=(0, 2, 0, 0), feed_forward_length=(0, 0, 96, 0), **MAMBA2)

    assert [(STATE,), (ATTENTION,), (), (STATE,)] == mixers(model)
    assert [None, None, Dense(96), None] == [layer.ffn for layer in model.layers]


def test_nemotron_experts_may_differ_by_block() -> None:
    """Puzzle models give every block its own expert width and count."""
    keys = {"expert_count": 8, "expert_used_count": (0, 2, 4, 0), "expert_feed_forward_length": (0, 32, 48, 0)}
    experts = tuple(Tensor(f"blk.{i}.ffn_up_exps.weight", (64, 32, 8), "q4_K") for i in (1, 2))
    model = header(
        "nemotron_h_moe", (EMBEDDING, *experts), attention__head_count_kv=(0, 0, 0, 2), feed_forward_length=(0, 32, 48, 0), **keys, **MAMBA2
    )

    assert [None, Experts(8, 2, 32), Experts(8, 4, 48), None] == [layer.ffn for layer in model.layers]


def test_falcon_h1_has_two_mixers_in_every_block() -> None:
    """Attention and Mamba-2 stand side by side."""
    assert [(ATTENTION, STATE)] * 4 == mixers(header("falcon-h1", attention__head_count_kv=2, feed_forward_length=96, **MAMBA2))


@pytest.mark.parametrize("architecture", ["granitehybrid", "jamba", "lfm2"])
def test_hybrids_attend_where_there_are_kv_heads(architecture: str) -> None:
    """The other blocks are recurrent."""
    model = header(architecture, attention__head_count_kv=(0, 2, 0, 0), feed_forward_length=96, shortconv__l_cache=3, **MAMBA2)

    assert [False, True, False, False] == [isinstance(m, Attention) for (m,) in mixers(model)]


def test_short_convolutions_keep_their_last_inputs() -> None:
    """A convolution over 3 tokens remembers 2, in every channel, and has no state besides."""
    model = header("lfm2", attention__head_count_kv=(0, 2, 2, 2), feed_forward_length=96, shortconv__l_cache=3)

    assert (Recurrent("short_conv", 2 * 64, 0),) == model.layers[0].mixers


@pytest.mark.parametrize(("architecture", "keys", "conv"), [("mamba2", MAMBA2, 3 * 192), ("mamba", SSM, 3 * 128)])
def test_mamba_has_no_cache_whatever_the_heads_say(architecture: str, keys: dict[str, int], conv: int) -> None:
    """A header that names one KV head is recurrent all the same."""
    model = header(architecture, attention__head_count_kv=1, **keys)

    assert [(Recurrent(architecture, conv, 2048),)] * 4 == mixers(model)


def test_jamba_blocks_without_expert_tensors_are_dense() -> None:
    """Its metadata do not say which blocks have experts; the tensors do."""
    experts = tuple(Tensor(f"blk.{i}.ffn_up_exps.weight", (64, 96, 8), "q4_K") for i in (1, 3))
    keys = {"feed_forward_length": 96, "expert_count": 8, "expert_used_count": 2}
    model = header("jamba", (EMBEDDING, *experts), attention__head_count_kv=(0, 2, 0, 0), **keys, **SSM)

    assert [Dense(96), Experts(8, 2, 96)] * 2 == [layer.ffn for layer in model.layers]


@pytest.mark.parametrize("architecture", next(f.architectures for f in FAMILIES if f.module == "plain"))
def test_plain_decoders_attend_to_everything(architecture: str) -> None:
    """Full attention in every block, of as many KV heads as heads where the file names no fewer."""
    assert (Layer((Attention(4, 4, 16, 16),), Dense(96)),) * 4 == header(architecture, feed_forward_length=96).layers


def test_context_is_the_smaller_of_config_and_file() -> None:
    """Nemotron's converter writes 1,048,576; the config knows better."""
    model = catalogue.model("nemotron-nano-9b-v2")

    assert (131_072, 1_048_576) == (model.context, model.hparams["context_length"])


def test_puzzle_configs_are_refused() -> None:
    """Their blocks differ in ways that no rule covers yet."""
    with pytest.raises(UnsupportedError, match="Puzzle"):
        build.from_config({"model_type": "nemotron_h", "block_configs": [{"block_type": "mamba"}]}, "puzzle", "test")


def test_configs_that_lack_a_field_say_which() -> None:
    """The message names the field in the config's own spellings."""
    with pytest.raises(SourceError, match="num_hidden_layers"):
        build.from_config({"model_type": "granite", "hidden_size": 64}, "granite", "test")


def test_headers_without_architecture_are_corrupt() -> None:
    """Nothing can be read of a file that does not say what it is."""
    with pytest.raises(CorruptError, match=r"general\.architecture"):
        build.from_header({}, (), "nameless", "test")


def test_headers_without_context_are_corrupt() -> None:
    """llama.cpp needs the key too."""
    with pytest.raises(CorruptError, match="context"):
        header("llama", context_length=None)
