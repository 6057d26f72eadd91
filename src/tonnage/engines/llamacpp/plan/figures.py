"""The figures that a plan is judged by, device by device."""

from typing import Any

from tonnage.answer import Plan
from tonnage.engines.llamacpp.placement import HOST, as_backend_names
from tonnage.engines.llamacpp.plan.check import Checked, Task, mostly, unit_homes
from tonnage.engines.llamacpp.reads import Reads


def plan_of(task: Task, checked: Checked) -> Plan:
    """The plan that a placed question is: devices of all layers and of their experts, the flags, and what it is judged by."""
    asked, placement = checked.question, checked.placement
    told: dict[str, object] = {"gpu_layers": sum(device >= 0 for device in placement.layers)}
    told |= {key: value for key, value in (("n_cpu_moe", asked.n_cpu_moe), ("cpu_moe", asked.cpu_moe)) if value}
    if asked.tensor_split:
        told["tensor_split"] = list(asked.tensor_split)
    if asked.override_tensor:
        told["override_tensor"] = as_backend_names(asked.override_tensor, str(checked.estimate.question["backend"])).split(",")
    experts = tuple(mostly(homes, device) for homes, device in zip(unit_homes(task, placement), placement.layers, strict=False))
    return Plan(placement.layers, experts, told, modelled=modelled(task, checked))


def modelled(task: Task, checked: Checked) -> dict[str, Any]:
    """Tokens per second and where their time goes; `device` -1 is the host."""
    devices = [*range(len(task.machine.gpus)), HOST]
    return {
        "depth": task.depth,
        "tokens_per_second": 1 / checked.seconds,
        "splits": checked.splits,
        "devices": [_device(task, checked, device) for device in devices],
    }


def _device(task: Task, checked: Checked, device: int) -> dict[str, Any]:
    memory = task.machine.host if device == HOST else task.machine.gpus[device]
    reads = checked.reads.get(device, Reads())
    seconds = reads.total / memory.rate
    return {
        "device": device,
        "read_bytes": reads.total,
        "read": dict(zip(Reads._fields, reads, strict=True)),
        "seconds": seconds,
        "share": seconds / checked.seconds,
        "bandwidth": memory.bandwidth,
        "efficiency": memory.efficiency,
        "assumed": memory.assumed,
    }
