"""Bytes of weights per buffer, as llama.cpp loads them.

Source: src/llama-model.cpp and src/llama-model-loader.cpp of build 11434; checked against the
engine's own report in every case of the project's oracle.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from functools import lru_cache

from tonnage.engines.llamacpp.buffers import CPU, CUDA, allocated
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.same import Same, by_block
from tonnage.model.types import Model, Tensor

HOST_TENSORS = ("token_embd.", "position_embd.", "token_types.", "per_layer_token_embd.")
"""input tensors: looked up by row, they stay in host memory even with every layer offloaded"""

FIRST_BLOCK_TENSORS = ("per_layer_model_proj.weight", "per_layer_proj_norm.weight")
"""tensors of Gemma 3n and Gemma 4 that have no block in their names and are created with the number of the first one"""

ROTATION_TENSORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
"""factors of the rotation: every layer asks for them, and so they lie on every device that has layers (TENSOR_DUPLICATED)"""

_FFN_AND_HEAD = ("ffn_gate", "ffn_up", "ffn_down", "exp_probs_b", "nextn.embed_tokens", "nextn.shared_head")
NEXTN_LOADED: Mapping[str, tuple[str, ...]] = {
    "glm-dsa": ("exp_probs_b",),
    "deepseek32": ("exp_probs_b",),
    "hy_v3": _FFN_AND_HEAD,
    "step35": (*_FFN_AND_HEAD, "attn_q_norm", "attn_k_norm", "attn_gate"),
}
"""tensors of a NextN block, by the beginning of their names, that are loaded although drafting is off:
those that src/models/*.cpp creates without the flag that skips the block"""

OUTPUT_FIRST = ("gemma3n", "gemma4")
"""architectures that create the output matrix before the embedding that it is a copy of, and so load it twice
where both lie in one place (create_tensor with TENSOR_DUPLICATED looks for what is there already)"""


def weights_by_device(model: Model, tensors: tuple[Tensor, ...], placement: Placement, draft: bool) -> dict[int, int]:
    """Bytes of weights on every device (host: -1), loaded for plain decoding or for MTP drafting."""
    return _by_device(model, Same(tensors), placement, draft)


@lru_cache(maxsize=256)
def _by_device(model: Model, same: Same, placement: Placement, draft: bool) -> dict[int, int]:
    total: dict[int, int] = {}
    for tensor, device in homes(model, same.tensors, placement, draft):
        total[device] = total.get(device, 0) + _allocated(tensor.type, tensor.shape, device == HOST)
    return total


@lru_cache(maxsize=4096)
def _allocated(type_: str, shape: tuple[int, ...], on_host: bool) -> int:
    return allocated(Tensor("", shape, type_), CPU if on_host else CUDA)


def homes(
    model: Model, tensors: tuple[Tensor, ...], placement: Placement, draft: bool, blocks: Container[int] | None = None
) -> Iterator[tuple[Tensor, int]]:
    """Every tensor that is loaded, with its device; one that lives in two places comes twice.

    `blocks` asks for the tensors of these blocks and of none.
    """
    for block, tensor, device in _homes(model, Same(tensors), placement, draft):
        if blocks is None or block is None or block in blocks:
            yield tensor, device


@lru_cache(maxsize=64)
def _homes(model: Model, same: Same, placement: Placement, draft: bool) -> tuple[tuple[int | None, Tensor, int], ...]:
    trunk = len(model.layers) - model.n_nextn
    tied = not any(t.name == "output.weight" for t in same.tensors)
    return tuple(
        (block, tensor, device)
        for block, tensor in by_block(same)
        if block is None or block < trunk or draft or _loaded_anyway(model, tensor)
        for device in _devices(model, block, tensor, placement, trunk, tied)
    )


def _devices(model: Model, block: int | None, tensor: Tensor, placement: Placement, trunk: int, tied: bool) -> Iterable[int]:
    """Where a tensor lies; `trunk` blocks are no NextN blocks, `tied` says that the embedding is the output matrix too."""
    if tensor.name in ROTATION_TENSORS:
        return sorted(set(placement.layers[:trunk]))
    override = placement.override(tensor.name) if placement.overrides else None
    if tensor.name.startswith(HOST_TENSORS):
        home = HOST if override is None else override
        output = placement.tied_output
        copied = tied and tensor.name == "token_embd.weight" and (output != home or model.architecture in OUTPUT_FIRST)
        return (home, output) if copied else (home,)
    if override is not None:
        return (override,)
    if tensor.name in FIRST_BLOCK_TENSORS:
        return (placement.layers[0],)
    return (placement.output if block is None else placement.layers[block],)


def _loaded_anyway(model: Model, tensor: Tensor) -> bool:
    return tensor.name.split(".", 2)[2].startswith(NEXTN_LOADED.get(model.architecture, ()))
