"""Formats of safetensors checkpoints: their layouts against published totals, and their configs."""

from typing import Any

import pytest

from tonnage.errors import CorruptError, TonnageError, UnsupportedError
from tonnage.model import catalogue
from tonnage.model.published import ATTENTION, OTHER, matrices
from tonnage.quant import layouts
from tonnage.quant.formats import FORMATS, Doubt, find, parse, predict, predict_scheme
from tonnage.quant.layouts import Affine, Layout
from tonnage.quant.recipes import parse as parse_recipe
from tonnage.quant.schemes import Scheme, recognise

# --- published totals ---------------------------------------------------------------------------------

PUBLISHED = [
    # bytes of all tensors, by the hub's index or listing less the headers
    ("meta-llama/Llama-3.1-8B-Instruct", "bf16", 16_060_522_496),
    ("deepseek-ai/DeepSeek-V3", "fp8", 688_574_839_360),
    ("meta-llama/Llama-3.1-70B-Instruct", "awq", 39_767_785_472),
    ("Qwen/Qwen3-32B", "awq", 19_325_298_688),
    ("openai/gpt-oss-20b", "mxfp4", 13_761_264_768),
    ("openai/gpt-oss-120b", "mxfp4", 65_248_815_744),
    ("meta-llama/Llama-3.2-1B-Instruct", "mlx-4bit", 695_242_752),
]


@pytest.mark.parametrize(("model", "name", "nbytes"), PUBLISHED)
def test_published_totals_are_met_to_the_byte(model: str, name: str, nbytes: int) -> None:
    """What is called exact is exact."""
    found = predict(catalogue.model(model), name)

    assert (nbytes, "exact", None) == (found.nbytes, found.status, found.error)


ROUNDED = [("Qwen/Qwen3-30B-A3B", "mlx-4bit", 16.0, 0.05), ("zai-org/GLM-4.7-Flash", "mlx-4bit", 15.69, 0.005)]


@pytest.mark.parametrize(("model", "name", "gib", "rounding"), ROUNDED)
def test_published_sizes_are_met_within_their_rounding(model: str, name: str, gib: float, rounding: float) -> None:
    """MLX repos quantise embedding, head and routers, and leave multi-token prediction out."""
    assert abs(predict(catalogue.model(model), name).nbytes / 2**30 - gib) <= rounding


def test_a_configs_own_scheme_says_the_same() -> None:
    """DeepSeek V3 and gpt-oss publish no other form: their config leads to the same bytes as the format's name."""
    for model, name, nbytes in PUBLISHED:
        scheme = recognise(catalogue.row(model)["config"])
        if scheme:
            assert (name, nbytes) == (scheme.format, predict_scheme(catalogue.model(model), scheme).nbytes)


# --- layouts ------------------------------------------------------------------------------------------

