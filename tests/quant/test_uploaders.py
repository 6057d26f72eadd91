"""Files that uploaders published, held against the mixes that are known of them."""

import pytest

import oracle
import shapes
from tonnage.errors import UnsupportedError
from tonnage.model.types import Tensor
from tonnage.quant import uploaders
from tonnage.quant.recipes import parse
from tonnage.quant.rules import quantise
from tonnage.units import GIB, pad

MODELS = oracle.load("llama-quantize-cases")
QWEN35_9B = MODELS["qwen3.5-27b"]["shapes"] | {"n_layer": 32, "n_embd": 4096, "n_ff": 12288, "n_head": 16, "ssm_nv": 32}
LLAMA_3B = MODELS["llama-3.2-1b"]["shapes"] | {"n_layer": 28, "n_embd": 3072, "n_head": 24, "head_dim": 128}

# Bytes of whole files, as the catalogues of LlamaBarn (commit fb8b18b54d), gpt4all (cd70db29) and PocketPal list them, 2024 to April 2026;
# the last column is the metadata without the tensor table, of which the tokenizer is nearly all: constant per tokenizer.
FILES = [
    ("qwen3.5-9b", "unsloth/Q4_K_M", 5_680_522_464, 10_943_500),
    ("qwen3.5-27b", "unsloth/Q4_K_M", 16_740_812_704, 10_943_500),
    ("qwen3.5-122b-a10b", "unsloth/Q4_K_M", 76_536_964_608, 10_943_500),
    ("qwen3.5-397b-a17b", "unsloth/Q4_K_M", 244_093_630_912, 10_943_500),
    ("gemma-3-1b", "ggml-org/Q4_0", 720_425_600, 6_513_100),
    ("llama-3.2-3b", "bartowski/Q4_0", 1_921_909_280, 7_822_900),
    ("llama-3.2-3b", "bartowski/Q6_K", 2_643_853_856, 7_822_900),
    ("ministral-3-8b", "mistralai/Q4_K_M", 5_198_911_904, 8_392_000),
    ("qwen3-30b-a3b", "Qwen/Q4_K_M", 18_556_687_168, 5_934_300),
    ("mistral-7b", "Q4_0", 4_108_916_384, 717_600),
]


def described(model: str) -> tuple[shapes.Shapes, tuple[Tensor, ...]]:
    """The shapes of a model, and its tensors."""
    more = {"qwen3.5-9b": QWEN35_9B, "llama-3.2-3b": LLAMA_3B}
    found = more.get(model) or MODELS[model]["shapes"]
    return found, shapes.tensors(found)


def file_bytes(model: str, quant: str) -> int:
    """Tensor table and padded tensors of the file."""
    s, tensors = described(model)
    quantised = quantise(s["arch"], shapes.metadata(s), tensors, parse(quant))
    return sum(24 + len(t.name) + 8 * len(t.shape) + pad(t.nbytes, 32) for t in quantised)


@pytest.mark.parametrize(("model", "quant", "published", "metadata"), FILES)
def test_published_files_have_the_predicted_size(model: str, quant: str, published: int, metadata: int) -> None:
    """Whole files less tokenizer and metadata, which vary by some thousand bytes within a family."""
    assert abs(published - file_bytes(model, quant) - metadata) < 4_096


@pytest.mark.parametrize(
    ("quant", "embedding", "output", "attn_k"),
    [("bartowski/Q4_K_L", "q8_0", "q8_0", "q4_K"), ("bartowski/Q3_K_XL", "q8_0", "q8_0", "q3_K"), ("bartowski/Q4_K_M", "q4_K", "q6_K", "q4_K")],
)
def test_bartowski_keeps_embedding_and_head(quant: str, embedding: str, output: str, attn_k: str) -> None:
    """The names in _L and _XL are the plain recipe with both at Q8_0."""
    s, tensors = described("llama-3.1-8b")
    found = {t.name: t.type for t in quantise(s["arch"], shapes.metadata(s), tensors, parse(quant))}

    assert (embedding, output, attn_k) == (found["token_embd.weight"], found["output.weight"], found["blk.9.attn_k.weight"])


def test_i1_means_an_importance_matrix() -> None:
    """An i1-Q4_0 of mradermacher has four ffn_down at Q4_1."""
    s, tensors = described("llama-3.1-8b")
    plain, i1 = (quantise(s["arch"], shapes.metadata(s), tensors, parse(f"mradermacher/{name}")) for name in ("Q4_0", "i1-Q4_0"))

    assert (0, 4) == tuple(sum(t.type == "q4_1" for t in found) for found in (plain, i1))


@pytest.mark.parametrize(("name", "gib"), [("IQ4_XS", 61.5), ("Q2_K", 41.5), ("i1-IQ1_S", 23.1)])
def test_old_rules_are_part_of_a_row(name: str, gib: float) -> None:
    """The Qwen3.5-122B of mradermacher, as a catalogue lists it in 0.1 GiB, was made by the rules of 2025."""
    assert gib == round((file_bytes("qwen3.5-122b-a10b", f"mradermacher/{name}") + 10_943_500) / GIB, 1)


@pytest.mark.parametrize(
    ("quant", "architecture"),
    [
        ("bartowski/Q4_K_M", "qwen35moe"),
        ("bartowski/Q4_K_L", "gpt-oss"),
        ("unsloth/Q5_K_M", "qwen35"),
        ("ggml-org/Q8_0", "mistral3"),
        ("Qwen/Q8_0", "llama"),
    ],
)
def test_unknown_mixes_are_refused(quant: str, architecture: str) -> None:
    """A plain name does not make a plain file: where it is known to deviate, the header has to tell."""
    with pytest.raises(UnsupportedError, match="give the GGUF file itself"):
        quantise(architecture, {"block_count": 1}, (), parse(quant))


def test_what_the_question_asks_for_is_kept() -> None:
    """An override beats the uploader's own."""
    resolved = uploaders.resolve(parse("bartowski/Q4_K_L", output_type="f16"), "llama")

    assert ("Q4_K_M", "f16", "q8_0", True, "") == (
        resolved.name, resolved.output_type, resolved.embedding_type, resolved.imatrix, resolved.uploader,
    )  # fmt: skip


@pytest.mark.parametrize("row", uploaders.PUBLISHED, ids=lambda row: f"{row.uploader}-{row.names[0]}-{'-'.join(row.architectures)}")
def test_rows_are_sound(row: uploaders.Published) -> None:
    """Every row says how well it is known, and leads to a recipe of llama-quantize."""
    assert row.status in ("exact", "inferred", "unknown")
    assert row.why
    if row.status != "unknown":
        architecture = (*row.architectures, "llama")[0]
        resolved = {uploaders.resolve(parse(f"{row.uploader}/{name}"), architecture).name for name in row.names}
        assert resolved <= set(uploaders.PLAIN)
