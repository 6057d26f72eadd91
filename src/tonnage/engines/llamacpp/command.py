"""The launch command that an answer is about: run with it, llama.cpp allocates what the answer says."""

import re

from tonnage.engines.llamacpp.settings import Settings, wanted_cells
from tonnage.model.types import Model
from tonnage.question import Question


def launch(question: Question, model: Model, settings: Settings, recipe: str, cpu_only: bool) -> str:
    """`llama-server ...` (or `llama-cli ...` for the tools profile), every setting that differs from the default spelled out."""
    program = "llama-server" if settings.profile == "server" else "llama-cli"
    words = [program, *_weights(question, model, recipe), "--fit", "off", "-c", str(wanted_cells(question, model)), *_slots(question, settings)]
    words += ["-ngl", _layers(question, cpu_only)]
    words += [_quoted(word) for option in options(question, settings) for word in option]
    return " ".join(words)


def _weights(question: Question, model: Model, recipe: str) -> list[str]:
    """Where llama.cpp finds the weights: a path, a repo with its quant (-hf), or an address (-mu)."""
    if model.basis != "file":
        name = "model" if model.basis == "assumed" else model.name.rsplit("/", 1)[-1]
        return ["-m", _quoted(f"{name}-{recipe}.gguf")]
    if "://" in model.source:
        if re.fullmatch(r"[\w.-]+/[\w.-]+(:[\w.-]+)?", question.model):
            return ["-hf", question.model]
        return ["-mu", _quoted(model.source.partition(" ")[0].replace("/blob/", "/resolve/"))]
    if model.source.startswith("ollama:"):
        return ["-m", _quoted(model.name.rsplit("/", 1)[-1].replace(":", "-") + ".gguf")]
    return ["-m", _quoted(model.source)]


def _quoted(word: str) -> str:
    """The word as a shell takes it for one."""
    return word if re.fullmatch(r"[\w./:@%+=-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def _slots(question: Question, settings: Settings) -> list[str]:
    """llama-server without -np runs four slots on one cache, the tools one slot; with it, caches of their own."""
    server = settings.profile == "server"
    if settings.slots == 1 and not server:
        return []
    if server and settings.slots == settings.build.server_slots and settings.unified and question.slots is None:
        return []
    return ["-np", str(settings.slots), *(["-kvu"] if settings.unified and settings.slots > 1 else [])]


def _layers(question: Question, cpu_only: bool) -> str:
    if cpu_only:
        return "0"
    return "all" if question.gpu_layers is None or question.gpu_layers < 0 else str(question.gpu_layers)


def options(question: Question, settings: Settings) -> list[tuple[str, ...]]:
    """Flags with their values, one tuple each, for every setting that is not the engine's default and names no device's layers or slots."""
    build = settings.build
    values = (
        ("-b", question.batch if question.batch and settings.batch != min(build.batch, settings.n_ctx) else None),
        ("-ub", question.ubatch if question.ubatch and settings.ubatch != min(build.ubatch, settings.batch) else None),
        ("-fa", question.flash_attn if question.flash_attn in ("on", "off") else None),
        ("-ctk", settings.type_k if settings.type_k != "f16" else None),
        ("-ctv", settings.type_v if settings.type_v != "f16" else None),
        ("-ncmoe", question.n_cpu_moe or None),
        ("-ot", question.override_tensor or None),
        ("-ts", ",".join(f"{x:g}" for x in question.tensor_split) if question.tensor_split else None),
        ("-mg", question.main_gpu or None),
        ("-sm", question.split_mode if question.split_mode not in (None, "layer") else None),
        ("--mmproj", question.mmproj or None),
        ("--spec-type", "draft-mtp" if settings.n_draft else None),
        ("--spec-draft-model", question.draft or None),
    )
    switches = (
        ("--swa-full", settings.swa_full),
        ("-nkvo", not settings.kv_offload),
        ("--no-op-offload", not settings.op_offload),
        ("-cmoe", bool(question.cpu_moe)),
        ("--no-mmap", not settings.mmap),
    )
    adapters: list[tuple[str, ...]] = [("--lora", path) for path in question.lora or ()]
    given: list[tuple[str, ...]] = [(name, str(value)) for name, value in values if value is not None]
    return given + [(name,) for name, on in switches if on] + adapters
