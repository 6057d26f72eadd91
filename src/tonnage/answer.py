"""The values that an answer is made of. Bytes are integers; nothing here is rounded or formatted."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from tonnage.frozen import dataclass, field
from tonnage.hardware.types import Deduction
from tonnage.model.types import Model


@dataclass(frozen=True, slots=True)
class Band:
    """How far the truth may lie from a fitted number: `low` <= 0 <= `high`, bytes."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Part:
    """One line of an answer."""

    part: str
    """weights, kv, state, compute, output, projector, draft, lora, runtime, prompt_cache, checkpoints, ..."""
    bytes: int
    basis: str
    """file, config, rule, fitted or assumed"""
    error: Band | None = None
    """None means exact"""
    why: str = ""
    """what `explain` is asked for"""
    held: str = "gpu"
    """gpu, mapped (pages of the file), pinned, allocated, or reserved (grows to this at most)"""


@dataclass(frozen=True, slots=True)
class DeviceAnswer:
    """A device and what lies on it. Sizes are None where the device has no known limit."""

    name: str
    kind: str
    """gpu, unified or host"""
    parts: tuple[Part, ...]
    capacity_bytes: int | None = None
    usable_bytes: int | None = None
    deductions: tuple[Deduction, ...] = ()
    """what lies between capacity and usable bytes, row by row"""

    @property
    def total_bytes(self) -> int:
        """What all parts take together."""
        return sum(part.bytes for part in self.parts)

    @property
    def free_bytes(self) -> int | None:
        """What is left of the usable bytes; negative where it does not fit."""
        return None if self.usable_bytes is None else self.usable_bytes - self.total_bytes

    @property
    def error(self) -> Band | None:
        """The bands of all parts together; None when every part is exact."""
        bands = [part.error for part in self.parts if part.error]
        return Band(sum(b.low for b in bands), sum(b.high for b in bands)) if bands else None


@dataclass(frozen=True, slots=True)
class WeightsAnswer:
    """The weights as they are stored."""

    tensor_bytes: int
    file_bytes: int | None
    """bytes on disk of the file, or of one with these tensors; None where the tokenizer's share is not known"""
    parameters: int
    by_type: Mapping[str, tuple[int, int]]
    """type -> (tensors, bytes)"""
    recipe: str
    rules: str | None
    imatrix: bool
    basis: str
    file_error: Band | None = None
    """how far a predicted `file_bytes` may lie from the file, whose metadata are known by tokenizer alone; None for a file's own"""
    per_rank_bytes: tuple[int, ...] = ()
    """parameters of every rank, of engines that share a model out"""

    @property
    def bits_per_weight(self) -> float:
        """Stored bits over the parameters that the tensors hold."""
        return 8 * self.tensor_bytes / self.parameters


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it fits, in a word and a sentence."""

    word: str
    """fits, tight, offload, spills, pages or too big"""
    text: str
    short_by_bytes: int = 0
    would_fit_with: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What goes where: a device index per layer, the output layer last; -1 is the host."""

    layers: tuple[int, ...]
    experts: tuple[int, ...]
    flags: Mapping[str, Any]
    against_fit: str = ""
    modelled: Mapping[str, Any] | None = None
    """tokens per second, and what each device reads for one"""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The whole answer to one question: what every face renders."""

    question: Mapping[str, Any]
    """the question with every default filled in that matters"""
    assumed: tuple[str, ...]
    """keys of `question` that were defaults"""
    model: Model
    weights: WeightsAnswer
    devices: tuple[DeviceAnswer, ...]
    engine: str
    """name and version, as in `llama.cpp b11434`"""
    verdict: Verdict | None = None
    plan: Plan | None = None
    capacity: Mapping[str, Any] | None = None
    speed: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None
    command: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    caches: tuple[tuple[str, int, str], ...] = ()
    """(kind of layer, how many, what each keeps), for the model's part of the answer"""

    @property
    def total_bytes(self) -> int:
        """All devices together."""
        return sum(device.total_bytes for device in self.devices)

    @property
    def gpu_bytes(self) -> int:
        """What lies on GPUs and unified memory."""
        return sum(device.total_bytes for device in self.devices if device.kind != "host")

    @property
    def host_bytes(self) -> int:
        """What lies in the host's memory."""
        return self.total_bytes - self.gpu_bytes

    def to_json(self) -> str:
        """One line, byte for byte what the command line prints with `--json`."""
        return self._shown("json")

    def to_markdown(self) -> str:
        """The answer as Markdown, for an issue, a model card or a chat."""
        return self._shown("md")

    def __str__(self) -> str:
        return self._shown("table")

    def __repr__(self) -> str:
        word = f", {self.verdict.word}" if self.verdict else ""
        told = f"{self.model.name}, {self.weights.recipe}, {self.engine}"
        return f"<Estimate {told}: gpu_bytes={self.gpu_bytes}, host_bytes={self.host_bytes}{word}>"

    def _repr_html_(self) -> str:
        return self._shown("html")

    def _shown(self, form: str) -> str:
        # what shows a value stands above it, so it is imported by name when someone looks
        shown: str = import_module("tonnage.render").shown(form, self)
        return shown


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a part has its size: the formula, the numbers put in, and where the rule stands."""

    title: str
    formula: str
    steps: tuple[str, ...]
    result: str
    source: str
