"""What a GPU holds besides llama.cpp's own buffers: the context of the backend, its libraries and the pool that grows as it computes."""

from tonnage.answer import Band, Part
from tonnage.hardware.types import Budget
from tonnage.units import MIB

SEEN_MIB = (253, 254, 255, 559, 559, 560, 749, 749, 750, 752)
"""MiB that no buffer accounts for, as llama.cpp's memory breakdown prints it at exit"""
SOURCE = "llama.cpp's memory breakdown: three servers on RTX 3080 20GB (github.com/TkskKurumi/llama-server-benchmarks), an RTX PRO 6000 (issue 27953)"
"""nine cards of the servers, of each the three without a projector; one card of the issue"""
LIKELY = 560 * MIB
"""their median"""
LOW, HIGH = min(SEEN_MIB) * MIB, max(SEEN_MIB) * MIB
BACKENDS_ASSUMED = ("rocm", "vulkan")
"""no log tells of these: CUDA's figure, and down to nothing. Metal's share is counted in its own limit"""


def runtime_part(gpu: Budget, backend: str) -> Part | None:
    """The part `runtime`; None where no device or exact free memory was asked about, or the backend is not known to take any."""
    if not gpu.device.is_known and gpu.device.memory_bytes is None:
        return None
    if backend == "cuda":
        return Part("runtime", LIKELY, "fitted", Band(LOW - LIKELY, HIGH - LIKELY), "runtime")
    if backend in BACKENDS_ASSUMED:
        return Part("runtime", LIKELY, "assumed", Band(-LIKELY, HIGH - LIKELY), "runtime")
    return None
