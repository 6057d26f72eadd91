"""What stays on the GPUs with the experts, or layers, of so and so many blocks in RAM: for every number of them."""

from collections.abc import Iterator
from typing import Any

from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan.check import Checked, Task, check
from tonnage.engines.llamacpp.plan.layout import placed
from tonnage.engines.llamacpp.reads import Reads, is_expert
from tonnage.question import Question


def every(task: Task) -> Iterator[tuple[dict[str, Any], Checked]]:
    """One row for every number of blocks, none first: exact bytes, and the speed by bytes read; with what it was read off."""
    routed = routed_blocks(task)
    for k, question in enumerate(_experts(task.question, routed) if routed else _layers(task.question, len(task.model.layers))):
        checked = check(task, question)
        yield _row(task, k, checked), checked


def routed_blocks(task: Task) -> list[int]:
    """The blocks that have experts."""
    n = len(task.model.layers) - task.model.n_nextn
    return sorted({tensor.block for tensor in task.tensors if tensor.block is not None and tensor.block < n and is_expert(tensor)})


def _experts(question: Question, routed: list[int]) -> Iterator[Question]:
    """The experts of the first k blocks that have some: -ncmoe counts all blocks."""
    yield placed(question, {})
    for block in routed:
        yield placed(question, {"n_cpu_moe": block + 1})


def _layers(question: Question, n: int) -> Iterator[Question]:
    """The first k layers with all that they have; the output layer is the last to go."""
    for k in range(n + 2):
        yield placed(question, {"gpu_layers": n + 1 - k} if k else {})


def _row(task: Task, k: int, checked: Checked) -> dict[str, Any]:
    host = checked.reads.get(HOST, Reads()).total
    devices = checked.estimate.devices
    return {
        "layers_in_ram": k,
        "flag": _flag(checked.question),
        "gpu_bytes": sum(device.total_bytes for device in devices[:-1]),
        "host_bytes": checked.host,
        "gpu_read_bytes": sum(reads.total for reads in checked.reads.values()) - host,
        "host_read_bytes": host,
        "tokens_per_second": 1 / checked.seconds,
        "fits": checked.fits(task.machine) if any(gpu.free_bytes is not None for gpu in task.machine.gpus) else None,
        "spare_bytes": _spare(task, checked),
    }


def _flag(question: Question) -> str:
    """The option that does it."""
    return f"-ncmoe {question.n_cpu_moe}" if question.n_cpu_moe else "-ngl all" if question.gpu_layers is None else f"-ngl {question.gpu_layers}"


def _spare(task: Task, checked: Checked) -> int | None:
    """Bytes beyond the margin on the tightest memory; negative where so much is short, None without a limit."""
    left = [-over for over, gpu in zip(checked.over(task.machine), task.machine.gpus, strict=True) if gpu.free_bytes is not None]
    left += [task.machine.host.free_bytes - checked.host] if task.machine.host.free_bytes is not None else []
    return min(left, default=None)
