"""Why a part has its size: the rule of llama.cpp with this question's numbers put in."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache

from tonnage.answer import Explanation
from tonnage.engines.llamacpp import placement_of
from tonnage.engines.llamacpp.buffers import CPU, CUDA, allocated, allocated_rows
from tonnage.engines.llamacpp.cache import cache_tensors, widest_v
from tonnage.engines.llamacpp.compute import Computed, compute_by_device
from tonnage.engines.llamacpp.compute.inputs import masks
from tonnage.engines.llamacpp.extras import PROJECTOR_COMPUTE, draft_parts, snapshot_bytes
from tonnage.engines.llamacpp.output import output_bytes
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.runtime import BACKENDS_ASSUMED, HIGH, LIKELY, LOW, SEEN_MIB, SOURCE
from tonnage.engines.llamacpp.same import Same
from tonnage.engines.llamacpp.settings import Settings
from tonnage.engines.llamacpp.stored import recipe_of, stored_tensors
from tonnage.engines.llamacpp.summary import kind
from tonnage.engines.llamacpp.weights import homes
from tonnage.errors import QuestionError, nearest
from tonnage.model.types import Model
from tonnage.question import Question
from tonnage.units import MIB

Writer = Callable[[Question, Model, Settings, Placement], Explanation]


def explain(question: Question, model: Model, part: str) -> Explanation:
    """The explanation of `part`; QuestionError with the nearest names for a part there is none of."""
    if part not in WRITERS:
        raise QuestionError(f"no part called {part!r}; there are {', '.join(WRITERS)}", nearest(part, WRITERS))
    settings, placement = placement_of(question, model)
    return WRITERS[part](question, model, settings, placement)


def _cached(part: str, title: str, formula: str, source: str) -> Writer:
    def write(question: Question, model: Model, settings: Settings, placement: Placement) -> Explanation:
        steps, total = _cache_steps(part, model, settings, placement)
        return Explanation(title, formula, steps or ("no layer of this model keeps any",), f"{total:,} bytes", source)

    return write


def _cache_steps(part: str, model: Model, settings: Settings, placement: Placement) -> tuple[tuple[str, ...], int]:
    """One line per kind of array, with how many layers keep it."""
    v_width = widest_v(model)
    lines: Counter[tuple[str, str, int, int, bool]] = Counter()
    for i, layer in enumerate(model.layers):
        for t in () if layer.nextn else cache_tensors(layer, settings, v_width):
            if t.part == part:
                lines[kind(layer), t.type, t.row, t.rows, placement.cache_device(i) == HOST] += 1
    steps, total = [], 0
    for (layer_kind, type_, row, rows, on_host), count in lines.items():
        nbytes = allocated_rows(type_, row, rows, CPU if on_host else CUDA)
        total += count * nbytes
        steps.append(f"{layer_kind}: {count} x {row} elements x {rows:,} rows in {type_} = {count} x {nbytes:,} = {count * nbytes:,} bytes")
    return tuple(steps), total


@lru_cache(maxsize=64)
def _by_type(model: Model, same: Same, placement: Placement) -> tuple[Counter[tuple[int, str]], Counter[tuple[int, str]]]:
    """Tensors and bytes by (device, type)."""
    count: Counter[tuple[int, str]] = Counter()
    nbytes: Counter[tuple[int, str]] = Counter()
    for tensor, device in homes(model, same.tensors, placement, False):
        count[device, tensor.type] += 1
        nbytes[device, tensor.type] += allocated(tensor, CPU if device == HOST else CUDA)
    return count, nbytes


def _weights(question: Question, model: Model, settings: Settings, placement: Placement) -> Explanation:
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)
    count, nbytes = _by_type(model, Same(tensors), placement)
    ordered = sorted(nbytes.items(), key=lambda item: (item[0][0], -item[1]))
    steps = tuple(f"{_name(device)}: {count[device, type_]} tensors in {type_}, {size:,} bytes" for (device, type_), size in ordered)
    return Explanation(
        "Weights",
        "sum over tensors of pad(elements / block x bytes per block [+ row padding], alignment)",
        steps,
        f"{sum(nbytes.values()):,} bytes, every tensor padded (to 128 bytes on a GPU, to 32 on the host)",
        f"tensor types: llama-quant.cpp, rules {question.rules or '2026'}; homes: llama-model.cpp, build {settings.build.number}",
    )


def _name(device: int) -> str:
    return "host" if device == HOST else f"GPU {device}"


def _compute(question: Question, model: Model, settings: Settings, placement: Placement) -> Explanation:
    tensors = stored_tensors(model, recipe_of(question, model), question.mtp)
    sizes = compute_by_device(model, tensors, settings, placement)
    steps = (
        f"tokens of the reserved batch U = {settings.tokens}, outputs O = {settings.outputs}",
        f"attention masks M = {masks(model, settings):,} bytes",
        *(f"{_name(device)}: {_computed(computed)}" for device, computed in sizes.items()),
    )
    exact = all(computed.error is None for computed in sizes.values())
    formula = _WALK if exact else _CLOSED_FORM
    source = "ggml-backend.cpp, ggml-alloc.c, src/models" if exact else "measured on llama.cpp"
    total = f"{sum(c.bytes for c in sizes.values()):,} bytes"
    return Explanation("Compute buffer", formula, steps, total, f"{source}, build {settings.build.number}")


_WALK = "peak of a best-fit allocation of the operations of one batch, in the engine's order, reusing memory as the engine does"
_CLOSED_FORM = "M + 4 x U x (live floats per token at the worst operation), or with logits M + 4 x U x 4 x d + 4 x O x V"


def _computed(computed: Computed) -> str:
    if computed.error is None:
        return f"{computed.bytes:,} bytes, exact"
    return f"{computed.bytes:,} bytes, between {computed.bytes + computed.error.low:,} and {computed.bytes + computed.error.high:,}"


def _output(question: Question, model: Model, settings: Settings, placement: Placement) -> Explanation:
    steps = (f"4 bytes x {model.n_vocab:,} logits x {settings.slots} slots",)
    source = "llama_context::output_reserve, build 11434"
    return Explanation("Output buffer", "4 x vocabulary x slots", steps, f"{output_bytes(model, settings):,} bytes", source)


def _prompt_cache(question: Question, model: Model, settings: Settings, placement: Placement) -> Explanation:
    limit = settings.build.prompt_cache_bytes
    text = ("the server keeps the prompts of slots that were given away, up to --cache-ram; nothing is taken at the start",)
    return Explanation("Prompt cache", "--cache-ram (8192 MiB)", text, f"up to {limit:,} bytes", "tools/server, common/common.h, build 11434")


def _checkpoints(question: Question, model: Model, settings: Settings, placement: Placement) -> Explanation:
    one, build = snapshot_bytes(model, settings), settings.build
    steps = (f"one snapshot {one:,} bytes", f"{build.checkpoints} per slot x {settings.slots} slots, taken as prompts grow")
    formula = "--ctx-checkpoints x slots x (recurrent state + sliding windows of one sequence)"
    total = f"up to {one * build.checkpoints * settings.slots:,} bytes"
    return Explanation("Context checkpoints", formula, steps, total, f"tools/server, build {build.number}")


def _draft(why: str, title: str, formula: str) -> Writer:
    def write(question: Question, model: Model, settings: Settings, placement: Placement) -> Explanation:
        tensors = stored_tensors(model, recipe_of(question, model), question.mtp)
        parts = [(device, part) for device, part in draft_parts(model, tensors, settings, placement) if part.why == why]
        steps = tuple(f"{_name(device)}: {_computed(Computed(part.bytes, part.error))}" for device, part in parts)
        total = "as the answer says" if question.draft else f"{sum(part.bytes for _, part in parts):,} bytes"
        none = (
            f"a second model: `tonnage estimate {question.draft}` with the same context and slots, all layers and f16 tells its parts"
            if question.draft
            else "nothing is drafted: --speculative mtp asks for it, of a model with a block of multi-token prediction",
        )
        return Explanation(title, formula, steps or none, total, f"common/speculative.cpp, build {settings.build.number}")

    return write


def _attached(title: str, formula: str, source: str) -> Writer:
    """Of files that are named beside the model: their tensors are in them, not in the question."""

    def write(question: Question, model: Model, settings: Settings, placement: Placement) -> Explanation:
        files = (*(question.lora or ()), *((question.mmproj,) if question.mmproj else ()))
        return Explanation(title, formula, tuple(f"file: {file}" for file in files) or ("no such file is named",), "as the answer says", source)

    return write


def _runtime(question: Question, model: Model, settings: Settings, placement: Placement) -> Explanation:
    """A fitted number: what was measured, and where."""
    seen = ", ".join(str(mib) for mib in SEEN_MIB)
    steps = (
        f"{len(SEEN_MIB)} GPUs of four runs: {seen} MiB",
        f"median {LIKELY // MIB} MiB, from {LOW // MIB} to {HIGH // MIB} MiB",
        *(("none of them ran on this backend: CUDA's figure is assumed",) if settings.backend in BACKENDS_ASSUMED else ()),
    )
    formula = "context of the backend + libraries + pool that grows as it computes"
    return Explanation("Runtime", formula, steps, f"{LIKELY:,} bytes on each GPU", SOURCE)


_KV = "sum over layers of pad(bytes(type, width) x cells x streams [+ row padding], alignment), for K and for V"
_STATE = "sum over recurrent layers of pad(4 x elements x slots x (1 + drafted tokens), alignment)"
WRITERS: Mapping[str, Writer] = {
    "weights": _weights,
    "kv": _cached("kv", "KV cache", _KV, "llama-kv-cache.cpp, build 11434"),
    "state": _cached("state", "Recurrent state", _STATE, "llama-memory-recurrent.cpp, build 11434"),
    "compute": _compute,
    "output": _output,
    "prompt_cache": _prompt_cache,
    "checkpoints": _checkpoints,
    "draft": _draft("draft", "Draft: weights", "sum of the tensors of the prediction blocks, each padded"),
    "draft_kv": _draft("draft_kv", "Draft: KV cache", "as the KV cache, for the prediction blocks alone"),
    "draft_compute": _draft("draft_compute", "Draft: compute", "M + 4 x U x 12 x d"),
    "projector": _attached("Projector", "sum of the tensors of --mmproj, each padded", "tools/mtmd"),
    "projector_compute": _attached(
        "Projector: compute", f"{PROJECTOR_COMPUTE[0]} x its weights, at the warm-up image", "mtmd_get_memory_usage of one measured projector"
    ),
    "runtime": _runtime,
    "lora": _attached("Adapters", "sum of the tensors of every --lora, each padded, beside the layers they change", "llama-adapter.cpp"),
}
"""part -> who explains it"""
