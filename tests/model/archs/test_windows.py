"""Windowed families: what the loader knows and the file does not say, and checkpoints without an oracle file."""

from types import ModuleType
from typing import Any

import pytest

from tonnage.errors import CorruptError, UnsupportedError
from tonnage.model import catalogue
from tonnage.model.archs import cohere, exaone, gemma2, gemma3, gemma3n, gemma4, gpt_oss, laguna, llama4, parts, phi3, step35
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Dense, Experts, Layer

ATTENTION = {"embedding_length": 2048, "feed_forward_length": 8192, "attention.head_count": 8, "attention.head_count_kv": 2}
MOE = {"expert_count": 16, "expert_used_count": 2, "expert_feed_forward_length": 512}


def layers(family: ModuleType, n_layer: int, **metadata: Any) -> tuple[Layer, ...]:
    """The layers of a file with `n_layer` blocks; `__` stands for the dot of a key."""
    more = {key.replace("__", "."): value for key, value in metadata.items()}
    read: tuple[Layer, ...] = family.layers(Hparams({"block_count": n_layer, **ATTENTION, **more}))
    return read


def mixer(layer: Layer) -> Attention:
    """The one attention of `layer`."""
    (found,) = layer.mixers
    assert isinstance(found, Attention)
    return found


def seen(read: tuple[Layer, ...]) -> list[int]:
    """The window of every block."""
    return [mixer(layer).window for layer in read]


@pytest.mark.parametrize(
    ("family", "n_layer", "metadata", "expected"),
    [
        (gemma2, 4, {}, [4096, 0, 4096, 0]),
        (gemma3, 7, {"attention__sliding_window": 512}, [512, 512, 512, 512, 512, 0, 512]),
        (gemma3, 7, {}, [0] * 7),
        (gpt_oss, 3, {"attention__sliding_window": 128, **MOE}, [128, 0, 128]),
        (phi3, 2, {"attention__sliding_window": 2047}, [0, 0]),
        (cohere, 5, {}, [0] * 5),
        (cohere, 5, {"attention__sliding_window": 4096}, [4096, 4096, 4096, 0, 4096]),
        (cohere, 5, {"attention__sliding_window": 4096, **MOE}, [0, 4096, 4096, 4096, 0]),
        (laguna, 5, {"attention__sliding_window": 512, **MOE}, [0, 512, 512, 512, 0]),
        (laguna, 5, {**MOE}, [0] * 5),
        (exaone, 5, {"attention__sliding_window": 4096}, [0] * 5),
        (exaone, 64, {}, [4096, 4096, 4096, 0] * 16),
        (exaone, 65, {"nextn_predict_layers": 1}, [4096, 4096, 4096, 0] * 16 + [0]),
        (exaone, 6, {"nextn_predict_layers": 2, **MOE}, [128, 128, 128, 0, 0, 0]),
        (llama4, 5, {"interleave_moe_layer_step": 1, **MOE}, [8192, 8192, 8192, 0, 8192]),
        (llama4, 5, {"interleave_moe_layer_step": 1, "attention__sliding_window": 0, **MOE}, [0] * 5),
        (gemma3, 3, {"attention__sliding_window": 512, "attention__sliding_window_pattern": [False, True]}, [0, 512, 0]),
        (gemma3, 4, {"attention__sliding_window": 512, "attention__sliding_window_pattern": 2}, [512, 0, 512, 0]),
    ],
)
def test_windows_are_the_loaders(family: ModuleType, n_layer: int, metadata: dict[str, Any], expected: list[int]) -> None:
    """A listed pattern wins; else each loader has its own period, phase and window, and MTP blocks see everything."""
    assert expected == seen(layers(family, n_layer, **metadata))


def test_llama4_windows_are_chunks() -> None:
    """A chunked window ends at multiples of its size; a full block has none to end."""
    read = layers(llama4, 4, interleave_moe_layer_step=1, **MOE)

    assert [True, True, True, False] == [mixer(layer).chunked for layer in read]


def test_llama4_interleaves_experts() -> None:
    """Every second block of Maverick has experts, with one more that all tokens run through."""
    read = layers(llama4, 2, interleave_moe_layer_step=2, **MOE)

    assert [Dense(8192), Experts(16, 2, 512, 512)] == [layer.ffn for layer in read]


def test_gemma4_heads_differ_by_kind() -> None:
    """Windowed and full blocks have key lengths of their own."""
    pattern = {"attention__sliding_window": 512, "attention__sliding_window_pattern": [True, False]}
    read = layers(gemma4, 2, attention__key_length=512, attention__value_length=512, attention__key_length_swa=256,
                  attention__value_length_swa=256, **pattern)  # fmt: skip

    assert [(256, 256), (512, 512)] == [(mixer(layer).k_dim, mixer(layer).v_dim) for layer in read]


def test_gemma4_dense_part_runs_beside_the_experts() -> None:
    """The dense part of a block with experts is counted as a shared expert, as llama.cpp treats it."""
    read = layers(gemma4, 1, attention__sliding_window=512, attention__sliding_window_pattern=[True], **MOE)

    assert (Experts(16, 2, 512, 8192),) == tuple(layer.ffn for layer in read)


