"""The block of docs/accuracy.md that holds logs and tables of other engines against the answers."""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tonnage.api import estimate
from tonnage.engines.sglang.pools import pools, widest_stage
from tonnage.engines.sglang.settings import resolve
from tonnage.frozen import replace
from tonnage.model import catalogue
from tonnage.question import from_dict
from tonnage.units import GIB, MIB

LOGS = Path(__file__).parent.parent / "tests/data/engine-logs.json"
Row = dict[str, Any]

UNITS = {"gib": GIB, "gb": 1e9, "mib": MIB}
NAMES = {"outside": "outside PyTorch", "available": "available for the cache", "kv_tokens": "KV tokens", "block_size": "block size", "peak": "peak"}
ENGINES = {"vllm": "vLLM", "sglang": "SGLang", "mlx": "mlx-lm", "exllamav3": "ExLlamaV3"}


def compared() -> Iterator[tuple[Row, str, float, float]]:
    """(row, what was measured, measured, predicted), in the log's own unit."""
    for row in json.loads(LOGS.read_text(encoding="utf-8"))["rows"]:
        for name, found in predicted(row).items():
            yield row, name, row["measured"][name], found


def predicted(row: Row) -> dict[str, float]:
    """What the answer says of each figure."""
    keys = {**row["asked"], "engine": row["engine"], "engine_version": row["version"]}
    given = row.get("given", {})
    if "available_gib" in given:
        keys["available_kv"] = int(given["available_gib"] * GIB)
    told = estimate(row["model"], **keys)
    parts = {part.part: part.bytes for part in told.devices[0].parts}
    found: dict[str, float] = {}
    for name in row["measured"]:
        what, _, unit = name.rpartition("_")
        if unit in UNITS and (nbytes := _bytes(what, parts, told.capacity or {})) is not None:
            found[name] = nbytes / UNITS[unit]
        elif row["engine"] == "vllm":
            found[name] = float((told.capacity or {})[name])
    return found | (_pooled(row, keys, given) if row["engine"] == "sglang" and given else {})


def _bytes(what: str, parts: dict[str, int], capacity: Any) -> int | None:
    if what == "available":
        return int(capacity["available_kv_bytes"])
    return sum(parts.values()) if what == "peak" else parts.get({"outside": "runtime"}.get(what, what))


def _pooled(row: Row, keys: Row, given: Row) -> dict[str, float]:
    """Tokens of SGLang's pool from the memory that it logged before and after its weights."""
    model = catalogue.model(row["model"])
    settings = resolve(from_dict({"model": row["model"], **keys}), model)
    settings = replace(settings, window_ratio=given.get("window_ratio", settings.window_ratio))
    cell = widest_stage(model, settings)
    if "tokens" in given:
        return {"keys_gib": given["tokens"] * cell.full / 2 / GIB}
    rest = given["after_gib"] - given["before_gib"] * (1 - (settings.fraction or 0))
    return {"kv_tokens": float(pools(int(rest * GIB), cell, settings).tokens)}


# --- blocks ---------------------------------------------------------------------------------------


def summary() -> str:
    """Median and 90th percentile of the errors, by engine and figure."""
    errors: dict[tuple[str, str], list[float]] = {}
    for row, name, measured, found in compared():
        errors.setdefault((ENGINES[row["engine"]], _named(name)), []).append(100 * abs(found / measured - 1))
    for (engine, _), found in list(errors.items()):
        errors.setdefault((engine, "**all figures**"), []).extend(found)
    order = {name: i for i, name in enumerate(ENGINES.values())}
    rows = [(*key, len(found), _percent(statistics.median(found)), _percent(_p90(found))) for key, found in errors.items()]
    rows.sort(key=lambda row: (order[row[0]], row[1].startswith("**")))
    return _table("engine | figure | logs | median | p90", rows, 2)


def _p90(found: list[float]) -> float:
    ordered = sorted(found)
    return ordered[min(len(ordered) - 1, round(0.9 * (len(ordered) - 1)))]


def rows() -> str:
    """Every figure, predicted beside measured."""
    table = [
        (ENGINES[row["engine"]], row["version"], row["model"], _asked(row), _named(name), _number(measured, name), _number(found, name),
         f"{100 * (found / measured - 1):+.1f} %", f"[log]({row['url']})" if row["url"] else row["id"])
        for row, name, measured, found in compared()
    ]  # fmt: skip
    return _table("engine | version | model | asked | figure | measured | predicted | error | where", table, 5)


def _asked(row: Row) -> str:
    words = {key: value for key, value in {**row["asked"], **row.get("given", {})}.items() if key not in ("device", "max_num_seqs")}
    return ", ".join(f"{key} {value}" for key, value in words.items())


def _named(name: str) -> str:
    what, _, unit = name.rpartition("_")
    return NAMES.get(name) or (NAMES.get(what, what) if unit in UNITS else name)


def _number(value: float, name: str) -> str:
    unit = name.rpartition("_")[2]
    words = {"gib": "GiB", "gb": "GB", "mib": "MiB"}
    return (
        f"{value:,.0f} MiB"
        if unit == "mib"
        else f"{value:.2f} {words[unit]}"
        if unit in words
        else f"{value:,.0f}"
        if value > 100
        else f"{value:.2f}"
    )


def _percent(share: float) -> str:
    return f"{share:.1f} %"


def _table(head: str, found: list[tuple[Any, ...]], right: int) -> str:
    names = [name.strip() for name in head.split("|")]
    rule = ["---:" if i >= right and names[i] not in ("where", "figure") else "---" for i in range(len(names))]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (names, rule, *found))


BLOCKS = {"engine-logs": summary, "engine-log-rows": rows}
"""block of docs/accuracy.md -> what writes it"""
