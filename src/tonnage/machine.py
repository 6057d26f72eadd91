"""What of a question lies on this machine: the device `this`, and devices of the user's own file. A rim like `source`."""

import os

from tonnage.errors import QuestionError, SourceError
from tonnage.frozen import replace
from tonnage.hardware.detect import Found, Machine, Probe, detect
from tonnage.hardware.devices import catalogue, describe
from tonnage.hardware.types import Device
from tonnage.question import Question

THIS = "this"
DEVICES = "TONNAGE_DEVICES"
MAX_FILE_BYTES = 1024 * 1024


def resolve(question: Question, *, files: bool = True, probe: Probe | None = None) -> tuple[Question, tuple[str, ...]]:
    """The question with its devices told in full, and what there is to say of them.

    Raises QuestionError where this machine may not be asked (`files` is false), SourceError for a file that cannot be read.
    """
    descriptions = [text.strip() for text in question.device or ()]
    asks_this = any(text.lower() == THIS for text in descriptions)
    if (asks_this or question.device_file) and not files:
        raise QuestionError(f"{'device=this' if asks_this else 'device_file'}: this machine is not asked here")
    own = own_devices(question.device_file) if files and descriptions else {}
    if own:
        from tonnage.hardware.own import expand

        descriptions = [expand(text, own) for text in descriptions]
    question = replace(question, device=tuple(descriptions) or None, device_file=None)
    return _on(question, detect(probe)) if asks_this else (question, ())


def _on(question: Question, machine: Machine) -> tuple[Question, tuple[str, ...]]:
    """`this` replaced by what was found; keys that were given stand."""
    found = tuple(description(gpu) for gpu in machine.gpus)
    device = tuple(text for asked in question.device or () for text in (found if asked.lower() == THIS else (asked,)))
    if question.wired_limit is None and machine.wired_limit:
        question = replace(question, wired_limit=machine.wired_limit)
    # a GPU whose free memory was measured has its display counted already
    return replace(
        question,
        device=device or None,
        backend=question.backend if device else "cpu",
        os=question.os or machine.os,
        ram=question.ram or ram_of(machine),
    ), machine.notes


def description(gpu: Found) -> str:
    """The GPU as a description: its row of the catalogue where it has one, with what is free now."""
    row = next((device for device in catalogue() if device.name == gpu.device.name), None)
    if row is not None:
        fields = [f"kind={gpu.device.kind}"] if gpu.device.kind != row.kind else []
        fields += [f"memory={gpu.device.memory_bytes}B"] if gpu.device.memory_bytes != row.memory_bytes else []
        fields += [f"free={gpu.free_bytes}B"] if gpu.free_bytes is not None else []
        return ",".join([row.name, *fields])
    return describe(replace(gpu.device, driver_bytes=gpu.total_bytes if gpu.device.kind == "gpu" else None, free_bytes=gpu.free_bytes))


def ram_of(machine: Machine) -> str | None:
    """Host memory as a description."""
    if machine.ram_bytes is None:
        return None
    return f"{machine.ram_bytes}B" + ("" if machine.ram_free_bytes is None else f" {machine.ram_free_bytes}B-free")


# --- the user's own file --------------------------------------------------------------------------


def own_path() -> str | None:
    """Where the user's own devices stand; None where there is no such file."""
    told = os.environ.get(DEVICES)
    if told:
        return told
    settings = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    path = os.path.join(settings, "tonnage", "devices.toml")
    return path if os.path.exists(path) else None


def own_devices(path: str | None = None) -> dict[str, str]:
    """Name in small letters -> description of every device in the user's file."""
    path = path or own_path()
    if path is None:
        return {}
    import tomllib

    from tonnage.hardware.own import descriptions

    try:
        with open(path, "rb") as file:
            return descriptions(tomllib.loads(file.read(MAX_FILE_BYTES).decode()), path)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not TOML: {error}") from None


def own_rows(path: str | None = None) -> tuple[Device, ...]:
    """The devices of the user's own file."""
    from tonnage.hardware.devices import find

    return tuple(device for text in own_devices(path).values() for device in find(text))
