"""The functions of ggml-cuda by which llama.cpp decides what a GPU does, taken out of a checkout, without their kernels.

usage: python extract.py LLAMA.CPP > engine.inc
"""

import re
import sys
from pathlib import Path

FUNCTIONS = (
    ("fwht.cu", "ggml_cuda_op_mul_mat_use_fwht"),
    ("topk-moe.cu", "ggml_cuda_should_use_topk_moe"),
    ("ggml-cuda.cu", "ggml_cuda_should_fuse_mul_mat"),
    ("ggml-cuda.cu", "ggml_cuda_match_shared_expert"),
    ("ggml-cuda.cu", "ggml_cuda_topk_moe_fusion"),
    ("ggml-cuda.cu", "ggml_cuda_match_moe_weighted_reduction"),
    ("fattn.cu", "ggml_cuda_fattn_kv_type_supported"),
    ("fattn.cu", "ggml_cuda_get_best_fattn_kernel"),
    ("fattn-common.cuh", "ggml_cuda_flash_attn_ext_get_f16_extra_data"),
    ("fattn.cu", "ggml_cuda_flash_attn_ext_get_alloc_size"),
    ("fattn.cu", "ggml_cuda_flash_attn_ext_supported"),
    ("lightning-indexer.cu", "ggml_cuda_lightning_indexer_supported"),
    ("ggml-cuda.cu", "ggml_backend_cuda_buffer_type_get_alloc_size"),
    ("ggml-cuda.cu", "get_op_batch_size"),
    ("ggml-cuda.cu", "ggml_backend_cuda_device_supports_op"),
)
TYPES = (
    ("topk-moe.cuh", "struct ggml_cuda_topk_moe_args"),
    ("ggml-cuda.cu", "struct ggml_cuda_moe_weighted_reduction_match"),
    ("fattn.cu", "enum best_fattn_kernel"),
    ("fattn-common.cuh", "struct ggml_cuda_flash_attn_ext_f16_extra_data"),
)
LAST_FUSION = "#ifdef USE_CUDA_GRAPH"
"""behind it graph_optimize orders streams, which is off unless GGML_CUDA_GRAPH_OPT asks for it"""


def function(text: str, name: str) -> str:
    """The definition of a function, from its first word to its closing brace."""
    head = re.search(rf"^[\w:* ]*\b{name}\([^;{{]*?\)\s*\{{", text, re.MULTILINE)
    if head is None:
        raise SystemExit(f"no {name}: another version of llama.cpp?")
    return text[head.start() : text.index("\n}\n", head.end()) + 3]


def type_(text: str, name: str) -> str:
    """The definition of a struct or an enum."""
    start = text.index(f"{name} {{")
    return text[start : text.index("\n};", start) + 4]


def main(llama: Path) -> None:
    def read(name: str) -> str:
        return (llama / "ggml/src/ggml-cuda" / name).read_text()

    most = re.search(r"^static constexpr int MOE_WEIGHTED_REDUCTION_MAX_EXPERTS.*$", read("ggml-cuda.cu"), re.MULTILINE)
    optimise = function(read("ggml-cuda.cu"), "ggml_backend_cuda_graph_optimize")
    parts = [type_(read(file), name) for file, name in TYPES]
    parts += [most[0] if most else "", *(function(read(file), name) for file, name in FUNCTIONS)]
    print("\n\n".join([*parts, optimise[: optimise.index(LAST_FUSION)] + "}\n"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
