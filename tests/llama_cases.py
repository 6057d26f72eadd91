"""Runs of llama.cpp, as tests/data holds them: what was asked for, and the bytes of every buffer it reported."""

import gzip
import json
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from gguf_writer import real_header
from tonnage.answer import Estimate, Part
from tonnage.engines.llamacpp import answer
from tonnage.model import gguf
from tonnage.model.build import from_header
from tonnage.model.types import Model
from tonnage.question import Question, from_dict

DATA = Path(__file__).parent / "data"
TERMS = {"weights": 0, "kv": 1, "state": 1, "compute": 2}
"""part -> the column of a buffer's bytes that it is in"""
VALUED = {
    "-c": "n_ctx", "-np": "slots", "-ub": "ubatch", "-b": "batch", "-ctk": "cache_type_k", "-ctv": "cache_type_v", "-fa": "flash_attn",
    "-ngl": "gpu_layers", "-ncmoe": "n_cpu_moe", "-ot": "override_tensor", "-ts": "tensor_split", "-mg": "main_gpu", "-sm": "split_mode",
}  # fmt: skip
SWITCHES = {
    "-kvu": ("kv_unified", True), "--swa-full": ("swa_full", True), "-nkvo": ("kv_offload", False),
    "-cmoe": ("cpu_moe", True), "--no-op-offload": ("op_offload", False),
}  # fmt: skip


class Case(NamedTuple):
    """One run: the question, and (weights, cache, compute) of `gpu0`, `gpu1`, ..., `host`; None where the engine refused."""

    name: str
    question: Question
    measured: dict[str, tuple[int, int, int]] | None

    def __str__(self) -> str:
        return self.name


@cache
def read(name: str) -> dict[str, Any]:
    """A packed file of tests/data."""
    content: dict[str, Any] = json.loads(gzip.decompress((DATA / f"{name}.json.gz").read_bytes()))
    return content


@cache
def model(name: str) -> Model:
    """The model of a stored header, as if its whole file were there."""
    header = gguf.parse(real_header(name))
    return from_header(header.metadata, header.tensors, name, f"{name}.gguf", file_bytes=header.file_bytes_needed)


def single() -> list[Case]:
    """Every run on one device: CUDA or the CPU alone."""
    return _on_one_device("llama-cases")


def sparse() -> list[Case]:
    """Models with sparse attention on the CPU, at unusual settings."""
    return _on_one_device("sparse-cases")


def _on_one_device(name: str) -> list[Case]:
    return [
        Case(f"{c['model']} {c['backend']} {c['flags']} {c['outputs']}", question(c, backend=c["backend"]), by_device(c.get("buffers")))
        for c in read(name)["cases"]
    ]


def spread() -> list[Case]:
    """Runs on one to eight GPUs, with layers and experts in host memory."""
    free = read("placement-cases")["free_mib"]
    return [
        Case(
            f"{c['model']} {'+'.join(c['gpus'])} {c['flags']} {c['outputs']}",
            question(c, device=[f"cuda:{free[gpu]}MiB-free" for gpu in c["gpus"]]),
            by_device(c["buffers"]),
        )
        for c in read("placement-cases")["cases"]
    ]


def question(case: dict[str, Any], **more: Any) -> Question:
    """The case as a question: no number of outputs means the profile of the command-line tools."""
    return from_dict(
        {"model": case["model"], "profile": "tools" if case["outputs"] is None else "server", "slots": 1, "kv_unified": False}
        | dict(_keys(case["flags"]))
        | more
    )


def _keys(flags: str) -> Iterator[tuple[str, Any]]:
    words = iter(shlex.split(flags))
    for word in words:
        yield SWITCHES[word] if word in SWITCHES else (VALUED[word], next(words))


def by_device(buffers: dict[str, list[int]] | None) -> dict[str, tuple[int, int, int]] | None:
    """CUDA0 is `gpu0`; the pinned and the plain buffer of the host are one."""
    if buffers is None:
        return None
    found: dict[str, tuple[int, int, int]] = {}
    for name, (weights, cache_, compute) in buffers.items():
        where = name.replace("CUDA", "gpu") if name.removeprefix("CUDA").isdigit() else "host"
        before = found.get(where, (0, 0, 0))
        found[where] = (before[0] + weights, before[1] + cache_, before[2] + compute)
    return found


_answers: dict[str, Estimate] = {}


def answered(case: Case) -> Estimate:
    """Our answer to the case, made once."""
    if case.name not in _answers:
        _answers[case.name] = answer(case.question, model(case.question.model))
    return _answers[case.name]


def predicted(estimate: Estimate) -> dict[str, tuple[int, int, int]]:
    """Our answer in the shape of `measured`."""
    return {name: _column_sums(device.parts) for name, device in zip(names(estimate), estimate.devices, strict=True)}


def names(estimate: Estimate) -> list[str]:
    """`gpu0`, `gpu1`, ..., `host`."""
    return [f"gpu{i}" for i in range(len(estimate.devices) - 1)] + ["host"]


def _column_sums(parts: tuple[Part, ...]) -> tuple[int, int, int]:
    sums = [0, 0, 0]
    for part in parts:
        if part.part in TERMS:
            sums[TERMS[part.part]] += part.bytes
    return sums[0], sums[1], sums[2]


def column(by_device: dict[str, tuple[int, int, int]], term: int) -> dict[str, int]:
    """One term of every device that has any."""
    return {name: values[term] for name, values in sorted(by_device.items()) if values[term]}
