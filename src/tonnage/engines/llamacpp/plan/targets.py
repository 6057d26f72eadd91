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
from tonnage.question import Question

OLLAMA_CACHE_TYPES = ("f16", "q8_0", "q4_0")


def targets(task: Task) -> Iterator[tuple[str, str]]:
    """(program, command), for each that can hold the model in whole layers."""
    layers = most_layers(task)
    if layers is not None:
        yield "Ollama", _ollama(task, layers)
        yield "LM Studio", _lm_studio(task, layers)


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


def _ollama(task: Task, layers: int) -> str:
    settings = resolve(task.question, task.model)
    cache = settings.type_k if settings.type_k == settings.type_v and settings.type_k in OLLAMA_CACHE_TYPES else "f16"
    values = {"NUM_PARALLEL": task.question.users or 1, "FLASH_ATTENTION": int(settings.flash_attn), "KV_CACHE_TYPE": cache}
    server = " ".join(f"OLLAMA_{name}={value}" for name, value in values.items())
    return f"{server} ollama serve # Modelfile: PARAMETER num_ctx {_context(task.question, task)}, PARAMETER num_gpu {layers}"


def _lm_studio(task: Task, layers: int) -> str:
    everything = len(task.model.layers) + 1
    share = "max" if layers == everything else "off" if not layers else f"{int(100 * layers / everything) / 100:.2f}"
    return f"lms load {task.model.name.rsplit('/', 1)[-1].lower()} --context-length {_context(task.question, task)} --gpu {share}"


def _context(question: Question, task: Task) -> int:
    return context_of(question, task.model) if question.n_ctx is None else resolve(question, task.model).cells