LAYOUTS: list[tuple[Layout, int, int, int | None]] = [
    (layouts.unquantised, 3, 5, 30),
    (layouts.fp8_block(4), 256, 512, 256 * 512 + 2 * 4 * 4),
    (layouts.fp8_block(2), 129, 1, 129 + 2 * 2),
    (layouts.fp8_block(4, 32, 32), 64, 32, 64 * 32 + 2 * 4),
    (layouts.fp8_tensor(), 8, 8, 68),
    (layouts.fp8_tensor(True), 8, 8, 72),
    (layouts.fp8_channel, 8, 16, 144),
    (layouts.awq(), 64, 256, 256 * 8 * 4 + 2 * 8 * 4 + 2 * 64 * 2),
    (layouts.awq(Affine(4, -1)), 64, 256, 256 * 8 * 4 + 8 * 4 + 64 * 2),
    (layouts.awq(), 64, 200, None),
    (layouts.awq(), 4, 128, None),
    (layouts.gptq(), 64, 256, 32 * 64 * 4 + 2 * 8 * 4 + 2 * 64 * 2 + 1024),
    (layouts.gptq(Affine(8, 32)), 64, 256, 64 * 64 * 4 + 8 * 16 * 4 + 8 * 64 * 2 + 1024),
    (layouts.gptq(), 64, 257, None),
    (layouts.pack_quantized(), 64, 256, 64 * 32 * 4 + 64 * 2 * 2 + 16),
    (layouts.pack_quantized(symmetric=False), 64, 256, 64 * 32 * 4 + 64 * 2 * 2 + 16 + 8 * 2 * 4),
    (layouts.nvfp4, 64, 256, 64 * 128 + 64 * 16 + 8),
    (layouts.nvfp4, 64, 250, None),
    (layouts.mxfp4, 64, 256, 64 * 128 + 64 * 8),
    (layouts.mxfp4, 64, 250, None),
    (layouts.nf4(), 64, 256, 64 * 128 + 256 + 4 + 1024 + 64 + 90),
    (layouts.nf4(False), 64, 256, 64 * 128 + 4 * 256 + 64 + 90),
    (layouts.int8, 64, 256, 64 * 256 + 256),
    (layouts.mlx(), 64, 256, 64 * 144),
    (layouts.mlx(Affine(3, 64)), 64, 256, 64 * 256 * 7 // 16),
    (layouts.mlx(Affine(4, 32), "mxfp4"), 64, 256, 64 * 256 * 17 // 32),
    (layouts.mlx(Affine(8, 32), "mxfp8"), 64, 256, 64 * 256 * 33 // 32),
    (layouts.mlx(Affine(4, 16), "nvfp4"), 64, 256, 64 * 144),
    (layouts.mlx(), 64, 250, None),
]


@pytest.mark.parametrize(("layout", "o", "i", "nbytes"), LAYOUTS)
def test_layouts_count_every_array(layout: Layout, o: int, i: int, nbytes: int | None) -> None:
    """Weights, scales, zero points and shapes; a matrix that fills no group is left alone."""
    assert nbytes == layout(o, i)


# --- predictions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_predicted(name: str) -> None:
    """Bytes add up, bits lie in what the format can have, and what is not verified has a band."""
    model = catalogue.model("Qwen/Qwen3-30B-A3B")
    found = predict(model, name)

    assert found.nbytes == found.quantised_bytes + found.kept_bytes
    assert model.parameters.total == found.parameters
    assert 2.4 < found.bits_per_weight <= 16
    assert (found.status == "not verified") <= (found.error is not None)


def test_what_is_left_alone_stays_in_bf16() -> None:
    """AWQ leaves embedding, head and norms; MLX quantises the first two."""
    model = catalogue.model("Qwen/Qwen3-32B")
    awq, mlx = predict(model, "awq"), predict(model, "mlx-4bit")
    norms = sum(2 * m.elements for m in matrices(model) if m.role == OTHER)

    assert norms == mlx.kept_bytes
    assert norms + 2 * 2 * model.parameters.embedding == awq.kept_bytes


def test_nvfp4_may_leave_attention_alone() -> None:
    """The band reaches to what BF16 attention takes."""
    model = catalogue.model("Qwen/Qwen3-32B")
    attention = [m for m in matrices(model) if m.role == ATTENTION]
    more = sum(2 * m.elements - layouts.nvfp4(m.n_out, m.n_in) for m in attention)

    assert Doubt(0, more) == predict(model, "nvfp4").error


def test_mtp_can_be_left_out() -> None:
    """DeepSeek V3's block is put back with the shapes that its published count proves; most quantisers drop it."""
    model = catalogue.model("deepseek-ai/DeepSeek-V3")
    with_mtp, without = predict(model, "bf16"), predict(model, "bf16", mtp=False)

    assert model.parameters.mtp == with_mtp.parameters - without.parameters
    assert () == with_mtp.notes


def test_mtp_of_unknown_shape_is_said() -> None:
    """It counts in BF16, and the band reaches down by as much."""
    model = catalogue.model("deepseek-ai/DeepSeek-V4-Flash")
    found = predict(model, "fp8")

    assert -2 * model.parameters.mtp == found.error.low
    assert "their shapes are not known" in found.notes[0]


def test_vision_counts_in_bf16() -> None:
    """A vision tower is in the files of every format."""
    model = catalogue.model("Qwen/Qwen3.5-122B-A10B")
    text = predict(model, "awq").nbytes - 2 * model.parameters.vision

    assert 0 < text < predict(model, "awq").nbytes
    assert 2 * model.parameters.total == predict(model, "bf16").nbytes - 2 * sum(m.elements for m in matrices(model) if m.float32)


def test_a_format_for_experts_needs_experts() -> None:
    """MXFP4 of a dense model is refused."""
    with pytest.raises(UnsupportedError, match="no matrix that mxfp4 quantises"):
        predict(catalogue.model("Qwen/Qwen3-32B"), "mxfp4")


def test_exact_is_said_only_of_what_was_proven() -> None:
    """The same layout for another architecture is from source."""
    assert "from source" == predict(catalogue.model("Qwen/Qwen3-30B-A3B"), "mxfp4").status


@pytest.mark.parametrize(("name", "known"), [("FP8", "fp8"), ("fp8_block", "fp8"), ("bnb-4bit", "nf4"), ("MLX", "mlx-4bit"), (" awq ", "awq")])
def test_names_are_found_in_other_spellings(name: str, known: str) -> None:
    """Case, underscores and usual names."""
    assert known == parse(name).name


def test_unknown_formats_are_refused() -> None:
    """With the nearest names."""
    with pytest.raises(UnsupportedError, match="did you mean mlx-4bit"):
        parse("mlx-4bits")


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "bf16"])
def test_llama_cpp_says_who_can_load_it(name: str) -> None:
    """No format of safetensors is a recipe of llama.cpp; the refusal names engines."""
    with pytest.raises(UnsupportedError) as caught:
        parse_recipe(name)

    assert f"--engine {parse(name).engines[0]}" in str(caught.value)


# --- the matrices behind them --------------------------------------------------------------------------

KNOWN = [row["name"] for row in catalogue.index() if row["architecture"]]
UNPROVEN = ("ernie-4.5-21b-a3b-pt", "deepseek-v4-flash", "deepseek-v4-pro", "hy4-preview", "glm-5.3-flash")
"""models whose block of multi-token prediction is of no known shape"""


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_matrices_hold_every_parameter(name: str) -> None:
    """Nothing that was published is lost on the way through GGUF and back, and no two modules share a name."""
    model = catalogue.model(name)
    table = matrices(model)
    twice = model.parameters.embedding if any("stores both" in note for note in model.notes) else 0
    dropped = model.parameters.mtp if name in UNPROVEN else 0

    assert len(table) == len({m.module for m in table})
    assert model.parameters.total - model.parameters.vision + twice - dropped == sum(m.elements for m in table)


# --- quantization_config -------------------------------------------------------------------------------


def compressed(ignore: list[str] | None = None, **weights: Any) -> dict[str, Any]:
    """A config of compressed-tensors."""
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups, "ignore": ignore or []}}


