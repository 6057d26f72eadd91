"""Qwen3-Next: the hybrid that Qwen3.5 grew from, with the two small gate projections in one matrix."""

from tonnage.model.archs import parts, qwen35
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Layer, Tensor


def convert(config: Config) -> Checkpoint:
    """Config -> GGUF, as conversion/qwen.py does it (Qwen3NextModel).

    Qwen3-Next's config.json does not name its MTP block; the converter finds it among the tensors.
    Qwen3-Coder-Next has the same config without such a block: there `mtp_num_hidden_layers` must say 0.
    """
    linear = qwen35.linear_blocks(config, int(config.get("n_nextn", 1)))
    blocks = (qwen35.block(config, _delta_net(config) if is_linear else qwen35.gated_attention(config), i) for i, is_linear in enumerate(linear))
    hparams = parts.base_hparams(config, **qwen35.hybrid_hparams(config, linear))
    notes = () if "n_nextn" in config else ("one MTP block is counted: the config does not say whether the upload holds it",)
    return Checkpoint("qwen3next", hparams, parts.stack(config, blocks), notes)


def _delta_net(config: Config) -> list[Tensor]:
    """Qwen3.5's gated delta net, alpha and beta in one."""
    apart = ("ssm_alpha.weight", "ssm_beta.weight")
    joint = parts.matrix("ssm_ba", config.n_embd, 2 * config["linear_num_value_heads"])
    return [*(t for t in qwen35.delta_net(config) if t.name not in apart), joint]


def layers(hp: Hparams) -> tuple[Layer, ...]:
    """Delta nets with full attention between them."""
    return qwen35.layers(hp)
