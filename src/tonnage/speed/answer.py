"""The speed of a question's placement, with all that it hangs on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tonnage.calculators.transfer import parse_link
from tonnage.errors import QuestionError
from tonnage.frozen import dataclass, replace
from tonnage.hardware.ram import Ram
from tonnage.hardware.types import Device
from tonnage.question import Question
from tonnage.speed import limit, prompt, speculation
from tonnage.speed.batch import Together, together
from tonnage.speed.constants import Group
from tonnage.speed.sources import Source, host_of, source_of
from tonnage.speed.token import LAYERS, Paging, Range, Share, seconds_of, shares
from tonnage.work import HOST, Work

PROMPT = 512
TITLES = {"vllm": "vLLM", "sglang": "SGLang", "mlx": "MLX-LM", "exllamav3": "ExLlamaV3"}
DISK, INTERNET = "NVMe Gen4", "Cable/fibre 100 Mb/s"


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a placement is."""

    work: Work
    shares: tuple[Share, ...]
    """of the time of one token, or of one round of speculation"""
    decode: Range
    """tokens per second"""
    prefill: Range | None
    """prompt tokens per second; None where a rate is not known"""
    first_token: Range | None
    """seconds from the prompt to the first token"""
    load: Range
    download: Range
    prompt: int
    notes: tuple[str, ...]
    together: Together | None = None
    """all requests at a time; None for a single one, or where it is not known"""
    groups: tuple[Group, ...] = ()
    """whose constants it rests on"""

    @property
    def engine(self) -> str:
        """The engine whose own constants these are, as people call it; empty for llama.cpp."""
        return TITLES.get(self.work.engine, self.work.engine)

    @property
    def bound_by(self) -> str:
        """What most of the time is spent on."""
        most = max(self.shares, key=lambda share: share.seconds)
        return f"the fixed cost of layers on {most.where}" if most.what == LAYERS else f"reading {most.what} from {most.where}"


_BACKENDS = {"cuda": "CUDA", "metal": "Metal"}


class NotKnownError(QuestionError):
    """A bandwidth that the speed hangs on is not known."""


def speed_of(question: Question, work: Work, devices: Sequence[Device], ram: Ram | None, backend: str, missing: float = 0.0) -> Speed:
    """The speed of the work on these devices; `missing` is the share of the host's weights that memory cannot hold.

    NotKnownError where the rate of a place is not known that something is read from.
    """
    sources = _sources(work, devices, ram, backend)
    disk, internet = parse_link(question.disk or DISK), parse_link(question.internet or INTERNET)
    paging = Paging(missing, disk.typical_mb_s * 1e6) if missing else None
    one = tuple(shares(work, sources, paging))
    drafted = work.draft is not None
    of_round = speculation.round_shares(work, one, sources, work.draft) if work.draft else one
    decode = seconds_of(of_round).inverse()
    if work.draft:
        decode = speculation.tokens_per_second(seconds_of(of_round), work.draft, _acceptance(question))
    slow = _slowed(question, devices)
    tokens = question.prompt or PROMPT
    per_token = prompt.seconds_per_token(work, sources, tokens)
    prefill = per_token.inverse().scaled(slow.prefill) if per_token else None
    return Speed(
        work=work,
        shares=of_round,
        decode=decode.scaled(slow.decode),
        prefill=prefill,
        first_token=_first(prefill, decode if not drafted else seconds_of(one).inverse(), tokens),
        load=prompt.load_seconds(work, disk, sources),
        download=prompt.download_seconds(work, internet),
        prompt=tokens,
        notes=tuple(_notes(question, work, sources, paging)),
        together=_slower(together(work, one, sources), slow) if work.users > 1 else None,
        groups=tuple(dict.fromkeys(source.group for source in sources.values())),
    )


def _slower(found: Together | None, slow: limit.Slowed) -> Together | None:
    return replace(found, step=found.step.scaled(1 / slow.decode)) if found else None


def _sources(work: Work, devices: Sequence[Device], ram: Ram | None, backend: str) -> dict[int, Source]:
    """The source of every place that something is read from."""
    count = Counter(device.name for device in devices)
    found: dict[int, Source] = {}
    for device in sorted({place.device for place in work.places if place.bytes or place.layers}):
        if device == HOST:
            source = host_of(ram, devices)
            lacks = "RAM's rate is not known: say its kit, as in --ram '64GB DDR5-6000 x2'"
        elif device >= len(devices):
            raise NotKnownError("no device is named: say one, as in --device 'RTX 4090'")
        else:
            ranks = next(place.ranks for place in work.places if place.device == device)
            card = min(devices[device : device + ranks], key=lambda one: one.bandwidth or 0)
            name = f"{count[card.name]}x {card.name}" if count[card.name] > 1 else card.name
            source = source_of(card, backend, name, work.engine)
            lacks = f"the bandwidth of {card.name} is not known: name a device, or say it, as in 'memory=24GB,bandwidth=936'"
        if source is None:
            raise NotKnownError(lacks)
        found[device] = source
    return found