def test_gemma4_late_blocks_read_the_last_cache_of_their_kind() -> None:
    """Without a cache of their own, windowed blocks read the last windowed one, full blocks the last full one."""
    pattern = [True, True, False, True, False]
    read = layers(gemma4, 5, attention__shared_kv_layers=2, attention__sliding_window=512, attention__sliding_window_pattern=pattern)

    assert [None, None, None, 1, 2] == [mixer(layer).kv_layer for layer in read]


def test_gemma3n_owns_twenty_caches() -> None:
    """The loader's number, whatever `shared_kv_layers` says."""
    read = layers(gemma3n, 30, attention__sliding_window=512, attention__shared_kv_layers=15)

    assert [None] * 20 + [18, 18, 18, 18, 19] * 2 == [mixer(layer).kv_layer for layer in read]


@pytest.mark.parametrize("family", [step35, exaone])
def test_blocks_of_multi_token_prediction_are_dense(family: ModuleType) -> None:
    """Step and K-EXAONE predict further tokens without experts."""
    window = {"attention__sliding_window": 512, "attention__sliding_window_pattern": [False, True, True]}
    read = layers(family, 3, nextn_predict_layers=1, leading_dense_block_count=1, **window, **MOE)

    assert [Dense(8192), Experts(16, 2, 512), Dense(8192)] == [layer.ffn for layer in read]


def test_step_files_must_list_their_windows() -> None:
    """The loader has no pattern of its own for them."""
    with pytest.raises(CorruptError, match=r"sliding_window_pattern"):
        layers(step35, 3, attention__sliding_window=512, **MOE)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("google/gemma-3n-E2B-it", 5_439_438_272 - 983_281_504 + 1_966_080),
        ("google/gemma-3n-E4B-it", 7_849_978_192 - 983_281_504 + 2_293_760),
        ("LGAI-EXAONE/K-EXAONE-236B-A23B", 237_099_669_632),
        ("stepfun-ai/Step-3.5-Flash", 199_384_301_376),
        ("meta-models/Muse-Glimmer-30B", 27_854_780_928 + 52 * 2 * 128),
        ("openai/gpt-oss-120b", 116_829_156_672),
        ("google/gemma-2-9b-it", 9_241_705_984),
    ],
)
def test_a_checkpoint_holds_what_was_published(name: str, published: int) -> None:
    """The hub's totals, less towers (Gemma 3n), with the converter's padding (Gemma 3n) and its synthetic norms (Muse Glimmer)."""
    assert published == sum(t.elements for t in catalogue.model(name).tensors)


def test_gemma3_configs_may_leave_out_class_defaults() -> None:
    """google/gemma-3-4b-it publishes neither heads nor vocabulary."""
    published = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024, "model_type": "gemma3_text"}
    made = gemma3.convert(Config({"model_type": "gemma3", "text_config": published}))

    assert 3_880_263_168 == sum(t.elements for t in made.tensors)


def test_published_mxfp4_experts_stay_as_they_are() -> None:
    """Only the stacks of experts are MXFP4 in gpt-oss; a copy in BF16 has none."""
    config = catalogue.row("openai/gpt-oss-20b")["config"]
    kinds = [
        {t.name.split(".", 2)[2] for t in gpt_oss.convert(Config(raw)).tensors if t.type == "mxfp4"}
        for raw in (config, {**config, "quantization_config": None})
    ]

    assert [{"ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"}, set()] == kinds


def test_phi3_long_contexts_add_factors() -> None:
    """Two lists of factors become two tensors, one value per rotated pair."""
    config = catalogue.row("microsoft/Phi-3.5-mini-instruct")["config"]
    rope = {"rope_type": "longrope", "long_factor": [1.0] * 48, "short_factor": [1.0] * 48}
    made = phi3.convert(Config({**config, "rope_parameters": rope}))

    assert {"rope_factors_long.weight": (48,), "rope_factors_short.weight": (48,)} == {
        t.name: t.shape for t in made.tensors if t.name.startswith("rope_factors")
    }


@pytest.mark.parametrize(("gating", "width"), [(True, 48), ("per-head", 48), ("per-element", 48 * 128)])
def test_laguna_gates_heads_or_their_elements(gating: object, width: int) -> None:
    """The gate of block 0 has as many outputs as the config's gating says."""
    config = {**catalogue.row("poolside/Laguna-XS.2")["config"], "gating": gating}
    gate = next(t for t in laguna.convert(Config(config)).tensors if t.name == "blk.0.attn_gate.weight")

    assert (2048, width) == gate.shape


def test_laguna_refuses_unknown_gates() -> None:
    """A gate of unknown width is no guess."""
    config = {**catalogue.row("poolside/Laguna-XS.2")["config"], "gating": "per-token"}
    with pytest.raises(UnsupportedError, match="per_token"):
        laguna.convert(Config(config))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"layer_types": ["full_attention", "sliding_attention"]}, [False, True]),
        ({"sliding_window_pattern": "LG", "num_hidden_layers": 3}, [True, False, True]),
        ({"sliding_window_pattern": 3, "num_hidden_layers": 4}, [True, True, False, True]),
        ({"num_hidden_layers": 4}, None),
    ],
)
def test_patterns_have_three_spellings(fields: dict[str, Any], expected: list[bool] | None) -> None:
    """A list of kinds, letters that repeat, or the period whose last block is full."""
    assert expected == parts.sliding_pattern(Config(fields))