def method(name: str, **fields: Any) -> dict[str, Any]:
    """A config with a quant_method."""
    return {"quantization_config": {"quant_method": name, **fields}}


CONFIGS = [
    (method("fp8", weight_block_size=[128, 128]), ("fp8", 8, 0)),
    (method("fp8", weight_block_size=None, activation_scheme="static"), ("fp8-tensor", 8, 0)),
    (method("fbgemm_fp8"), ("fp8-channel", 8, 0)),
    (method("awq", bits=4, group_size=64, zero_point=True), ("awq", 4, 64)),
    (method("awq", w_bit=4, q_group_size=128), ("awq", 4, 128)),
    (method("gptq", bits=8, group_size=-1, sym=True), ("gptq", 8, -1)),
    (method("mxfp4"), ("mxfp4", 4, 32)),
    (method("bitsandbytes", load_in_4bit=True, bnb_4bit_use_double_quant=True), ("nf4", 4, 64)),
    (method("bitsandbytes", load_in_8bit=True), ("int8", 8, 0)),
    (method("modelopt", quant_algo="NVFP4"), ("nvfp4", 4, 16)),
    ({"quantization_config": {"quant_algo": "FP8"}}, ("fp8-tensor", 8, 0)),
    (compressed(type="int", num_bits=4, strategy="group", group_size=128), ("w4a16", 4, 128)),
    (compressed(type="int", num_bits=8, strategy="channel"), ("w8a8", 8, 0)),
    (compressed(type="float", num_bits=8, strategy="channel"), ("fp8-channel", 8, 0)),
    (compressed(type="float", num_bits=8, strategy="tensor"), ("fp8-tensor", 8, 0)),
    (compressed(type="float", num_bits=8, strategy="block", block_structure=[128, 128]), ("fp8", 8, 0)),
    (compressed(type="float", num_bits=4, strategy="tensor_group", group_size=16), ("nvfp4", 4, 16)),
    (compressed(type="float", num_bits=4, strategy="group", group_size=32), ("mxfp4", 4, 32)),
    ({"quantization": {"bits": 4, "group_size": 64}}, ("mlx-4bit", 4, 64)),
    ({"quantization": {"bits": 4, "group_size": 32, "mode": "mxfp4"}}, ("mlx-mxfp4", 4, 32)),
    ({"text_config": method("fp8", weight_block_size=[128, 128])}, ("fp8", 8, 0)),
]