def _acceptance(question: Question) -> float | None:
    given = question.acceptance
    if given is not None and not 0 <= given <= 1:
        raise QuestionError(f"acceptance={given:g}: a share lies between 0 and 1, such as 0.7")
    return given


def _slowed(question: Question, devices: Sequence[Device]) -> limit.Slowed:
    """The slowest of the cards under the question's power limit."""
    if question.power_limit is None:
        return limit.Slowed(1.0, 1.0)
    if not question.power_limit:
        raise QuestionError("power_limit=0: must be more than 0")
    found = [limit.slowed(question.power_limit, device.watts) for device in devices if device.watts] or [limit.Slowed(1.0, 1.0)]
    return limit.Slowed(min(one.decode for one in found), min(one.prefill for one in found))


def _first(prefill: Range | None, decode: Range, tokens: int) -> Range | None:
    if prefill is None:
        return None
    reading, token = prefill.inverse(), decode.inverse()
    return Range(*(tokens * a + b for a, b in zip(reading, token, strict=True)))


def _notes(question: Question, work: Work, sources: Mapping[int, Source], paging: Paging | None) -> list[str]:
    notes = [f"{source.name}: measured on builds of 2024 alone." for source in sources.values() if source.group.name.endswith("2024")]
    notes += dict.fromkeys(_whose(source.group) for source in sources.values() if source.group.kin)
    if any(place.ranks > 1 for place in work.places):
        notes.append("Ranks share every layer: what their exchange costs was measured on RTX 3090s with a bridge or PCIe alone.")
    if any(share.experts for share in work.places if share.device == HOST):
        notes.append("Experts in RAM: 0.45 of what long reads reach; a desktop Ryzen of one die reads 64 GB/s at most, whatever its kit.")
    if paging:
        notes.append("Weights that RAM cannot hold are read from disk for each token: an order of magnitude, no more.")
    unknown = prompt.lacks(work, sources)
    if unknown:
        notes.append(f"No speed of prompts: {unknown}.")
    notes += _of_speculation(question, work)
    if work.users > 1 and not any(place.device == HOST and place.parameters for place in work.places):
        alone = ", none drafted" if work.draft else ""
        notes.append(f"{work.users} at a time: each of them generating, with as many tokens in its cache{alone}.")
    elif work.users > 1:
        notes.append(f"No speed of {work.users} at a time: weights in RAM are multiplied by the CPU, and how fast, no published run tells.")
    if question.power_limit is not None:
        notes.append("Power limit: speeds as one card of 600 W loses them.")
    return notes


def _whose(group: Group) -> str:
    machines = f"{group.machines} kind" + ("s" if group.machines > 1 else "") + " of machine"
    return f"{TITLES[group.name]}: fitted to {group.rows} published runs on {machines}, drawn to llama.cpp on {_BACKENDS[group.kin]}."


def _of_speculation(question: Question, work: Work) -> list[str]:
    if not work.draft:
        return [f"Speculation by {question.speculative} is not in this speed."] if question.speculative else []
    if question.acceptance is not None:
        return []
    low, likely, high = speculation.acceptances(work.draft, None)
    hang = ": it hangs on how much of the text was there before" if work.draft.guesses else ""
    drafter = "lookup" if work.draft.guesses else "the draft model" if question.draft else "the model's own head"
    tokens = f"{work.draft.tokens} token{'s' if work.draft.tokens > 1 else ''}"
    return [f"Speculation: {tokens} drafted by {drafter}; acceptance {low:g} to {high:g} assumed, likely {likely:g}{hang}."]


def as_dict(speed: Speed) -> dict[str, Any]:
    """The speed as an answer holds it."""

    def band(found: Range | None) -> dict[str, float] | None:
        return None if found is None else found._asdict()

    return {
        "decode_tokens_per_second": band(speed.decode),
        "prefill_tokens_per_second": band(speed.prefill),
        "time_to_first_token_seconds": band(speed.first_token),
        "load_seconds": band(speed.load),
        "download_seconds": band(speed.download),
        "bytes_read_per_token": speed.work.bytes,
        "bound_by": speed.bound_by,
        "basis": "fitted",
        "rows": sum(group.rows for group in speed.groups),
        "together": _together_dict(speed.together),
        "depth": speed.work.depth,
        "prompt": speed.prompt,
        "notes": list(speed.notes),
    }


def _together_dict(found: Together | None) -> dict[str, Any] | None:
    if found is None:
        return None
    told = {"users": found.users, "tokens_per_second": found.total._asdict(), "tokens_per_second_each": found.each._asdict()}
    return {**told, "bytes_read_per_step": found.bytes}
