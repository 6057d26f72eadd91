"""Graphs by architecture: which file builds which, imported when first asked for."""

from collections.abc import Callable
from importlib import import_module

from tonnage.engines.llamacpp.compute.graph import Graph
from tonnage.engines.llamacpp.compute.net import Net

FAMILIES = {
    "plain": (
        "llama", "mistral3", "qwen2", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "granite", "granitemoe", "smollm3", "seed_oss",
        "arcee", "apertus", "ernie4_5", "ernie4_5-moe", "hunyuan-dense", "hunyuan-vl", "hunyuan-moe", "hy_v3", "glm4", "glm4moe",
        "minimax-m2", "deci",
    ),
    "deepseek2": ("deepseek2", "mistral4"),
}
"""module -> GGUF architectures that its `build(net) -> Graph` knows"""

_MODULES = {architecture: module for module, architectures in FAMILIES.items() for architecture in architectures}


def builder(architecture: str) -> Callable[[Net], Graph] | None:
    """What builds the graph of an architecture; None where there is no graph yet."""
    module = _MODULES.get(architecture)
    if module is None:
        return None
    build: Callable[[Net], Graph] = import_module(f"{__name__}.{module}").build
    return build
