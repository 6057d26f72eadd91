"""`tonnage ram`: timings of RAM as nanoseconds, kits side by side."""

from collections.abc import Iterator
from typing import Any

from tonnage.calculators.ram import Kit, kits_at, known_kits, parse_kit, warnings
from tonnage.calculators.transfer import parse_size
from tonnage.render.numbers import gb, significant
from tonnage.verbs import Call
from tonnage.verbs.rows import Column, print_rows

_NS = ("cas_ns", "closed_ns", "conflict_ns", "cycle_ns", "burst_ns")


def _ns(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


COLUMNS = (
    Column("kit", "kit (ns, GB/s)"),
    Column("cas_ns", "CAS", _ns, right=True),
    Column("closed_ns", "closed", _ns, right=True),
    Column("conflict_ns", "conflict", _ns, right=True),
    Column("cycle_ns", "cycle", _ns, right=True),
    Column("burst_ns", "burst", _ns, right=True),
    Column("peak_gb_s", "peak", lambda x: f"{x:.1f}", right=True),
)
STREAM = Column("streaming_gb_s", "reads", lambda x: f"{x:.1f}", right=True)
TOKENS = Column("tokens_per_second", "t/s", significant, right=True)


def run(call: Call) -> int:
    """Compare the kits, in the order given; a kit without timings brings those that are known at its speed."""
    reads = parse_size(str(call.face["reads"])) if "reads" in call.face else None
    kits = [kit for word in call.words for kit in _kits(parse_kit(word))] or list(known_kits())
    rows = [_row(kit, reads) for kit in kits]
    asked = {"kits": list(call.words), **({"reads": reads} if reads else {})}
    return print_rows(call, (*COLUMNS, TOKENS if reads else STREAM), rows, {"question": asked}, [*_notes(kits, reads)])


def _kits(kit: Kit) -> tuple[Kit, ...]:
    return (kit,) if kit.cl is not None else (kits_at(kit) or (kit,))


def _row(kit: Kit, reads: int | None) -> dict[str, Any]:
    times = {name: getattr(kit, name) for name in _NS[:-1]}
    row = {"kit": kit.name, "profile": kit.profile, **times, "burst_ns": kit.word_ns(kit.burst) if kit.burst else None, "burst_words": kit.burst}
    row |= {name: getattr(kit, name) for name in ("peak_gb_s", "streaming_gb_s", "expert_gb_s", "clock_ns", "channels")}
    row["tokens_per_second"] = kit.expert_gb_s * 1e9 / reads if reads else None
    return {**row, "warnings": list(warnings(kit))}


def _notes(kits: list[Kit], reads: int | None) -> Iterator[str]:
    """What was found odd, what the columns mean, and what matters for tokens."""
    yield from (f"{kit.name}: {warning}" for kit in kits for warning in warnings(kit))
    yield "CAS: first word of an open row; closed: it must be opened; conflict: another must be closed first; cycle: row to row; burst: last word."
    if reads:
        yield f"t/s, tokens per second: {gb(reads)} GB of experts per token, read from RAM at 0.45 of what long reads reach (0.85 of the peak)."
    else:
        yield "Long reads reach about 0.85 of the peak. Speed of a model in RAM follows MT/s and channels; latency hardly matters."

