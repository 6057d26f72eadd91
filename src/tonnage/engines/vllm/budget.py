"""What vLLM takes of a device, and what of it the cache gets.

Source: v1/worker/gpu_worker.py and utils/mem_utils.py of vLLM 0.33: requested = ceil(total x utilisation); the cache gets
what weights, the profiling run's peak, memory outside PyTorch and, from 0.21 on, the estimate of CUDA graphs leave.
"""

from math import ceil

from tonnage.answer import Band, Part
from tonnage.engines.torch.weights import MXFP4_DOUBT, RankWeights
from tonnage.engines.vllm.settings import Settings
from tonnage.errors import RefusedError
from tonnage.frozen import dataclass
from tonnage.hardware.types import Budget
from tonnage.model.types import Attention, Experts, Latent, Model
from tonnage.units import GIB

OF_OTHERS = ("in use by others", "display", "the system itself")
"""deductions that are part of what CUDA calls the total, and not of what is free"""
OUTSIDE_ALONE, OUTSIDE_SHARED = round(0.14 * GIB), round(0.54 * GIB)
"""memory outside PyTorch with one rank and with several: six rows of a public table of 0.11 on H100 (0.13 to 0.14, 0.54 to 0.55 GiB)"""
OUTSIDE_BAND = (0.11, 0.5)
"""GiB below and above: an 8 GB card logged 0.03 GiB"""
GRAPHS = round(0.7 * GIB)
GRAPHS_BAND = (1.12, 1.0)
"""GiB: public logs have -0.42 to 0.39 (0.11, H100) and 0.28 to 1.69 (0.20, GB10), measured and estimated; no formula is known"""
SAMPLER_BAND = 0.05
"""share: the rule's largest error on the six rows that it was fitted to is 0.4 %"""
FITTED_SORT = 38.4
"""bytes per logit that the sampler takes where it sorts: the upper end where the newer kernels were not measured"""


@dataclass(frozen=True, slots=True)
class Taken:
    """One device: what is requested of it, and the parts that do not depend on the cache."""

    requested: int | None
    """bytes; None where the device has no known size"""
    parts: tuple[Part, ...]

    @property
    def available(self) -> int | None:
        """Bytes left for the cache; negative where there are none."""
        return None if self.requested is None else self.requested - sum(part.bytes for part in self.parts)


def taken(model: Model, settings: Settings, gpu: Budget, weights: RankWeights) -> Taken:
    """The parts of one rank besides its cache. RefusedError where less is free than vLLM asks for."""
    parts = [_weights(weights), activations(model, settings), _outside(model, settings), _graphs(settings)]
    return Taken(requested_of(gpu, settings), tuple(parts))


def requested_of(gpu: Budget, settings: Settings) -> int | None:
    """ceil(total x utilisation) of what CUDA calls the total."""
    if gpu.usable_bytes is None:
        return None
    total = gpu.usable_bytes + sum(row.bytes for row in gpu.deductions if row.what in OF_OTHERS)
    requested = ceil(total * settings.utilization)
    if requested > gpu.usable_bytes:
        least = int(100 * gpu.usable_bytes / total) / 100
        raise RefusedError(
            f"gpu_memory_utilization={settings.utilization:g}: vLLM refuses to start, since it asks for {requested / GIB:.2f} GiB of {gpu.name} "
            f"and {gpu.usable_bytes / GIB:.2f} GiB are free; take {least:g} or less"
        )
    return requested


def _weights(weights: RankWeights) -> Part:
    doubt = round(weights.uncertain * MXFP4_DOUBT)
    low, high = -doubt, doubt + 2 * weights.assumed_vision // 5
    return Part("weights", weights.parameters, "rule", Band(low, high) if high else None, "weights")


def activations(model: Model, settings: Settings) -> Part:
    """The peak of the profiling run: the sampler on max_num_seqs rows of logits, or the network on one batch if that is more."""
    build, rows = settings.build, settings.max_num_seqs * model.n_vocab
    hidden = 2 * settings.batched_tokens * model.n_embd
    sampler, network = round(build.sampler_bytes * rows) + hidden, network_bytes(model, settings)
    peak = max(sampler, network)
    if build.sampler_proven and sampler >= network:
        slack = round(peak * SAMPLER_BAND)
        low = round(0.75 * peak) if model.parameters.vision else slack
        return Part("activations", peak, "fitted", Band(-low, slack), "activations")
    high = round(FITTED_SORT * rows) + hidden
    return Part("activations", peak, "assumed", Band(-peak // 2, max(high - peak, peak // 2)), "activations")


def network_bytes(model: Model, settings: Settings) -> int:
    """The widest layer on one batch of tokens: gate, up and their product, or the experts' two buffers, and the hidden states."""
    return settings.batched_tokens * 2 * (4 * model.n_embd + max(_width(layer.ffn, model.n_embd, settings.ranks.tp) for layer in model.layers))


def _width(ffn: object, hidden: int, tp: int) -> int:
    if isinstance(ffn, Experts):
        return ffn.used * (max(2 * ffn.width // tp, hidden) + ffn.width // tp)
    width = getattr(ffn, "width", 0)
    return 3 * int(width) // tp


def _outside(model: Model, settings: Settings) -> Part:
    """Libraries, communication buffers, and the tables of rotation."""
    nbytes = (OUTSIDE_SHARED if settings.ranks.tp > 1 else OUTSIDE_ALONE) + rope_bytes(model, settings)
    low, high = (round(gib * GIB) for gib in OUTSIDE_BAND)
    return Part("runtime", nbytes, "fitted", Band(-low, high), "runtime")


def rope_bytes(model: Model, settings: Settings) -> int:
    """One table of sines and cosines: the model's whole context x rotated elements x 2."""
    mixers = [m for layer in model.layers for m in layer.mixers if isinstance(m, Attention | Latent)]
    if not mixers:
        return 0
    first = mixers[0]
    own = first.k_dim if isinstance(first, Attention) else first.width - first.kv_lora_rank
    rotated = int(model.hparams.get("rope.dimension_count") or own)
    return model.context * min(rotated, own) * 2


def _graphs(settings: Settings) -> Part:
    low, high = (round(gib * GIB) for gib in GRAPHS_BAND)
    counted = settings.build.graphs_counted
    return Part("graphs", GRAPHS if counted else 0, "fitted", Band(-min(low, GRAPHS) if counted else 0, high), "graphs")
