"""A GGUF header for a model of the catalogue: its own tensors, and values that change no size where the catalogue keeps none."""

import os
import sys
from pathlib import Path
from typing import Any

from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.model.types import Model
from tonnage.question import from_dict

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
import gguf_writer

HOLE = 2 * 10**12
"""bytes of the file; what is behind the header takes no disk"""

ANY: dict[str, Any] = {
    "attention.layer_norm_epsilon": 1e-6, "rope.freq_base": 1e6, "logit_scale": 0.5, "expert_gating_func": 2,
    "attention.compress_rope_freq_base": 1e4, "activation.situ_beta": 1.0,
}  # fmt: skip
"""numbers that llama.cpp asks for and no buffer depends on"""

LATENT = ("deepseek", "glm-dsa", "mistral4", "kimi")
"""architectures whose rotated part is 64 wide"""


def write(model: Model, quant: str, folder: Path) -> str:
    """The file's path, written once."""
    path = folder / f"{model.name.replace('/', '_')}-{quant}.gguf"
    if not path.exists():
        tensors = stored_tensors(model, recipe_of(from_dict({"model": model.name, "quant": quant}), model), True)
        path.write_bytes(gguf_writer.write(metadata(model), tensors))
        os.truncate(path, HOLE)
    return str(path)


def metadata(model: Model) -> dict[str, Any]:
    """What the engine's loader reads."""
    arch = model.architecture
    hparams = ANY | _of_family(arch) | {key: list(value) if isinstance(value, (list, tuple)) else value for key, value in model.hparams.items()}
    xielu = {f"xielu.{key}": [0.5] * len(model.layers) for key in ("alpha_n", "alpha_p", "beta", "eps")} if arch == "apertus" else {}
    return {"general.architecture": arch, "tokenizer.ggml.model": "none", **xielu, **{f"{arch}.{key}": value for key, value in hparams.items()}}


def _of_family(arch: str) -> dict[str, Any]:
    found: dict[str, Any] = {} if arch.startswith(("cohere", "command")) else {"attention.layer_norm_rms_epsilon": 1e-6}
    if arch.startswith(LATENT):
        found["rope.dimension_count"] = 64
    if "vl" in arch:
        found["rope.dimension_sections"] = [24, 20, 20, 0]
    return found
