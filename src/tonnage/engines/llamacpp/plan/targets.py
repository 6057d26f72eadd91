"""The plan for programs around llama.cpp, in their own words: Ollama and LM Studio.

They place whole layers and cannot move experts alone, so each gets the most layers that fit.
Source: Ollama's documentation (FAQ, Modelfile: num_ctx, num_gpu, OLLAMA_*); LM Studio's `lms load --help`.
"""

from collections.abc import Iterator

from tonnage.engines.llamacpp.plan.check import Task, hold
from tonnage.engines.llamacpp.plan.layout import placed
from tonnage.engines.llamacpp.settings import context_of, resolve
from tonnage.errors import TonnageError
from tonnage.frozen import replace
from tonnage.model.types import Model
from tonnage.question import Question

OLLAMA_CACHE_TYPES = ("f16", "q8_0", "q4_0")


def targets(task: Task) -> Iterator[tuple[str, str]]:
    """(program, command), for each that can hold the model in whole layers."""
    layers = most_layers(task)
    if layers is not None:
        yield from spoken(task.question, task.model, layers)


def spoken(question: Question, model: Model, layers: int) -> Iterator[tuple[str, str]]:
    """(program, command), with so many layers on GPUs, the output layer counted."""
    yield "Ollama", _ollama(question, model, layers)
    yield "LM Studio", _lm_studio(question, model, layers)


def most_layers(task: Task) -> int | None:
    """Layers on GPUs, the output layer counted, with slots for the users alone; None where not even none fits."""
    question = replace(task.question, slots=task.question.users or 1, kv_unified=None)

    def fits(layers: int) -> bool:
        try:
            return hold(task, placed(question, {"gpu_layers": layers}), 0.0).fits(task.machine)
        except TonnageError:
            return False

    low, high = 0, len(task.model.layers) + 1
    if fits(high):
        return high
    if not fits(low):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _ollama(question: Question, model: Model, layers: int) -> str:
    settings = resolve(question, model)
    cache = settings.type_k if settings.type_k == settings.type_v and settings.type_k in OLLAMA_CACHE_TYPES else "f16"
    values = {"NUM_PARALLEL": question.users or 1, "FLASH_ATTENTION": int(settings.flash_attn), "KV_CACHE_TYPE": cache}
    server = " ".join(f"OLLAMA_{name}={value}" for name, value in values.items())
    return f"{server} ollama serve # Modelfile: PARAMETER num_ctx {_context(question, model)}, PARAMETER num_gpu {layers}"


def _lm_studio(question: Question, model: Model, layers: int) -> str:
    everything = len(model.layers) + 1
    share = "max" if layers == everything else "off" if not layers else f"{int(100 * layers / everything) / 100:.2f}"
    return f"lms load {model.name.rsplit('/', 1)[-1].lower()} --context-length {_context(question, model)} --gpu {share}"


def _context(question: Question, model: Model) -> int:
    return context_of(question, model) if question.n_ctx is None else resolve(question, model).cells
