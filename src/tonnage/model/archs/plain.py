"""Decoders with full attention in every block that are read from GGUF files alone.

Each was checked in llama.cpp build 11434: its loader (src/models/*.cpp) sets no window, no recurrence, no
latent cache and no sharing, so create_memory gives it the standard cache of the common KV keys. MiniCPM3
and PLM compress keys and values in their weights, but cache them expanded.
"""

from tonnage.errors import UnsupportedError
from tonnage.model.archs import parts
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer


def convert(config: Config) -> Checkpoint:
    """No rules for the tensors of these configs."""
    raise UnsupportedError(f"no rules for configs of model_type {config.model_types[-1]!r} yet: give a GGUF file of it")


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Full attention everywhere; OpenELM gives heads per block."""
    return parts.attention_layers(hp)
