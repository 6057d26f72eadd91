"""What llama.cpp tries before it reserves: whether flash attention stays."""

from typing import Any

import pytest

import llama_cases
from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.compute.families import builder
from tonnage.engines.llamacpp.compute.reserve import reserved
from tonnage.question import from_dict

MOVED = {"device": ["24GB", "24GB"], "override_tensor": r"blk\.[0-9]\.=CUDA1"}
"""the first ten blocks' weights on the second GPU, their caches on the first: attention sinks lie away from the keys"""


@pytest.mark.parametrize(
    ("given", "stays"),
    [
        ({}, True),
        (MOVED, False),
        (MOVED | {"override_tensor": r"blk\.[0-9]\.ffn_.*=CUDA1"}, True),
        (MOVED | {"flash_attn": "on"}, True),
        (MOVED | {"cache_type_v": "q8_0"}, True),
        (MOVED | {"cache_type_k": "q8_0"}, False),
    ],
    ids=str,
)
def test_flash_attention_is_given_up_where_it_strays(given: dict[str, Any], stays: bool) -> None:
    """At `auto` alone, and never with quantised values, which need it."""
    model = llama_cases.model("gpt-oss-20b")
    settings, placement = placement_of(from_dict({"model": "gpt-oss-20b", "n_ctx": 8192, "slots": 1, **given}), model)
    build = builder(model.architecture)
    assert build is not None
    (graph,) = reserved(build, model, model.tensors, settings, placement)

    assert stays == any(node.op == "FLASH_ATTN_EXT" for node in graph.nodes)
