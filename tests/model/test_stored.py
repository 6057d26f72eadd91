"""Models of safetensors repos: what the files say goes before what the config says."""

from typing import Any

import pytest

from safetensors_writer import checkpoint, write
from tonnage.frozen import replace
from tonnage.model import catalogue
from tonnage.model.config import Config
from tonnage.model.safetensors import Header, Stored, parse
from tonnage.model.stored import from_safetensors, measure, parameters_of
from tonnage.model.types import Model
from tonnage.quant.schemes import Scheme, recognise

SMALL = "Qwen/Qwen3-0.6B"


def config_of(name: str = SMALL, **fields: Any) -> dict[str, Any]:
    """The config of a built-in model, some fields changed."""
    return {**catalogue.row(name)["config"], **fields}


def without(header: Header, part: str) -> Header:
    """The header without the tensors that have `part` in their name."""
    kept = tuple(tensor for tensor in header.tensors if part not in tensor.name)
    return replace(header, tensors=kept, tensor_bytes=sum(tensor.nbytes for tensor in kept))


def model_of(header: Header, name: str = SMALL, **fields: Any) -> Model:
    """The model of the header and a built-in config."""
    return from_safetensors(config_of(name, **fields), header, "org/name", "test")


def has_head(model: Model) -> bool:
    """Whether the GGUF has a head of its own."""
    return any(tensor.name == "output.weight" for tensor in model.tensors)


def test_a_tied_head_counts_where_it_is_stored() -> None:
    """A copy without it is smaller, whatever the family expects; parameters count it once."""
    header = checkpoint(catalogue.model(SMALL))
    twice, once = model_of(header), model_of(without(header, "lm_head"))

    assert (True, False) == (has_head(twice), has_head(once))
    assert 596_049_920 == twice.parameters.total == once.parameters.total


@pytest.mark.parametrize(("name", "blocks"), [("Qwen/Qwen3.5-0.8B", 1), ("zai-org/GLM-4.5-Air", 1)])
def test_mtp_counts_where_it_is_stored(name: str, blocks: int) -> None:
    """Finetunes drop the block and leave the config as it is."""
    model = catalogue.model(name)
    header = checkpoint(model, stacked=True)
    stripped = without(header, f"model.layers.{len(model.layers) - blocks}.")

    assert (blocks, 0) == (model_of(header, name).n_nextn, model_of(stripped, name).n_nextn)
    assert 0 == model_of(stripped, name).parameters.mtp


def test_a_resized_embedding_counts_as_stored() -> None:
    """A finetune with more tokens than its config says."""
    header = checkpoint(catalogue.model(SMALL))
    rows = tuple(t._replace(shape=(t.shape[0] + 64, t.shape[1])) if "embed_tokens" in t.name else t for t in header.tensors)

    assert 151_936 + 64 == model_of(replace(header, tensors=rows)).n_vocab


def test_a_disagreement_is_said() -> None:
    """Files that hold more or less than the config describes."""
    header = checkpoint(catalogue.model(SMALL))
    model = model_of(header, intermediate_size=3072 + 64)

    assert any("config.json describes" in note for note in model.notes)
    assert 596_049_920 == model.parameters.total


def test_published_sizes_are_those_of_the_files() -> None:
    """Bytes by dtype, in all and with the headers."""
    header = checkpoint(catalogue.model("deepseek-ai/DeepSeek-V3"), 4, stacked=True)
    published = measure(Config(config_of("deepseek-ai/DeepSeek-V3")), header)

    assert (header.tensor_bytes, header.file_bytes, 4) == (published.tensor_bytes, published.file_bytes, published.shards)
    assert {"BF16", "F32"} == published.by_dtype.keys()
    assert header.tensor_bytes == sum(nbytes for _, nbytes in published.by_dtype.values())
    assert 684_489_845_504 == published.parameters


def test_vision_is_told_by_names() -> None:
    """Towers and projectors of all spellings."""
    names = ("model.visual.blocks.0.w", "vision_tower.w", "multi_modal_projector.w", "model.audio_tower.w", "model.embed_vision.w")
    header = parse(write([Stored(name, "BF16", (10,)) for name in names] + [Stored("model.revisual.w", "BF16", (1,))]))

    assert 50 == measure(Config(config_of()), header).vision


