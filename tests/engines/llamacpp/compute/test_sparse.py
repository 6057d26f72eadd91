"""Sparse attention beyond the stored runs: sizes that build 11434 reported on the CPU for header-only files of the same tensors."""

from collections.abc import Iterator
from functools import cache

import pytest

import llama_cases
from tonnage.answer import Part
from tonnage.engines.llamacpp.compute import families, periods
from tonnage.engines.llamacpp.compute.net import Net
from tonnage.engines.llamacpp.compute.reserve import reserved
from tonnage.engines.llamacpp.placement import Placement, place
from tonnage.engines.llamacpp.settings import resolve
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.estimation import estimate
from tonnage.model import catalogue
from tonnage.model.build import from_header
from tonnage.model.types import Model, Tensor
from tonnage.question import Question, from_dict

pytestmark = pytest.mark.slow

GLM, HY4, DEEPSEEK = "zai-org/GLM-5.3-Flash", "tencent/Hy4-preview", "deepseek-ai/DeepSeek-V4-Flash"

RUNS = [
    (HY4, "-c 4096", None, 666_914_816),
    (HY4, "-c 32768", None, 767_578_112),
    (HY4, "-c 32768", 1, 767_576_096),
    (HY4, "-c 131072", 1, 1_170_229_280),
    (HY4, "-c 32768 -fa off", None, 5_028_990_976),
    (HY4, "-c 8192 -np 3", None, 665_590_976),
    (HY4, "-c 8192 -np 4", None, 662_720_512),
    (HY4, "-c 8192 -np 4 -kvu", 4, 675_301_408),
    (HY4, "-c 8192 -ctk q8_0 -ctv q8_0", None, 675_303_424),
    (HY4, "-c 16384 -ub 2048", None, 2_768_322_560),
    (HY4, "-c 2048 -ub 8", None, 10_355_008),
    (GLM, "-c 1024", None, 375_989_984),
    (GLM, "-c 8192 -np 3", None, 378_489_856),
    (GLM, "-c 16384 -ub 2048", None, 1_537_344_480),
    (GLM, "-c 8192 -ub 24", None, 21_419_648),
    (GLM, "-c 2048 -ub 8", None, 11_774_656),
    (GLM, "-c 8192 -ub 16", None, 149_736_160),
    (GLM, "-c 8192 -ub 16 -np 4", None, 149_539_552),
    (GLM, "-c 8192 -ub 16 -np 4 -kvu", 4, 150_000_320),
    (GLM, "-c 8192 -ub 8 -ctk q8_0 -ctv q8_0", None, 74_906_112),
    (GLM, "-c 32768 -ub 8 -fa off", None, 76_063_232),
    (GLM, "-c 32768 -ub 1", 1, 67_631_328),
]

DENSE_HY4_RUNS = [
    ("-c 4096", None, 335_560_704),
    ("-c 32768", 1, 364_918_816),
    ("-c 32768 -fa off", None, 4_668_276_736),
    ("-c 8192 -np 4", None, 333_463_552),
]
"""Hy4 whose file has neither the indexer's tensors nor its metadata"""


@pytest.mark.parametrize(("hub_id", "flags", "outputs", "expected"), RUNS)
def test_the_buffer_is_the_engines(hub_id: str, flags: str, outputs: int | None, expected: int) -> None:
    """To the byte, and called exact; batches up to 16 tokens gather what they attend to."""
    parts = list(compute_parts(on_cpu(hub_id, flags, outputs), catalogue.model(hub_id)))

    assert [(expected, None)] == [(part.bytes, part.error) for part in parts]


@pytest.mark.parametrize(("flags", "outputs", "expected"), DENSE_HY4_RUNS)
def test_hy4_without_an_indexer_attends_to_everything(flags: str, outputs: int | None, expected: int) -> None:
    """Its file has one cache, and no choice of tokens."""
    parts = list(compute_parts(on_cpu(HY4, flags, outputs), dense_hy4()))

    assert [(expected, None)] == [(part.bytes, part.error) for part in parts]


