"""Who lives where: llama.cpp's assignment of blocks and tensors to devices.

Source: src/llama-model.cpp of build 11434 (load_tensors, get_layer_buft_list).
"""

import re
from array import array
from collections.abc import Sequence
from functools import lru_cache

from tonnage.errors import QuestionError
from tonnage.frozen import dataclass
from tonnage.model.types import Model
from tonnage.question import Question

HOST = -1
EXPERTS = r"\.ffn_(up|down|gate_up|gate)_(ch|)exps"
"""common.h LLM_FFN_EXPS_REGEX: biases of experts too, neither shared experts nor the router"""


BUFFERS = {"rocm": "ROCm", "vulkan": "Vulkan", "metal": "MTL"}
"""what a backend calls its devices, where that is not CUDA0, CUDA1, ... (ggml-cuda.h, ggml-vulkan.h, ggml-metal.cpp)"""


def as_backend_names(override: str, backend: str) -> str:
    """An override with the devices by the names that the backend gives them."""
    return re.sub(r"=CUDA(?=\d+(?:,|$))", f"={BUFFERS.get(backend, 'CUDA')}", override)


@dataclass(frozen=True, slots=True)
class Placement:
    """Devices by number, the host as -1."""

    layers: tuple[int, ...]
    """device of every block, the output layer last"""
    overrides: tuple[tuple[str, int], ...]
    """tensors by regular expression, the first match wins"""
    devices: int
    kv_offload: bool
    pipeline: bool
    """whether the scheduler keeps four copies of its inputs"""

    @property
    def output(self) -> int:
        """Device of the output layer."""
        return self.layers[-1]

    @property
    def tied_output(self) -> int:
        """Device of an output matrix that is a copy of the embedding: it has the embedding's name, and an override moves both."""
        override = self.override("token_embd.weight") if self.overrides else None
        return self.output if override is None else override

    def cache_device(self, layer: int) -> int:
        """Where the cache and state of a block live."""
        return self.layers[layer] if self.kv_offload else HOST

    def override(self, tensor: str) -> int | None:
        """The device that an override gives the tensor; None where none matches."""
        block = tensor.split(".", 2)[1] if tensor.startswith("blk.") else ""
        return next((device for pattern, device in _candidates(self.overrides, block) if pattern.search(tensor)), None)


@lru_cache(maxsize=1024)
def _candidates(overrides: tuple[tuple[str, int], ...], block: str) -> tuple[tuple[re.Pattern[str], int], ...]:
    """The overrides that tensors of a block may match, in their order: a plan names most blocks in a pattern of their own."""
    compiled = [(_compiled(pattern), device) for pattern, device in overrides]
    return tuple(one for one in compiled if not block or _block_of(one[0].pattern) in (None, block))


@lru_cache(maxsize=1024)
def _block_of(pattern: str) -> str | None:
    r"""The block that all matches of a pattern lie in, where it begins with it (`blk\.7\.`) and has no other branch."""
    named = re.match(r"\^?blk\\\.(\d+)\\\.(?![?*{])", pattern)
    return named[1] if named and "|" not in re.sub(r"\([^()]*\)", "", pattern) else None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise QuestionError(f"override_tensor: {pattern!r} is no regular expression ({error})") from None


def place(question: Question, model: Model, free_bytes: Sequence[int]) -> Placement:
    """Blocks and overrides of the question, given the free memory of each GPU (none: all on the host)."""
    n_layer = len(model.layers)
    devices = len(free_bytes)
    offloaded = n_layer + 1 if question.gpu_layers is None or question.gpu_layers < 0 else question.gpu_layers
    overrides = _overrides(question, devices)
    split = question.split_mode or "layer"
    if split in ("row", "tensor"):
        raise QuestionError(f"split_mode={split}: only layer and none have rules yet")
    shares = [1.0 if i == (question.main_gpu or 0) else 0.0 for i in range(devices)] if split == "none" else _shares(question, free_bytes)
    layers = layer_devices(n_layer, offloaded if devices else 0, shares)
    kv_offload = question.kv_offload is not False
    pipeline = devices > 1 and split == "layer" and offloaded > n_layer and kv_offload and not overrides
    return Placement(layers, overrides, devices, kv_offload, pipeline)


def _shares(question: Question, free_bytes: Sequence[int]) -> list[float]:
    """`--tensor-split` where any value is given, else the free memory of each device."""
    given = list(question.tensor_split or ())
    if len(given) > len(free_bytes):
        raise QuestionError(f"tensor_split has {len(given)} values for {len(free_bytes)} GPUs")
    given += [0.0] * (len(free_bytes) - len(given))
    return [float(x) for x in (given if any(given) else free_bytes)]


def layer_devices(n_layer: int, offloaded: int, shares: Sequence[float]) -> tuple[int, ...]:
    """Device of every block and of the output layer (block `n_layer`), filled from the back.

    Block i goes to the first device whose cumulative share exceeds (i - start) / active, in float32.
    """
    active = min(offloaded, n_layer + 1)
    start = n_layer + 1 - active
    if len(shares) == 1:
        return (HOST,) * start + (0,) * active
    bounds = _cumulative_float32(shares)

    def device(i: int) -> int:
        if i < start:
            return HOST
        position = _float32((i - start) / active)
        return next((d for d, bound in enumerate(bounds) if bound > position), len(bounds) - 1)

    return tuple(device(i) for i in range(n_layer + 1))


def _float32(x: float) -> float:
    return array("f", (x,))[0]


def _cumulative_float32(shares: Sequence[float]) -> list[float]:
    total, sums = 0.0, []
    for share in shares:
        total = _float32(total + _float32(share))
        sums.append(total)
    return [_float32(s / total) for s in sums] if total else sums


def _overrides(question: Question, devices: int) -> tuple[tuple[str, int], ...]:
    """Patterns in llama.cpp's order: -ot, then --cpu-moe / --n-cpu-moe; no effect without a GPU."""
    if not devices:
        return ()
    given = [_parse_override(item, devices) for item in (question.override_tensor or "").split(",") if item]
    if question.cpu_moe:
        given.append((EXPERTS, HOST))
    given += [(rf"blk\.{i}{EXPERTS}", HOST) for i in range(question.n_cpu_moe or 0)]
    return tuple(given)


def _parse_override(item: str, devices: int) -> tuple[str, int]:
    pattern, _, target = item.rpartition("=")
    if target == "CPU":
        return pattern, HOST
    match = re.fullmatch(r"[A-Za-z]+(\d+)", target)
    if not pattern or not match or int(match[1]) >= devices:
        raise QuestionError(f"override_tensor: {item!r} must be PATTERN=CPU or PATTERN=CUDA0 ... CUDA{devices - 1}")
    return pattern, int(match[1])
