"""What vLLM 0.33 planned and Transformers 5.23 allocated: tests/data/torch-cases.json.gz tells how it was run."""

import gzip
import json
from functools import cache
from pathlib import Path

from tonnage.frozen import replace
from tonnage.model import build

DATA = json.loads(gzip.decompress((Path(__file__).parent / "data/torch-cases.json.gz").read_bytes()))
VLLM = DATA["vllm_cases"]


@cache
def model(name):
    """The model of a case's config."""
    return build.from_config(DATA["configs"][name], name, name)


def ident(case):
    """A case in a few words."""
    return " ".join(
        [
            case["model"],
            f"tp{case['tp']}",
            *([f"pp{case['pp']}"] if case["pp"] > 1 else []),
            *(["ep"] if case["ep"] else []),
            case["kv"],
            *case["extra"],
        ]
    )


def settings(case):
    """A case's question as vLLM resolves it."""
    from tonnage.engines.vllm.settings import resolve
    from tonnage.question import from_dict

    asked = {
        "model": case["model"],
        "engine": "vllm",
        "tensor_parallel": case["tp"],
        "pipeline_parallel": case["pp"],
        "expert_parallel": "all" if case["ep"] else None,
        "kv_cache_dtype": case["kv"],
        "context": case["max_model_len"],
        "max_num_seqs": case["max_num_seqs"],
        "max_num_batched_tokens": case["max_num_batched_tokens"],
        "prefix_caching": case["prefix_caching"],
    }
    found = resolve(from_dict(asked), model(case["model"]))
    return replace(found, hybrid_manager=False) if "disable_hybrid_kv_cache_manager" in case["extra"] else found