PACKED = [
    ({"quant_method": "fp8", "weight_block_size": [128, 128]}, [("w.weight", "F8_E4M3", (4, 8)), ("w.weight_scale_inv", "F32", (1, 1))], 32),
    ({"quant_method": "awq", "bits": 4, "group_size": 8},
     [("w.qweight", "I32", (8, 2)), ("w.qzeros", "I32", (1, 2)), ("w.scales", "F16", (1, 16)), ("w.bias", "F16", (16,))], 144),
    ({"quant_method": "gptq", "bits": 8, "group_size": 8},
     [("w.qweight", "I32", (2, 16)), ("w.qzeros", "I32", (1, 4)), ("w.scales", "F16", (1, 16)), ("w.g_idx", "I32", (8,))], 128),
    ({"quant_method": "mxfp4"}, [("w_blocks", "U8", (2, 4, 1, 16)), ("w_scales", "U8", (2, 4, 1)), ("w_bias", "BF16", (2, 4))], 264),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4"},
     [("w.weight", "U8", (4, 8)), ("w.weight_scale", "F8_E4M3", (4, 1)), ("w.weight_scale_2", "F32", ()), ("w.input_scale", "F32", ())], 64),
    ({"quant_method": "bitsandbytes", "load_in_4bit": True},
     [("w.weight", "U8", (64, 1)), ("w.weight.absmax", "U8", (2,)), ("w.weight.quant_map", "F32", (16,)),
      ("w.weight.nested_absmax", "F32", (1,)), ("w.weight.nested_quant_map", "F32", (256,)),
      ("w.weight.quant_state.bitsandbytes__nf4", "U8", (90,))], 128),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True},
     [("w.weight", "I8", (4, 8)), ("w.SCB", "F32", (4,)), ("w.weight_format", "U8", ())], 32),
    ({"bits": 3, "group_size": 64}, [("w.weight", "U32", (2, 6)), ("w.scales", "BF16", (2, 1)), ("w.biases", "BF16", (2, 1))], 128),
    ({"bits": 4, "group_size": 64, "gate": {"bits": 8, "group_size": 64}}, [("gate.weight", "U32", (2, 16)), ("gate.scales", "BF16", (2, 1))], 128),
]  # fmt: skip


@pytest.mark.parametrize(("quantization", "tensors", "count"), PACKED)
def test_packed_weights_count_one_by_one(quantization: dict[str, Any], tensors: list[tuple[Any, ...]], count: int) -> None:
    """Scales, zero points and tables are no parameters."""
    scheme = recognise({"quantization_config": quantization})

    assert count == sum(parameters_of(Stored(*tensor), scheme) for tensor in tensors)


def test_a_packed_gpt_oss_keeps_its_types() -> None:
    """The converter repacks MXFP4 as it is; the files' bytes are those that were published."""
    model = model_of(gpt_oss_header(), "openai/gpt-oss-20b")

    assert "mxfp4" in {tensor.type for tensor in model.tensors}
    assert ("mxfp4", 13_761_264_768, 20_914_757_184) == (
        model.published.format, model.published.tensor_bytes, model.published.parameters,
    )  # fmt: skip


def gpt_oss_header() -> Header:
    """gpt-oss-20b's checkpoint: experts as blocks and scales."""
    rows = []
    for tensor in checkpoint(catalogue.model("openai/gpt-oss-20b"), stacked=True).tensors:
        if len(tensor.shape) == 3:
            experts, n_out, n_in = tensor.shape
            name = tensor.name.removesuffix(".weight")
            rows += [Stored(f"{name}_blocks", "U8", (experts, n_out, n_in // 32, 16)), Stored(f"{name}_scales", "U8", (experts, n_out, n_in // 32))]
        else:
            rows.append(tensor)
    return parse(write(rows))


@pytest.mark.parametrize(
    ("quantization", "why"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "converter does not read awq checkpoints"),
        ({"quant_method": "aqlm"}, "parameters of packed tensors are not told apart"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "quantised as fp8"),
    ],
)
def test_quantised_checkpoints_are_said(quantization: dict[str, Any], why: str) -> None:
    """What the GGUF would be made from."""
    model = model_of(checkpoint(catalogue.model(SMALL)), quantization_config=quantization)

    assert why in " ".join(model.notes)


def test_a_weight_is_a_weight_without_a_scheme() -> None:
    """Of a checkpoint as trained every element counts, but for what can be reckoned."""
    assert [6, 0] == [parameters_of(Stored(name, "F32", (6,)), None) for name in ("a.scales", "rotary_emb.inv_freq")]
    assert 6 == parameters_of(Stored("a.weight", "F8_E4M3", (6,)), Scheme("fp8", "fp8", 8))
