"""Transformers: parameters, cache objects and peaks against its own, and fine-tuning's arithmetic."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tonnage
from tonnage import data
from tonnage.engines.transformers.build import build_of
from tonnage.engines.transformers.cache import cache_bytes, layer_bytes
from tonnage.engines.transformers.peak import prefill_peak
from tonnage.errors import QuestionError, UnsupportedError
from tonnage.model import build
from tonnage.model.pieces import pieces
from tonnage.model.towers import tower
from torch_cases import DATA, model

TOLD = jsonschema.Draft202012Validator(json.loads(data.read("schema/answer.json")))
NEWEST = build_of(None)


@pytest.mark.parametrize("name", DATA["transformers_params"])
def test_parameters_are_the_librarys_own(name):
    """To the last one, the vision tower too; a router's correction bias is a buffer there."""
    found = (*(piece for piece in pieces(model(name)) if piece.stem != "exp_probs_b"), *tower(model(name)))

    assert DATA["transformers_params"][name]["total"] == sum(piece.elements for piece in found)


@pytest.mark.parametrize("name", ["qwen3.5-122b-a10b", "llama-3.1-8b", "gemma-3-27b"])
def test_weights_of_an_answer_are_two_bytes_a_parameter(name):
    """All of them on one device."""
    told = tonnage.estimate(
        {"qwen3.5-122b-a10b": name, "llama-3.1-8b": "llama-3.1-8b-instruct", "gemma-3-27b": "gemma-3-27b-it"}[name], engine="transformers"
    )

    assert 2 * DATA["transformers_params"][name]["total"] == next(part.bytes for part in told.devices[0].parts if part.part == "weights")


def runs():
    """(model, run, batch, prompt, generated, rows) of every forward pass."""
    for name, found in DATA["transformers_cache"].items():
        for key, rows in found["runs"].items():
            batch, rest = key[1:].split("S")
            prompt, generated = rest.split("D")
            yield pytest.param(name, int(batch), int(prompt), int(generated), rows, id=f"{name} {key}")


@pytest.mark.parametrize(("name", "batch", "prompt", "generated", "rows"), runs())
def test_cache_objects_are_the_librarys_own(name, batch, prompt, generated, rows):
    """Bytes of storage of every layer, but for the word that tells a window."""
    for _, tensors, first, _ in rows:
        stored = sum(size for key, (_, _, size, _) in tensors.items() if not key.startswith("_"))
        found = layer_bytes(model(name), model(name).layers[first], prompt + generated, NEWEST, prefilled=not generated)

        assert stored == batch * sum(found)


def test_latents_were_unpacked_before_5_15():
    """128 heads of 192 and 128, instead of 512 and 64."""
    old, new = (cache_bytes(model("deepseek-v3"), 1000, build_of(version))[0] for version in ("5.14.1", "5.15"))

    assert (61 * 128 * 320 * 2000, 61 * 576 * 2000) == (old, new)


