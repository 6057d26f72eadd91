"""Closed forms of every device's compute buffer: one GPU, several, weights in host memory, attention there.

Source: runs of build 11434 on one to eight emulated CUDA devices; each rule's band is the spread that was found.
"""

from tonnage.answer import Band
from tonnage.engines.llamacpp.compute.closed import Fitted, device, size
from tonnage.engines.llamacpp.compute.constants import SPARSE
from tonnage.engines.llamacpp.compute.inputs import host_inputs, masks
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.settings import Settings
from tonnage.engines.llamacpp.weights import HOST_TENSORS, homes
from tonnage.frozen import replace
from tonnage.model.types import Attention, Latent, Model, Tensor

FIRST_STATES, OTHER_STATES = 12, 3
"""hidden states that pipelining keeps more of: embedding, merge and residual on the first device, residuals on the others"""


def compute_by_device(model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement) -> dict[int, Fitted]:
    """Compute buffer of every device, the host as -1."""
    if not placement.devices:
        return {HOST: device(model, settings, "cpu")}
    on_gpu = {i: _gpu(i, model, settings, placement) for i in range(placement.devices)}
    if _has_work_for_first_gpu(settings, placement):
        on_gpu[0] = _with_host_weights(on_gpu[0], _host_weights(model, tensors, placement), _host_keys(model, settings, placement))
    return {**on_gpu, HOST: _host(model, settings, placement)}


def _gpu(i: int, model: Model, settings: Settings, placement: Placement) -> Fitted:
    """One GPU's share of the model. Only the device of the output layer holds logits."""
    mine = settings if i == placement.output else replace(settings, outputs=1, profile="server")
    if not settings.kv_offload:
        # attention runs on the CPU: no scores lie here, whether flash attention is on or off
        return _widened(device(model, replace(mine, flash_attn=True), "cuda"), low=0.45, high=0.75)
    alone = device(model, mine, "cuda")
    if placement.devices == 1:
        return alone
    unmasked = 0 if _attends(i, model, placement) else masks(model, settings)
    if not placement.pipeline:
        return _widened(Fitted(alone.bytes - unmasked, alone.error), low=0.6, high=0.3)
    return _pipelined(model, settings, alone, unmasked, first=i == placement.layers[0])


def _pipelined(model: Model, settings: Settings, alone: Fitted, unmasked: int, *, first: bool) -> Fitted:
    """Inputs and hidden states that cross devices exist four times (GGML_SCHED_MAX_COPIES)."""
    mask, hidden = masks(model, settings), 4 * settings.tokens * model.n_embd
    copies = 0 if unmasked else 3 * mask
    nbytes = alone.bytes - unmasked + copies + (FIRST_STATES if first else OTHER_STATES) * hidden
    return Fitted(nbytes, Band(alone.error.low - 4 * hidden, alone.error.high + 4 * hidden))


def _attends(i: int, model: Model, placement: Placement) -> bool:
    """Whether any layer on the device has attention, and so needs the mask."""
    blocks = (layer for layer, home in zip(model.layers, placement.layers, strict=False) if home == i)
    return any(isinstance(m, Attention | Latent) for layer in blocks for m in layer.mixers)


def _widened(fitted: Fitted, *, low: float, high: float) -> Fitted:
    return Fitted(fitted.bytes, Band(-round(fitted.bytes * low), round(fitted.bytes * high)))


# --- weights in host memory -------------------------------------------------------------------------


def _has_work_for_first_gpu(settings: Settings, placement: Placement) -> bool:
    """Prompts of 32 tokens and more are multiplied on the first GPU also where a weight lies in host memory."""
    return settings.op_offload and settings.tokens >= 32 and (HOST in placement.layers or any(home == HOST for _, home in placement.overrides))


def _host_weights(model: Model, tensors: tuple[Tensor, ...], placement: Placement) -> int:
    """The largest weight in host memory that is multiplied with."""
    on_host = (t for t, home in homes(model, tensors, placement, False) if home == HOST)
    tied = not any(t.name == "output.weight" for t in tensors)
    return max((t.nbytes for t in on_host if not t.name.startswith(HOST_TENSORS) or (tied and placement.tied_output == HOST)), default=0)


def _host_keys(model: Model, settings: Settings, placement: Placement) -> int:
    """Keys and values of one layer whose cache is in host memory, copied for the prompt's attention."""
    on_host = (layer for layer, home in zip(model.layers, placement.layers, strict=False) if home == HOST and not layer.nextn)
    return max((_full_cache(m, settings) for layer in on_host for m in layer.mixers if isinstance(m, Attention | Latent)), default=0)


def _full_cache(mixer: Attention | Latent, settings: Settings) -> int:
    rows = 2 * settings.cells * settings.streams
    if isinstance(mixer, Latent):
        return rows * mixer.width
    return 0 if mixer.window else rows * mixer.kv_heads * (mixer.k_dim + mixer.v_dim)


def _with_host_weights(alone: Fitted, weight: int, keys: int) -> Fitted:
    """One weight is copied at a time; a bigger one after it finds no hole, so that up to two lie there."""
    more = weight + keys
    return Fitted(alone.bytes + more, Band(alone.error.low - more, alone.error.high + weight + keys))


# --- host -------------------------------------------------------------------------------------------


def _host(model: Model, settings: Settings, placement: Placement) -> Fitted:
    """Pinned memory: the graph's inputs, four times where devices form a pipeline."""
    inputs = host_inputs(model, settings)
    if model.architecture in SPARSE:
        return _widened(Fitted(inputs, Band(0, 0)), low=0.95, high=3.0)
    if placement.pipeline:
        inputs += 3 * masks(model, settings) + 24 * settings.tokens * model.n_embd
    if not _runs_layers(placement):
        return _widened(Fitted(inputs, Band(0, 0)), low=0.002, high=0.002)
    if not settings.kv_offload and not settings.flash_attn:
        return _widened(Fitted(size(model, settings, "cpu"), Band(0, 0)), low=0.1, high=0.1)
    worst = max(size(model, settings, "cpu") - inputs, 0)
    return Fitted(inputs, Band(-inputs // 10, max(worst, inputs // 2)))


def _runs_layers(placement: Placement) -> bool:
    """Whether the CPU computes anything itself."""
    return not placement.kv_offload or HOST in placement.layers or any(home == HOST for _, home in placement.overrides)