@cache
def dense_hy4() -> Model:
    """Hy4's catalogue entry as a file without indexer."""
    model = catalogue.model(HY4)
    question = on_cpu(HY4, "-c 4096", 1)
    tensors = [t for t in stored_tensors(model, recipe_of(question, model), question.mtp) if "indexer" not in t.name]
    kept = {f"hy_v4.{key}": value for key, value in model.hparams.items() if "indexer" not in key}
    metadata = {"general.architecture": "hy_v4", **kept}
    return from_header(metadata, tensors, "hy4", "hy4.gguf", file_bytes=sum(t.nbytes for t in tensors))


def on_cpu(hub_id: str, flags: str, outputs: int | None) -> Question:
    """llama.cpp's flags as a question about the CPU alone."""
    return llama_cases.question({"model": hub_id, "flags": flags, "outputs": outputs}, quant="Q4_K_M", backend="cpu")


def compute_parts(question: Question, model: Model) -> Iterator[Part]:
    """The compute buffers of an answer."""
    return (part for device in estimate(question, model).devices for part in device.parts if part.part == "compute")


@pytest.mark.parametrize("hub_id", [GLM, HY4, DEEPSEEK])
def test_no_block_of_sparse_attention_is_cut(hub_id: str) -> None:
    """Constants of every block are allocated before the first operation, so that each of them counts."""
    model, tensors, placement = placed(on_gpu(hub_id))

    assert tuple(range(len(model.layers) - model.n_nextn)) == periods.needed_blocks(model, tensors, placement)


# --- residual streams -----------------------------------------------------------------------------------


def test_streams_in_single_steps_are_as_many_operations_as_the_engine_counts() -> None:
    """GLM-5.3-Flash at 8,192 tokens: 7,697 nodes, and 14,717 where the fused operation is given up."""
    question = on_cpu(GLM, "-c 8192", None)
    model, tensors, placement = placed(question)
    settings, build = resolve(question, model), families.builder(model.architecture)
    assert build is not None
    counts = [len(build(Net(model, tensors, settings, placement, given_up=frozenset(ops))).nodes) for ops in ((), ("DSV4_HC_POST",))]

    assert [7_697, 14_717] == counts


@pytest.mark.parametrize(
    ("hub_id", "options", "fused"),
    [(GLM, {}, True), (GLM, {"cpu_moe": True}, True), (GLM, {"gpu_layers": 20}, False), (DEEPSEEK, {"gpu_layers": 20}, True)],
)
def test_streams_are_dealt_step_by_step_where_layers_meet(hub_id: str, options: dict[str, object], fused: bool) -> None:
    """The last host layer's streams are dealt on the GPU of the next, unless the model pins its layers' last operation."""
    question = on_gpu(hub_id, **options)
    model, tensors, placement = placed(question)
    build = families.builder(model.architecture)
    assert build is not None
    graph = next(reserved(build, model, tensors, resolve(question, model), placement))

    assert fused == any(node.op == "DSV4_HC_POST" for node in graph.nodes)


@pytest.mark.slow
def test_streams_of_many_slots_are_mixed_step_by_step() -> None:
    """With so many slots the trial batch is offloaded, so that no operation on streams stays with its layer."""
    question = on_gpu(GLM, gpu_layers=20, slots=64)

    assert all(part.error is None for part in compute_parts(question, catalogue.model(GLM)))


def on_gpu(hub_id: str, **options: object) -> Question:
    """A question about one GPU."""
    return from_dict({"model": hub_id, "quant": "Q4_K_M", "backend": "cuda", "n_ctx": 32768, "slots": 1, "kv_unified": False, **options})


def placed(question: Question) -> tuple[Model, tuple[Tensor, ...], Placement]:
    """The model of a question, its tensors, and where they lie."""
    model = catalogue.model(question.model)
    devices = [] if question.backend == "cpu" else [1]
    return model, stored_tensors(model, recipe_of(question, model), question.mtp), place(question, model, devices)
