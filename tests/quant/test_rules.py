"""Rules that the models of the data do not show, each on a model of a few tensors; checked against llama-quantize."""

from typing import Any

import pytest

from tonnage.errors import RefusedError
from tonnage.model.types import Tensor
from tonnage.quant.recipes import Recipe, parse
from tonnage.quant.rules import needs_imatrix, quantise

D = 512


def model(*names: str, blocks: int = 32, row: int = D, experts: int = 0) -> tuple[Tensor, ...]:
    """Embedding, and square matrices of these names in every block; those of experts have a third dimension."""
    matrices = (Tensor(f"blk.{i}.{n}.weight", (row, D, experts) if "_exps" in n else (row, D), "bf16") for i in range(blocks) for n in names)
    return (Tensor("token_embd.weight", (row, D), "bf16"), *matrices)


def types(tensors: tuple[Tensor, ...], recipe: Recipe, arch: str = "llama", **hparams: Any) -> dict[str, str]:
    """Name -> type, for a model of 32 query heads."""
    blocks = len({t.block for t in tensors} - {None})
    metadata = {"block_count": blocks, "attention.head_count": 32, "attention.head_count_kv": 8, **hparams}
    return {t.name: t.type for t in quantise(arch, metadata, tensors, recipe)}


def by_block(found: dict[str, str], name: str) -> list[str]:
    """Types of one tensor over the blocks."""
    return [type_ for key, type_ in found.items() if key.endswith(f".{name}.weight")]


@pytest.mark.parametrize(
    ("arch", "blocks", "heads_kv", "expected"),
    [
        ("llama", 80, 8, "q5_K"),
        ("llama", 80, 32, "q4_K"),
        ("llama", 79, 8, "q4_K"),
        ("qwen2", 80, 8, "q5_K"),
        ("deci", 80, 8, "q5_K"),
        ("olmo", 80, 8, "q5_K"),
        ("jais2", 68, 8, "q5_K"),
        ("jais2", 80, 8, "q4_K"),
        ("qwen3", 80, 8, "q4_K"),
    ],
)
def test_70b_is_a_label(arch: str, blocks: int, heads_kv: int, expected: str) -> None:
    """The loader calls some models "70B" by their blocks; their values never are Q4_K."""
    found = types(model("attn_v", blocks=blocks), parse("Q4_K_M"), arch, **{"attention.head_count_kv": heads_kv})

    assert {"q6_K", expected} == set(by_block(found, "attn_v"))


@pytest.mark.parametrize(
    ("recipe", "role", "expected"),
    [
        ("Q4_K_M", "attn_v", "q8_0"),
        ("Q4_K_M", "attn_k", "q8_0"),
        ("Q4_K_M", "attn_output", "q5_K"),
        ("Q3_K_L", "attn_output", "q3_K"),
        ("IQ2_M", "attn_k", "q4_K"),
        ("IQ2_M", "attn_output", "q5_K"),
    ],
)
def test_eight_experts_get_better_attention(recipe: str, role: str, expected: str) -> None:
    """Mixtral's number of experts, and no other."""
    assert {expected} == set(by_block(types(model(role), parse(recipe), expert_count=8), role))
    assert {expected} != set(by_block(types(model(role), parse(recipe), expert_count=16), role))


def test_low_bits_count_visits_even_with_experts() -> None:
    """With a shared expert, a block has two ffn_down: IQ2 raises those of the first n/16 blocks alone, others those of n/8."""
    tensors = model("ffn_down_exps", "ffn_down_shexp", experts=4)
    low = by_block(types(tensors, parse("IQ2_XXS"), expert_count=4), "ffn_down_exps")
    other = by_block(types(tensors, parse("Q2_K_S"), expert_count=4), "ffn_down_exps")

    assert ["q2_K"] * 2 + ["iq2_xxs"] * 30 == low
    assert ["q4_K"] * 4 + ["q2_K"] * 28 == other


def test_blocks_are_visited_by_number_not_by_letter() -> None:
    """The order in the file does not matter: block 2 comes before block 10."""
    tensors = model("attn_v")
    found = types(tensors[::-1], parse("Q3_K_M"))

    assert ["q5_K"] * 2 + ["q4_K"] * 30 == by_block(found, "attn_v")[::-1]


def test_grouping_is_that_of_the_first_block() -> None:
    """A hybrid whose first block has no KV heads counts as not grouped."""
    kv_heads = [8, *[0] * 31]

    assert "q5_K" in types(model("attn_v"), parse("IQ4_XS"), **{"attention.head_count_kv": kv_heads}).values()
    assert "q5_K" not in types(model("attn_v"), parse("IQ4_XS"), **{"attention.head_count_kv": kv_heads[::-1]}).values()