TINY = {
    "llama": {"model_type": "llama", "intermediate_size": 4096},
    "qwen3moe": {"model_type": "qwen3_moe", "num_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 512, "intermediate_size": 4096},
    "gdn": {
        "model_type": "qwen3_5_text", "intermediate_size": 4096, "full_attention_interval": 4, "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 8, "linear_num_value_heads": 16,
    },
}  # fmt: skip
"""the scaled models of the runs: hidden size 1024, 8 heads of 128"""


def tiny(row):
    """The model of one row."""
    shape = {"hidden_size": 1024, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 128, "max_position_embeddings": 8192}
    raw = {**shape, **TINY[row["kind"]], "num_hidden_layers": row["L"], "vocab_size": row["V"]}
    return build.from_config(raw, row["kind"], row["kind"])


@pytest.mark.parametrize("row", DATA["transformers_activations"], ids=lambda row: " ".join(f"{k}{v}" for k, v in list(row.items())[:6]))
def test_peaks_of_a_prompt_are_met_within_one_percent(row):
    """Above the cache, for SDPA and eager attention, experts and delta nets, with the last logits or all of them."""
    peak = prefill_peak(tiny(row), row["T"], 1, row["attn"], all_logits=not row["keep"])

    assert abs((peak + row["kv"]) / row["peak"] - 1) < 0.01


@pytest.mark.parametrize("row", [r for r in DATA["transformers_activations"] if r["kind"] == "llama" and r["keep"]], ids=lambda row: str(row["T"]))
def test_peaks_of_dense_layers_are_exact(row):
    """To the byte, but for the logits of the last token."""
    assert row["peak"] == prefill_peak(tiny(row), row["T"], 1, row["attn"]) + row["kv"]


def parts(**keys):
    """Part -> bytes of the first device."""
    return {part.part: part.bytes for part in tonnage.estimate("llama-3.1-8b-instruct", engine="transformers", **keys).devices[0].parts}


P = 8_030_261_248


def test_full_training_holds_weights_gradients_and_two_states():
    """In BF16 throughout 2 + 2 + 4 bytes a parameter, with F32 weights 4 + 4 + 8."""
    for dtype, width in (("bf16", 2), ("mixed", 4)):
        held = parts(train="full", train_dtype=dtype, sequence=2048)
        assert (width * P, width * P, 2 * width * P) == (held["weights"], held["gradients"], held["optimizer"])


SHARDS = [("zero1", (2, 2, 12 / 8)), ("zero2", (2, 2 / 8, 12 / 8))]


@pytest.mark.parametrize(("shard", "widths"), SHARDS)
def test_zero_shares_out_states_then_gradients(shard, widths):
    """Eight devices: the F32 copy and two F32 states are a eighth each; gradients from stage 2 on."""
    held = parts(train="full", shard=shard, device="8x H100", sequence=2048)

    assert [round(width * P) for width in widths] == [held[name] for name in ("weights", "gradients", "optimizer")]


@pytest.mark.parametrize("shard", ["zero3", "fsdp"])
def test_sharded_weights_are_whole_for_two_blocks(shard):
    """An eighth of all, and two blocks."""
    held, block = parts(train="full", shard=shard, device="8x H100", sequence=2048), 218_112_000 * 2

    assert 2 * P // 8 + 2 * block == held["weights"]


def test_lora_trains_adapters_on_every_linear_layer():
    """Rank x (inputs + outputs) of seven projections in 32 blocks, in F32, with gradients and two states."""
    adapters = 32 * 16 * ((4096 + 4096) * 2 + (4096 + 1024) * 2 + (4096 + 14336) * 3)
    held = parts(train="lora", lora_rank=16, sequence=2048)

    assert (2 * P + 4 * adapters, 4 * adapters, 8 * adapters) == (held["weights"], held["gradients"], held["optimizer"])


def test_qlora_holds_four_bits_a_weight():
    """Embedding and head stay in BF16, so a third of BF16 altogether."""
    held = parts(train="qlora", sequence=2048)

    assert 0.3 < held["weights"] / (2 * P) < 0.4


@settings(deadline=None, max_examples=30)
@given(st.integers(128, 65536), st.integers(1, 16))
def test_checkpointing_never_takes_more(sequence, batch):
    """And activations grow with every token."""
    keys = {"train": "lora", "sequence": sequence, "micro_batch": batch}
    full, kept = parts(**keys)["activations"], parts(**keys, checkpointing=True)["activations"]

    assert kept < full < parts(**{**keys, "sequence": sequence + 1})["activations"]


def test_blocks_are_shared_out_whole_over_devices():
    """Two cards hold the model together, neither much more than half."""
    told = tonnage.estimate("llama-3.1-8b-instruct", engine="transformers", device="2x 24GB", context=2048)
    held = [next(part.bytes for part in device.parts if part.part == "weights") for device in told.devices]

    assert 2 * P == sum(held)
    assert max(held) < 1.2 * P


REFUSED = [
    ({"quant": "Q4_K_M"}, UnsupportedError, "transformers cannot load 'Q4_K_M'"),
    ({"quant": "nvfp4"}, UnsupportedError, "nvfp4"),
    ({"engine_version": "4.30"}, UnsupportedError, "4.57 to 5.23"),
    ({"train": "full", "quant": "nf4"}, QuestionError, "train=full"),
    ({"train": "full", "optimizer": "adamm"}, QuestionError, "did you mean adamw"),
    ({"train": "qlora", "shard": "zero3"}, QuestionError, "zero3"),
]


@pytest.mark.parametrize(("keys", "kind", "words"), REFUSED, ids=str)
def test_what_cannot_be_is_one_clear_line(keys, kind, words):
    """Value, reason and what to take instead."""
    with pytest.raises(kind, match=words):
        tonnage.estimate("llama-3.1-8b-instruct", engine="transformers", **keys)


@pytest.mark.parametrize("keys", [{}, {"device": "2x 4090"}, {"train": "lora", "device": "8x H100", "shard": "fsdp"}, {"flash_attn": "off"}], ids=str)
def test_answers_keep_to_the_schema(keys):
    """With devices and without, trained and not."""
    from tonnage.render import render

    told = tonnage.estimate("gemma-3-27b-it", engine="transformers", **keys)

    assert [] == [error.message for error in TOLD.iter_errors(json.loads(render("json", tonnage.Question(model="a"), told)))]


@pytest.mark.parametrize("part", ["weights", "kv", "state", "activations", "gradients", "optimizer", "runtime"])
def test_every_part_is_explained(part):
    """Rule, numbers and source."""
    told = tonnage.explain(part, "qwen3.5-27b", engine="transformers", train="lora" if part in ("gradients", "optimizer") else None, device="H100")

    assert "bytes" in told.result
    assert told.source.startswith("Transformers 5.23")
