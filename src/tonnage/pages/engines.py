"""The same question asked of another engine, and the programs that an answer can be launched with."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tonnage.answer import Estimate
from tonnage.errors import TonnageError
from tonnage.estimation import DEFAULT_ENGINE, ENGINES, engine_of
from tonnage.frozen import replace
from tonnage.glance import RECIPES
from tonnage.keys import GROUPS, KEYS
from tonnage.pages.site import Site
from tonnage.quant import formats, recipes
from tonnage.question import Question, from_query, to_query
from tonnage.solve import quants_of
from tonnage.source import Opened

TITLES = {
    "llama.cpp": "llama.cpp",
    "vllm": "vLLM",
    "sglang": "SGLang",
    "transformers": "Transformers",
    "mlx": "MLX",
    "exllamav3": "ExLlamaV3",
}
"""engine -> as its makers write it"""
_OF_GROUP = {group.title: frozenset(key.name for key in group.keys) for group in GROUPS}
_FILES = frozenset(("imatrix", "rules", "output_type", "embedding_type", "mtp", "mmproj", "draft", "lora"))
_SERVERS = ("vllm", "sglang")


class Tab(NamedTuple):
    """An engine, and where it answers."""

    title: str
    href: str
    current: bool


def tabs(question: Question, site: Site) -> list[Tab]:
    """Every engine, with the address of the same question."""
    own = engine_of(question)
    return [Tab(TITLES[name], site.link("/", to_query(asked_of(question, name))), package == own) for name, package in ENGINES.items()]


def tabs_of(query: str, site: Site) -> list[Tab]:
    """The tabs of a query that could not be answered; none where it is no question."""
    try:
        return tabs(from_query(query), site) if query else []
    except TonnageError:
        return []


def asked_of(question: Question, engine: str) -> Question:
    """The question with what holds for another engine, and without what only its own knows."""
    if ENGINES[engine] == engine_of(question):
        return question
    dropped: dict[str, Any] = dict.fromkeys(_foreign(engine) & KEYS.keys())
    own = None if engine == DEFAULT_ENGINE else engine
    quant = question.quant if question.quant and loads(engine, question.quant) else None
    return replace(question, **{**dropped, "engine": own, "engine_version": None, "backend": None, "quant": quant})


def _foreign(engine: str) -> frozenset[str]:
    """Keys that mean nothing to an engine."""
    foreign: frozenset[str] = frozenset()
    if engine != DEFAULT_ENGINE:
        foreign |= _OF_GROUP["llama.cpp"] | _FILES
    if engine not in _SERVERS:
        foreign |= _OF_GROUP["serving engines"]
    if engine != "transformers":
        foreign |= _OF_GROUP["fine-tuning"]
    return foreign | {"gpu_memory_utilization", "mem_fraction_static", "kv_cache_dtype", "block_size", "speculative", "available_kv"}


def quants(question: Question) -> tuple[str, ...]:
    """What the engine of a question can be asked for, most bits first."""
    return RECIPES if engine_of(question) == ENGINES[DEFAULT_ENGINE] else quants_of(question)


def loads(engine: str, quant: str) -> bool:
    """Whether an engine loads weights of that recipe or format."""
    if engine == DEFAULT_ENGINE:
        try:
            return bool(recipes.parse(quant))
        except TonnageError:
            return False
    found = formats.find(quant)
    return quant.lower().startswith("exl3") if engine == "exllamav3" else found is not None and engine in found.engines


# --- what to type -----------------------------------------------------------------------------------


def commands(opened: Opened, found: Estimate) -> Iterator[tuple[str, str]]:
    """(program, command): the answer's own, and for llama.cpp those of the programs around it."""
    for name, command in found.command.items():
        yield _program(name, command), command
    if ENGINES[DEFAULT_ENGINE] == engine_of(opened.question):
        yield from _around(opened, found)


def _program(name: str, command: str) -> str:
    engine, comma, rest = name.partition(",")
    if engine == DEFAULT_ENGINE:
        return command.partition(" ")[0] + comma + rest
    return TITLES.get(name, name[:1].upper() + name[1:])


def _around(opened: Opened, found: Estimate) -> Iterator[tuple[str, str]]:
    """Ollama and LM Studio, which place whole layers."""
    from tonnage.engines.llamacpp.plan import targets, task_of

    question, model = opened.question, opened.model
    if question.gpu_layers is not None or question.backend == "cpu":
        return
    if found.verdict is None or found.verdict.word in ("fits", "tight"):
        yield from targets.spoken(question, model, len(model.layers) + 1)
    else:
        yield from targets.targets(task_of(question, model, opened.attached))
