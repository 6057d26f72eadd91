"""The families: which file reads which config and which GGUF architecture.

A family's module has `convert(config) -> Checkpoint` (what llama.cpp's converter does) and
`layers(hparams) -> tuple[Layer, ...]` (what llama.cpp's loader does). Modules are imported when
first asked for.
"""

from importlib import import_module
from types import ModuleType
from typing import NamedTuple

from tonnage.errors import UnsupportedError, nearest


class Family(NamedTuple):
    """One module, and the names under which its models come."""

    module: str
    model_types: tuple[str, ...]
    """config.json's model_type, the text model's where there are two"""
    architectures: tuple[str, ...]
    """GGUF's general.architecture"""


FAMILIES = (
    Family("llama", ("llama", "mistral", "mixtral", "ministral3"), ("llama", "mistral3")),
    Family("qwen2", ("qwen2", "qwen2_5_vl", "qwen2_vl"), ("qwen2", "qwen2vl")),
    Family("qwen3", ("qwen3", "qwen3_moe", "qwen3_vl_text", "qwen3_vl_moe_text"), ("qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe")),
    Family("qwen3next", ("qwen3_next",), ("qwen3next",)),
    Family("qwen35", ("qwen3_5_text", "qwen3_5_moe_text"), ("qwen35", "qwen35moe")),
    Family("qwen4exp", ("qwen4_exp_text",), ("qwen4exp",)),
    Family("gemma2", ("gemma2",), ("gemma2",)),
    Family("gemma3", ("gemma3_text",), ("gemma3",)),
    Family("gemma3n", ("gemma3n_text",), ("gemma3n",)),
    Family("gemma4", ("gemma4_text", "gemma4_unified_text"), ("gemma4",)),
    Family("gpt_oss", ("gpt_oss",), ("gpt-oss",)),
    Family("phi3", ("phi3",), ("phi3",)),
    Family("llama4", ("llama4_text",), ("llama4",)),
    Family("cohere", ("cohere", "cohere2", "cohere2_moe"), ("command-r", "cohere2", "cohere2moe")),
    Family("olmo2", ("olmo2", "olmo3"), ("olmo2",)),
    Family("exaone", ("exaone4", "exaone4_5_text", "exaone_moe"), ("exaone4", "exaone-moe")),
    Family("glm4", ("glm4",), ("glm4",)),
    Family("glm4moe", ("glm4_moe", "solar_open"), ("glm4moe",)),
    Family("muse_glimmer", ("muse_glimmer_text",), ("muse-glimmer",)),
    Family("step35", ("step3p5",), ("step35",)),
    Family("laguna", ("laguna",), ("laguna",)),
    Family("afmoe", ("afmoe",), ("afmoe",)),
    Family("deepseek2", ("deepseek_v2", "deepseek_v3", "kimi_k2", "glm4_moe_lite", "mistral4"), ("deepseek2", "mistral4")),
    Family("deepseek32", ("deepseek_v32", "glm_moe_dsa", "hy_v4"), ("deepseek32", "glm-dsa", "hy_v4")),
    Family("deepseek4", ("deepseek_v4",), ("deepseek4",)),
    Family("minimax", ("minimax_m2", "minimax_m3_vl"), ("minimax-m2", "minimax-m3")),
    Family("mimo2", ("mimo_v2", "mimo_v2_flash"), ("mimo2",)),
    Family("kimi_linear", ("kimi_linear",), ("kimi-linear", "kimi-k3")),
    Family("glm5_next", ("glm5_next_text",), ("glm5-next",)),
    Family("nemotron_h", ("nemotron_h",), ("nemotron_h", "nemotron_h_moe")),
    Family("granite", ("granite", "granitemoe", "granitemoeshared", "granitemoehybrid"), ("granite", "granitemoe", "granitehybrid")),
    Family("falcon_h1", ("falcon_h1",), ("falcon-h1",)),
    Family("jamba", ("jamba",), ("jamba",)),
    Family("mamba", ("mamba", "mamba2"), ("mamba", "mamba2")),
    Family("lfm2", ("lfm2", "lfm2_moe"), ("lfm2", "lfm2moe")),
    Family("deci", ("nemotron-nas",), ("deci",)),
    Family("seed_oss", ("seed_oss",), ("seed_oss",)),
    Family("smollm3", ("smollm3",), ("smollm3",)),
    Family("arcee", ("arcee",), ("arcee",)),
    Family("apertus", ("apertus",), ("apertus",)),
    Family("mellum", ("mellum",), ("mellum",)),
    Family("ernie45", ("ernie4_5", "ernie4_5_moe"), ("ernie4_5", "ernie4_5-moe")),
    Family("hunyuan", ("hunyuan_v1_dense", "hunyuan_v1_moe"), ("hunyuan-dense", "hunyuan-moe")),
    Family("hy_v3", ("hy_v3",), ("hy_v3",)),
    Family("plain", (), (
        "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom", "chameleon", "chatglm", "codeshell", "cogvlm", "dbrx", "deepseek",
        "deepseek2-ocr", "dots1", "exaone", "falcon", "gemma", "gpt2", "gptneox", "grok", "grovemoe", "hunyuan_vl", "internlm2", "jais", "jais2",
        "maincoder", "minicpm", "minicpm3", "mpt", "nemotron", "olmo", "olmoe", "openelm", "orion", "paddleocr", "pangu-embedded", "phi2", "phimoe",
        "plamo", "plm", "qwen", "qwen2moe", "refact", "stablelm", "starcoder", "starcoder2", "talkie", "xverse",
    )),
)  # fmt: skip


def family_of_config(model_types: tuple[str, ...]) -> ModuleType:
    """The family of a config, by the text model's type first; UnsupportedError if there is none."""
    for model_type in reversed(model_types):
        for family in FAMILIES:
            if model_type in family.model_types:
                return import_module(f"{__name__}.{family.module}")
    known = [t for family in FAMILIES for t in family.model_types]
    asked = model_types[-1] if model_types else ""
    raise UnsupportedError(f"no rules for configs of model_type {asked!r} yet: give a GGUF file of it", nearest(asked, known))


def family_of_architecture(architecture: str) -> ModuleType:
    """The family of a GGUF's general.architecture; UnsupportedError if there is none."""
    for family in FAMILIES:
        if architecture in family.architectures:
            return import_module(f"{__name__}.{family.module}")
    known = [a for family in FAMILIES for a in family.architectures]
    raise UnsupportedError(f"no rules for GGUF architecture {architecture!r}", nearest(architecture, known))
