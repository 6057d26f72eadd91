"""Rebuild src/tonnage/data/devices.json from scripts/devices.csv, one row a device; checks each row on the way.

    python scripts/make_devices.py

Columns: memory_gb as the maker labels it (binary; 288e9 where the label counts decimally), or options_gb where a
chip is sold with several; driver_mib what nvidia-smi or its like reports as total, `seen` in a public log or `recalled`;
cuda_mib what a CUDA program sees of it; ecc the share that inline ECC takes by default; gbps_pin Gb/s of one pin;
bandwidth_gb_s decimal; fp32 ... fp4 dense TFLOPS with fp32 accumulate, fp16_fast with fp16 accumulate; link_gb_s of the
interconnect; usual above 0 on the one that a name means where
several bear it; confidence high, medium or low.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCE = HERE / "devices.csv"
TARGET = HERE.parent / "src/tonnage/data/devices.json"
GIB, MIB = 1024**3, 1024**2
KINDS = {"soc": "unified", "igpu": "unified", "cpu-memory": "host"}
TFLOPS = ("fp32", "fp16", "fp16_fast", "fp8", "fp4")
COLUMNS = (
    "name", "vendor", "kind", "series", "memory_bytes", "driver_bytes", "driver_basis", "cuda_bytes", "ecc", "bandwidth", "tflops", "watts",
    "pcie_gen", "pcie_lanes", "link", "link_bandwidth",
    "compute_capability", "arch", "cores", "year", "usual", "confidence", "source", "aliases", "note", "channels", "mt_s",
)  # fmt: skip


def rows() -> Iterator[dict[str, Any]]:
    """Every device of the source table, one for each size of memory that it is sold with."""
    with SOURCE.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            _check(row)
            yield from _sizes(row)


def _check(row: dict[str, str]) -> None:
    name = row["name"]
    assert row["source"], f"{name}: each row says where it is from"
    assert row["confidence"] in ("high", "medium", "low"), f"{name}: each row says how sure it is"
    if row["bus_bits"]:
        peak = float(row["bus_bits"]) * float(row["gbps_pin"]) / 8
        assert abs(float(row["bandwidth_gb_s"]) / peak - 1) < 0.04, f"{name}: bandwidth is not bus x pin rate ({peak:.0f})"
    assert not row["driver_mib"] or row["driver_basis"] in ("seen", "recalled"), f"{name}: driver_basis must be seen or recalled"
    assert not row["cuda_mib"] or row["cuda_source"], f"{name}: cuda_mib needs its source"


def _sizes(row: dict[str, str]) -> Iterator[dict[str, Any]]:
    if not row["options_gb"]:
        yield _device(row, row["name"], int(float(row["memory_gb"]) * (1 if "e" in row["memory_gb"] else GIB)) if row["memory_gb"] else None)
        return
    chip, _, cores = row["name"].rpartition(f" {row['cores']}-core")
    for size in row["options_gb"].split():
        # of two bins with as much memory, the one with more cores is meant: it sorts first
        yield {**_device(row, f"{chip} {size}GB ({row['cores']}-core{cores})", int(size) * GIB), "usual": int(row["cores"])}


def _device(row: dict[str, str], name: str, memory: int | None) -> dict[str, Any]:
    def whole(column: str, unit: float = 1) -> int | None:
        return round(float(row[column]) * unit) if row[column] else None

    driver = whole("driver_mib", MIB)
    source = row["source"] + (f"; CUDA's total: {row['cuda_source']}" if row["cuda_source"] else "")
    return {
        "name": name,
        "vendor": row["vendor"],
        "kind": KINDS.get(row["series"], "gpu"),
        "series": row["series"],
        "memory_bytes": max(memory, driver or 0) if memory else None,
        "driver_bytes": driver,
        "driver_basis": {"seen": "measured"}.get(row["driver_basis"], row["driver_basis"]),
        "cuda_bytes": whole("cuda_mib", MIB),
        "ecc": bool(row["ecc"]),
        "bandwidth": whole("bandwidth_gb_s", 1e9),
        "tflops": {kind: float(row[kind]) for kind in TFLOPS if row[kind]},
        "watts": whole("tdp_w"),
        "pcie_gen": whole("pcie_gen"),
        "pcie_lanes": whole("pcie_lanes"),
        "link": row["link"],
        "link_bandwidth": whole("link_gb_s", 1e9),
        "compute_capability": row["compute_capability"],
        "arch": row["arch"],
        "cores": whole("cores"),
        "year": whole("year"),
        "usual": int(row["usual"] or 0),
        "confidence": row["confidence"],
        "source": source,
        "aliases": [alias for alias in row["aliases"].split(";") if alias],
        "note": row["note"],
        "channels": whole("channels"),
        "mt_s": whole("mt_s"),
    }


def text() -> str:
    """What TARGET must hold: one row a line, its values in the order of `columns`."""
    found = list(rows())
    assert len({row["name"] for row in found}) == len(found), "two devices bear one name"
    lines = ",\n".join(json.dumps([row[column] for column in COLUMNS], separators=(",", ":")) for row in found)
    return '{"columns":' + json.dumps(COLUMNS) + ',\n"rows":[\n' + lines + "\n]}\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
