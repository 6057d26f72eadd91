"""A placement in words."""

from collections.abc import Iterable

from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan.check import Checked, Task, unit_homes
from tonnage.engines.llamacpp.reads import is_expert
from tonnage.units import GIB


def in_ram(task: Task, checked: Checked) -> str:
    """What is left to host memory: `experts of 38 layers`; empty where nothing is that a GPU could hold."""
    layers, bare, experts, dense = _counts(task, checked)
    told = []
    if layers:
        told.append(f"{'attention and cache of ' if bare == layers else ''}{_layers(layers)}")
    if experts:
        told.append(f"experts of {_layers(experts)}")
    if dense:
        told.append(f"feed-forward matrices of {_layers(dense)}")
    return ", ".join(told)


def short(task: Task, checked: Checked) -> str:
    """What a placement does, for a list of remedies."""
    held = in_ram(task, checked)
    if held:
        return f"{held} in RAM ({checked.host / GIB:.1f} GiB of it)"
    split = checked.question.tensor_split
    return f"-ts {','.join(f'{share:g}' for share in split)}" if split else "the placement that llama.cpp makes by itself"


def ranges(numbers: Iterable[int]) -> str:
    """`0-9, 12`; `-` for none."""
    runs: list[list[int]] = []
    for n in sorted(numbers):
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs) or "-"


def _counts(task: Task, checked: Checked) -> tuple[int, int, int, int]:
    """Layers on the host; those of them whose matrices are all on GPUs; layers on GPUs with experts, and with matrices, on the host."""
    routed = {tensor.block for tensor in task.tensors if is_expert(tensor)}
    layers = bare = experts = dense = 0
    trunk = len(task.model.layers) - task.model.n_nextn
    rows = zip(checked.placement.layers[:trunk], unit_homes(task, checked.placement), strict=False)
    for i, (device, homes) in enumerate(rows):
        if device == HOST:
            layers += 1
            bare += bool(homes) and HOST not in homes
        elif HOST in homes:
            experts += i in routed
            dense += i not in routed
    return layers, bare, experts, dense


def _layers(count: int) -> str:
    return f"{count} layer{'s' if count != 1 else ''}"
