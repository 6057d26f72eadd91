"""Pages, groups, blocks, tokens and concurrency, against vLLM's own plan and public logs."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tonnage.engines.vllm.groups import blocks_in, blocks_of, blocks_per_request, concurrency, kv_tokens, largest_context, layout_of
from tonnage.engines.vllm.pages import STATE, pages
from tonnage.engines.vllm.settings import resolve
from tonnage.question import from_dict
from tonnage.units import GIB
from torch_cases import DATA, VLLM, ident, model, settings


def of_group(page, layers, asked):
    """A group as the cases list it."""
    return layers, page.block, page.nbytes, blocks_of(page, asked.context, asked)


@pytest.mark.parametrize("case", VLLM, ids=ident)
def test_pages_are_the_engines_own(case):
    """Layers of every kind with block, bytes and the bytes before padding, on the first stage."""
    asked = settings(case)
    found = [page for i, page in pages(model(case["model"]), asked) if i < len(model(case["model"]).layers) // case["pp"]]
    counted = {(page.block, page.nbytes, page.unpadded, page.kind == STATE): 0 for page in found}
    for page in found:
        counted[page.block, page.nbytes, page.unpadded, page.kind == STATE] += 1
    expected = {}
    for spec in case["layer_specs"][0]:
        key = (spec["block_size"], spec["page_bytes"], spec["unpadded_page_bytes"], spec["spec"] == "MambaSpec")
        expected[key] = expected.get(key, 0) + spec["layers"]

    assert expected == counted


@pytest.mark.parametrize("case", VLLM, ids=ident)
def test_groups_are_the_engines_own(case):
    """Sizes, blocks and the blocks of one request."""
    asked = settings(case)
    layout = layout_of(model(case["model"]), asked)
    expected = sorted((g["n_layers"], g["block_size"], g["page_size_bytes"], g["blocks_per_max_req"]) for g in case["groups"])

    assert expected == sorted(of_group(group.page, len(group.layers), asked) for group in layout.groups)
    assert (case["block_size"], case["max_in_flight_tokens"]) == (layout.block, asked.in_flight)


@pytest.mark.parametrize("case", VLLM, ids=ident)
def test_blocks_tokens_and_concurrency_are_the_engines_own(case):
    """For every memory that was tried; where one request does not fit, the largest that does."""
    asked = settings(case)
    layout = layout_of(model(case["model"]), asked)
    for result in case["results"]:
        blocks = blocks_in(layout, [result["avail_bytes"]] * case["pp"])
        if "error" in result:
            assert f"maximum model length is {largest_context(layout, blocks, asked)}." in result["error"]
            continue
        expected = [result[key] for key in ("num_blocks", "bytes_per_block_rank0", "kv_tokens", "max_concurrency")]
        told = [blocks, layout.bytes_per_block(), kv_tokens(layout, blocks, asked), round(concurrency(layout, blocks, asked), 4)]
        assert expected == told


def planned(name, available, **keys):
    """(block, bytes a block, blocks, tokens, concurrency) of a question."""
    asked = resolve(from_dict({"model": name, "engine": "vllm", **keys}), model(name))
    layout = layout_of(model(name), asked)
    blocks = blocks_in(layout, [int(available)] * asked.ranks.pp)
    return layout.block, layout.bytes_per_block(), blocks, kv_tokens(layout, blocks, asked), round(concurrency(layout, blocks, asked), 2)


LOGS = [
    ("https://github.com/noonghunna/club-3090/issues/612", "qwen3.5-35b-a3b", 5.98 * GIB, (567978, 4.33),
     {"context": 131072, "kv_cache_dtype": "fp8", "engine_version": "0.24.0"}),
    ("https://github.com/vllm-project/vllm/issues/40691", "qwen3.5-27b", 1487 * 51380224, (290864, 33.04),
     {"context": 32768, "engine_version": "0.19.0"}),
    ("Qwen3.5-122B NVFP4 on Thor, quoted", "qwen3.5-122b-a10b", 21.43 * GIB, (467712, 11.79),
     {"context": 131072, "kv_cache_dtype": "fp8", "engine_version": "0.20", "prefix_caching": True}),
    ("the same with MTP(1), quoted", "qwen3.5-122b-a10b", 24.05 * GIB, (482080, 6.42),
     {"context": 262144, "kv_cache_dtype": "fp8", "engine_version": "0.20", "prefix_caching": True, "speculative": "mtp"}),
]  # fmt: skip


@pytest.mark.parametrize(("log", "name", "available", "expected", "keys"), LOGS, ids=[row[0] for row in LOGS])
def test_public_logs_are_reproduced_to_the_last_token(log, name, available, expected, keys):
    """Tokens and concurrency as vLLM printed them, by the rules of the version that did."""
    assert expected == planned(name, available, **keys)[3:]


def test_a_log_of_one_rank_is_met_within_its_spread():
    """Qwen3-235B on four ranks logged one rank's memory, while the smallest rank decides."""
    row = DATA["public_log_checks"][2]
    _, per_block, blocks, tokens, _ = planned("qwen3-235b-a22b", row["avail_gib"] * GIB, context=40960, tensor_parallel=4, engine_version="0.11")

    assert [row["computed"][key] for key in ("bytes_per_block", "num_blocks", "tokens")] == [per_block, blocks, tokens]
    assert abs(tokens / row["log"]["tokens"] - 1) < 0.012


FURTHER = [
    ("qwen3.5-35b-a3b", 5.98, (2112, 21626880, 296, 538851, 4.11), {"context": 131072, "kv_cache_dtype": "fp8"}),
    ("nemotron-h-8b", 20, (1040, 17039360, 1260, 396996, 48.46), {"context": 8192}),
    ("granite-4.0-h-small", 10, (528, 8650752, 1241, 589349, 4.50), {"context": 131072}),
    ("qwen3.5-122b-a10b", 16, (2112, 25952256, 661, 1293113, 4.93), {"context": 262144, "tensor_parallel": 2}),
    ("qwen3.5-122b-a10b", 16, (576, 7077888, 2427, 1368222, 5.22), {"context": 262144, "tensor_parallel": 8}),
    ("llama-3.1-70b", 40, (16, 655360, 65536, 1048576, 8.0), {"context": 131072, "tensor_parallel": 4, "pipeline_parallel": 2}),
    ("qwen3-235b-a22b", 20, (16, 770048, 27887, 446192, 10.89), {"context": 40960, "tensor_parallel": 8}),
]
"""further runs of the same planning code"""


@pytest.mark.parametrize(("name", "gib", "expected", "keys"), FURTHER, ids=lambda value: str(value)[:60])
def test_further_plans_come_out_even(name, gib, expected, keys):
    """Block, bytes of a block, blocks, tokens, concurrency."""
    assert expected == planned(name, gib * GIB, **keys)


@hypothesis_settings(deadline=None, max_examples=40)
@given(st.sampled_from(["llama-3.1-8b", "gemma-3-27b", "qwen3.5-27b", "deepseek-v3"]), st.integers(1, 40000), st.integers(1, 131072))
def test_the_largest_context_is_the_last_that_fits(name, blocks, context):
    """One token more needs more blocks than there are, unless the question wants no more."""
    asked = resolve(from_dict({"model": name, "engine": "vllm", "context": context}), model(name))
    layout = layout_of(model(name), asked)
    most = largest_context(layout, blocks, asked)

    assert most == 0 or blocks_per_request(layout, most, asked) < blocks
    assert most == context or blocks_per_request(layout, most + 1, asked) >= blocks
