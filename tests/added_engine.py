"""An engine that a test adds: sixteen bits a weight, and what each layer keeps for the context; it asks layers what they hold."""

from tonnage.answer import DeviceAnswer, Estimate, Part
from tonnage.engines.torch.frame import context_of, resolved, weights_answer
from tonnage.engines.torch.storage import Storage
from tonnage.model.pieces import pieces
from tonnage.model.types import NOTHING, Attention, Latent, Recurrent


def answer(question, model, attached=NOTHING):
    """Weights, and the caches of every kind of mixer."""
    tokens, kept = context_of(question, model), 0
    for layer in model.layers:
        for mixer in layer.mixers:
            if isinstance(mixer, Attention):
                kept += 2 * mixer.kv_heads * (mixer.k_dim + mixer.v_dim) * min(tokens, mixer.window or tokens)
            elif isinstance(mixer, Latent):
                kept += 2 * mixer.width * tokens
            elif isinstance(mixer, Recurrent):
                kept += 4 * (mixer.conv_elements + mixer.state_elements)
    filled, assumed = resolved(question, {"context": tokens, "engine": "added"})
    parts = (Part("weights", 2 * sum(piece.elements for piece in pieces(model)), "rule"), Part("kv", kept, "rule"))
    weights = weights_answer(model, Storage("bf16", None), ())
    return Estimate(filled, assumed, model, weights, (DeviceAnswer("GPU", "gpu", parts),), "added 1")
