"""Parameter counts of a tensor table, by the conventions of the published counts.

Each matrix counts once: not a tied head that is stored a second time, nor what the converter adds.
The buffers of routers (load-balancing biases, token-to-expert tables) are no parameters, so `text` and
`active` leave them out; published totals are sums over files, which hold them, so `total` counts them.
"""

from collections.abc import Sequence

from tonnage.model.types import Experts, Layer, Parameters, Tensor

_MADE_BY_CONVERTER = ("rope_freqs", "rope_factors_long", "rope_factors_short")


def count(tensors: Sequence[Tensor], layers: Sequence[Layer], *, tied: bool = False, vision: int = 0, mtp: int = 0) -> Parameters:
    """Parameters of a model; `tied` says that an `output.weight` repeats the embedding.

    `vision` and `mtp` are published counts of parts that the table does not hold.
    """
    extra = (*_MADE_BY_CONVERTER, "output.weight") if tied else _MADE_BY_CONVERTER
    nextn = tuple(f"blk.{i}." for i, layer in enumerate(layers) if layer.nextn)
    kinds = {"embedding": 0, "experts": 0, "other": 0, "buffers": 0, "mtp": 0}
    idle = 0
    for tensor in tensors:
        if not tensor.name.startswith(extra):
            elements, kind = tensor.elements, "mtp" if nextn and tensor.name.startswith(nextn) else _kind(tensor)
            kinds[kind] += elements
            idle += _idle(tensor, elements, layers) if kind == "experts" else 0
    text = kinds["embedding"] + kinds["experts"] + kinds["other"]
    mtp = kinds["mtp"] or mtp
    total = text + kinds["buffers"] + vision + mtp
    return Parameters(total, text, text - idle, kinds["experts"], kinds["embedding"], vision, mtp)


def _kind(tensor: Tensor) -> str:
    """Stacked experts (`ffn_up_exps`, `ffn_gate_up_exps`, ...), a router's buffer, the embedding, or the rest.

    A scale per expert is none of the expert's own; ERNIE's router bias is a parameter, of two dimensions.
    """
    if "_exps." in tensor.name and not tensor.name.endswith("scale"):
        return "experts"
    if ".ffn_gate_tid2eid" in tensor.name or (".exp_probs_b" in tensor.name and len(tensor.shape) == 1):
        return "buffers"
    return "embedding" if tensor.name == "token_embd.weight" else "other"


def _idle(tensor: Tensor, elements: int, layers: Sequence[Layer]) -> int:
    """Parameters of the experts that one token does not run through."""
    ffn = layers[tensor.block].ffn if tensor.block is not None else None
    return elements // ffn.count * (ffn.count - ffn.used) if isinstance(ffn, Experts) else 0