@pytest.mark.parametrize(("config", "expected"), CONFIGS)
def test_configs_name_their_format(config: dict[str, Any], expected: tuple[str, int, int]) -> None:
    """Every writer's own spelling leads to one scheme, which can be predicted."""
    scheme = recognise(config)

    assert scheme is not None
    assert expected == (scheme.format, scheme.bits, scheme.group)
    assert predict_scheme(catalogue.model("Qwen/Qwen3-30B-A3B"), scheme).nbytes > 0


@pytest.mark.parametrize("config", [{}, {"quantization_config": None}, {"quantization_config": {}}])
def test_most_configs_name_none(config: dict[str, Any]) -> None:
    """A checkpoint as trained."""
    assert recognise(config) is None


@pytest.mark.parametrize(
    ("config", "error", "why"),
    [
        (method("aqlm"), UnsupportedError, "unknown quant_method 'aqlm'"),
        (method("awk"), UnsupportedError, "did you mean awq"),
        (method("modelopt", quant_algo="MIXED_PRECISION"), UnsupportedError, "unknown quant_algo"),
        (method("compressed-tensors"), UnsupportedError, "without config_groups"),
        (method("fp8", weight_block_size=[128]), CorruptError, "weight_block_size must be two counts"),
        (method("fp8", weight_block_size=[0, 128]), CorruptError, "weight_block_size must be two counts"),
        (method("awq", bits="4"), CorruptError, "bits of the quantisation must be a count"),
        (method("gptq", group_size=10**30), CorruptError, "group_size of the quantisation must be a count"),
        ({"quantization_config": "fp8"}, CorruptError, "must be an object"),
    ],
)
def test_what_is_not_known_is_said(config: dict[str, Any], error: type[TonnageError], why: str) -> None:
    """One line that names the value."""
    with pytest.raises(error) as caught:
        recognise(config)

    assert why in str(caught.value)


IGNORED = [
    ("lm_head", "lm_head", True),
    ("lm_head", "model.layers.0.mlp.gate_proj", False),
    ("gate", "model.layers.0.mlp.gate", True),
    ("gate", "model.layers.0.mlp.gate_proj", False),
    ("model.layers.1", "model.layers.1.mlp.gate_proj", True),
    ("model.layers.1", "model.layers.11.mlp.gate_proj", False),
    ("model.layers.*.self_attn", "model.layers.3.self_attn.q_proj", True),
    ("model.layers.*.self_attn", "model.layers.3.mlp.up_proj", False),
    ("re:.*self_attn.*", "model.layers.3.self_attn.q_proj", True),
    (r"re:.*mlp\.gate$", "model.layers.3.mlp.gate", True),
    (r"re:.*mlp\.gate$", "model.layers.3.mlp.gate_proj", False),
    ("re:(a+)+b", "a" * 60, False),
    ("re:" + "a*" * 20 + "b", "a" * 60, False),
    ("re:(", "lm_head", False),
    ("*" * 50, "lm_head", False),
    ("x" * 300, "x" * 300, False),
]


@pytest.mark.parametrize(("pattern", "module", "kept"), IGNORED)
def test_lists_of_modules_are_understood(pattern: str, module: str, kept: bool) -> None:
    """Names, parts of names, globs and simple expressions; one that could run for ever is not tried."""
    assert kept == Scheme("x", "fp8", 8, ignore=(pattern,)).leaves_alone(module)


def test_what_a_scheme_ignores_stays_in_bf16() -> None:
    """Attention left alone costs what the band of NVFP4 says."""
    model = catalogue.model("Qwen/Qwen3-32B")
    plain = predict(model, "nvfp4")
    scheme = recognise(method("modelopt", quant_algo="NVFP4", ignore=["lm_head", "model.layers.*.self_attn*"]))

    assert plain.nbytes + plain.error.high == predict_scheme(model, scheme).nbytes


def test_deepseek_v4s_experts_are_fp4() -> None:
    """Its config says so by its model_type alone."""
    assert recognise({"model_type": "deepseek_v4", **method("fp8", weight_block_size=[128, 128])}).fp4_experts


def test_recipes_are_no_formats() -> None:
    """llama.cpp's names are left to its recipes."""
    assert [None, None] == [find("Q4_K_M"), find("q8_0")]