@pytest.mark.parametrize(
    ("recipe", "row", "rules", "expected"),
    [
        ("Q4_K_M", 480, "2026", "q5_0"),
        ("Q5_K_M", 480, "2026", "q5_1"),
        ("Q6_K", 480, "2026", "q8_0"),
        ("Q3_K_M", 480, "2026", "q4_0"),
        ("Q3_K_M", 480, "2025", "iq4_nl"),
        ("IQ4_XS", 480, "2026", "iq4_nl"),
        ("TQ2_0", 480, "2025", "q4_0"),
        ("Q8_0", 500, "2026", "f16"),
        ("Q4_K_M", 500, "2026", "f16"),
        ("Q4_K_M", 512, "2026", "q4_K"),
    ],
)
def test_rows_that_do_not_fit_fall_back(recipe: str, row: int, rules: str, expected: str) -> None:
    """To a type of smaller blocks, and then to F16."""
    assert {expected} == set(by_block(types(model("ssm_out", row=row), parse(recipe, rules=rules)), "ssm_out"))


@pytest.mark.parametrize(
    ("recipe", "new", "old"),
    [("Q4_K_M", ["q6_K"] * 4 + ["q4_K"], ["q5_K"] * 5), ("Q5_K_M", ["q6_K"] * 4 + ["q5_K"], ["q6_K"] * 5), ("IQ4_XS", ["q5_K"] * 5, ["iq4_xs"] * 5)],
)
def test_fused_projections_changed_with_the_rules(recipe: str, new: list[str], old: list[str]) -> None:
    """2026 treats attn_qkv like attn_v, 2025 had a rule of its own for it."""
    tensors = model("attn_qkv")

    assert new == by_block(types(tensors, parse(recipe)), "attn_qkv")[:5]
    assert old == by_block(types(tensors, parse(recipe, rules="2025")), "attn_qkv")[:5]


def test_fused_projections_were_counted_but_not_visited() -> None:
    """2025: of 16 fused and 16 plain values, the plain ones take the first 16 of 32 places."""
    fused = model("attn_qkv")[:17]
    plain = model("attn_v")[17:]
    expected = ["q6_K"] * 4 + ["q4_K", "q4_K", "q6_K"] * 4

    assert expected == by_block(types((*fused, *plain), parse("Q4_K_M", rules="2025")), "attn_v")


@pytest.mark.parametrize(("rules", "expected"), [("2026", "q6_K"), ("2025", "q4_K")])
def test_second_embedding_of_tied_models_follows_the_head_since_2026(rules: str, expected: str) -> None:
    """Gemma 3n and 4 hold a `per_layer_token_embd` besides the embedding that serves as head."""
    tensors = (*model("attn_q"), Tensor("per_layer_token_embd.weight", (D, D), "bf16"))
    found = types(tensors, parse("Q4_K_M", rules=rules))

    assert ("q6_K", expected) == (found["token_embd.weight"], found["per_layer_token_embd.weight"])


def test_overrides_beat_the_recipe() -> None:
    """--output-tensor-type and --token-embedding-type; of a tied pair the embedding's wins."""
    head = Tensor("output.weight", (D, D), "bf16")
    both = parse("Q4_K_M", output_type="Q8_0", embedding_type="q5_0")
    untied, tied = types((*model("attn_q"), head), both), types(model("attn_q"), both)

    assert ("q8_0", "q5_0") == (untied["output.weight"], untied["token_embd.weight"])
    assert "q5_0" == tied["token_embd.weight"]
    assert "q8_0" == types(model("attn_q"), parse("F16", embedding_type="q8_0"))["token_embd.weight"]
    assert "q8_0" == types(model("attn_q"), parse("Q4_K_M", output_type="q8_0"))["token_embd.weight"]


def test_overrides_that_cannot_be_stored_are_refused() -> None:
    """llama-quantize has no stand-in for a type that was asked for by name."""
    with pytest.raises(RefusedError, match="rows of 480 elements, which q6_K cannot store"):
        types(model("attn_q", row=480), parse("Q4_K_M", embedding_type="q6_K"))


def test_file_leaves_everything_as_it_is() -> None:
    """COPY, under the name that a question uses."""
    tensors = model("attn_v")

    assert tensors is quantise("llama", {"block_count": 32}, tensors, parse("file"))


@pytest.mark.parametrize(
    "name", ["blk.0.attn_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.ssm_conv1d.weight", "blk.0.ffn_down_exps.bias", "position_embd.weight"]
)
def test_some_tensors_are_never_quantised(name: str) -> None:
    """Norms, routers, convolutions, biases of experts and positions keep the source's type."""
    tensors = (*model("attn_q"), Tensor(name, (D, D), "f32"))

    assert "f32" == types(tensors, parse("Q4_K_M"))[name]


def test_dimensions_of_one_do_not_count() -> None:
    """A gate of shape [n, 1] is a vector to ggml."""
    gate = Tensor("blk.0.ffn_gate_inp_shexp.weight", (D, 1), "f32")

    assert "f32" == types((*model("attn_q"), gate), parse("Q8_0"))[gate.name]


@pytest.mark.parametrize(
    ("recipe", "expected"), [("Q4_K_M", False), ("Q2_K", False), ("Q2_K_S", True), ("IQ3_XXS", True), ("IQ3_S", False), ("IQ1_S", True)]
)
def test_some_recipes_need_an_imatrix(recipe: str, expected: bool) -> None:
    """llama-quantize will not write the smallest types without one."""
    quantised = quantise("llama", {"block_count": 32, "attention.head_count": 32}, model("attn_q"), parse(recipe))

    assert expected == needs_imatrix(quantised, recipe)
