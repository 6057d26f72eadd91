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
    "deepseek32": ("deepseek32", "glm-dsa"),
    "minimax_m3": ("minimax-m3",),
    "deepseek4": ("deepseek4",),
    "glm5_next": ("glm5-next",),
    "qwen4exp": ("qwen4exp",),
    "hy_v4": ("hy_v4",),
    "mamba": ("mamba", "mamba2", "jamba", "granitehybrid", "falcon-h1"),
    "lfm2": ("lfm2", "lfm2moe"),
    "qwen35": ("qwen3next", "qwen35", "qwen35moe"),
    "kimi": ("kimi-linear", "kimi-k3"),
    "nemotron_h": ("nemotron_h", "nemotron_h_moe"),
    "windowed": (
        "gemma2", "gemma3", "olmo2", "exaone4", "exaone-moe", "muse-glimmer", "step35", "laguna", "afmoe", "mimo2", "mellum", "gpt-oss",
    ),
    "gemma3n": ("gemma3n",),
    "gemma4": ("gemma4",),
    "llama4": ("llama4",),
    "cohere": ("command-r", "cohere2", "cohere2moe"),
    "phi3": ("phi3",),
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
