"""The output buffer: logits that the host reads, one row per slot (llama_context::output_reserve)."""

from tonnage.engines.llamacpp.settings import Settings
from tonnage.model.types import Model


def output_bytes(model: Model, settings: Settings) -> int:
    """Bytes of one row of F32 logits for every slot."""
    return 4 * model.n_vocab * settings.slots
