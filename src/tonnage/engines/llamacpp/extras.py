"""What a server holds besides the model itself: saved prompts, checkpoints, projector, draft, adapters.

Source: tools/server/server-context.cpp, tools/mtmd, src/llama-adapter.cpp of build 11434.
"""

from collections.abc import Iterator

from tonnage.answer import Band, Part
from tonnage.engines.llamacpp.buffers import CPU, CUDA, allocated, allocated_rows
from tonnage.engines.llamacpp.cache import cache_tensors, widest_v, window_cells
from tonnage.engines.llamacpp.compute.inputs import masks
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.settings import Settings
from tonnage.engines.llamacpp.weights import weights_by_device
from tonnage.frozen import replace
from tonnage.model.types import Attached, Attention, Model, Recurrent, Tensor

PROJECTOR_COMPUTE = (0.29, 0.6, 1.0)
"""encoder's compute over its weights, and how far it may lie below and above: Qwen3.5's projector measured 260,149,504 of
908,704,704 bytes at its warm-up image"""


def server_parts(model: Model, settings: Settings) -> Iterator[Part]:
    """Host memory that a server may grow to: nothing of it is taken at the start."""
    if settings.profile != "server":
        return
    limit = settings.build.prompt_cache_bytes
    yield Part("prompt_cache", limit, "rule", Band(-limit, 0), "prompt_cache", "reserved")
    snapshots = settings.build.checkpoints * settings.slots * snapshot_bytes(model, settings)
    if snapshots:
        yield Part("checkpoints", snapshots, "rule", Band(-snapshots, 0), "checkpoints", "reserved")


def snapshot_bytes(model: Model, settings: Settings) -> int:
    """Bytes of one checkpoint of one slot: the recurrent state, and the windows of sliding layers.

    Neither can be rolled back, so the server saves them; full layers need no copy.
    """
    one = replace(settings, slots=1, streams=1)
    total = 0
    for layer in model.layers:
        for mixer in () if layer.nextn else layer.mixers:
            if isinstance(mixer, Recurrent):
                total += 4 * (mixer.conv_elements + mixer.state_elements)
            elif isinstance(mixer, Attention) and mixer.window and not settings.swa_full and mixer.kv_layer is None:
                rows = min(mixer.window, window_cells(mixer.window, one))
                total += allocated_rows(settings.type_k, mixer.k_dim * mixer.kv_heads, rows, CPU)
                total += allocated_rows(settings.type_v, mixer.v_dim * mixer.kv_heads, rows, CPU)
    return total


def draft_parts(model: Model, tensors: tuple[Tensor, ...], settings: Settings, placement: Placement) -> Iterator[tuple[int, Part]]:
    """The model's own MTP block as a draft: its weights, a cache of its own, and its compute buffer."""
    if not settings.n_draft:
        return
    trunk = len(model.layers) - model.n_nextn
    device = placement.layers[trunk]
    alignment = CPU if device == HOST else CUDA
    without = weights_by_device(model, tensors, placement, False)
    for home, nbytes in sorted(weights_by_device(model, tensors, placement, True).items()):
        if nbytes > without.get(home, 0):
            yield home, Part("draft", nbytes - without.get(home, 0), "rule", why="draft", held=_held(home, settings))
    plain = replace(settings, n_draft=0)
    cached = (t for layer in model.layers[trunk:] for t in cache_tensors(layer, plain, widest_v(model)))
    nbytes = sum(allocated_rows(t.type, t.row, t.rows, alignment) for t in cached)
    yield device, Part("draft", nbytes, "rule", why="draft_kv", held=_held(device, settings))
    # one block's peak: measured 332 MiB at 256K for Qwen3.5-122B, of which the mask is 256 MiB
    compute = masks(model, settings) + 4 * settings.tokens * 12 * model.n_embd
    yield device, Part("draft", compute, "fitted", Band(-compute // 3, compute // 3), "draft_compute", _held(device, settings))


def attached_parts(attached: Attached, settings: Settings, placement: Placement) -> Iterator[tuple[int, Part]]:
    """Projector and adapters. A projector lives on the first GPU, adapters beside the layers they change."""
    home = 0 if placement.devices else HOST
    alignment = CUDA if placement.devices else CPU
    if attached.projector:
        weights = sum(allocated(t, alignment) for t in attached.projector)
        share, low, high = PROJECTOR_COMPUTE
        compute = round(weights * share)
        yield home, Part("projector", weights, "file", why="projector", held=_held(home, settings))
        band = Band(-round(compute * low), round(compute * high))
        yield home, Part("projector", compute, "fitted", band, "projector_compute", _held(home, settings))
    for tensor in (t for adapter in attached.adapters for t in adapter):
        block = tensor.block
        device = placement.output if block is None or block >= len(placement.layers) else placement.layers[block]
        yield device, Part("lora", allocated(tensor, CPU if device == HOST else CUDA), "file", why="lora", held=_held(device, settings))


def _held(device: int, settings: Settings) -> str:
    return "gpu" if device != HOST else "mapped" if settings.mmap else "allocated"
