"""The tables that answers are made of, to be taken away: `/data/`, and each table as JSON and CSV with source, date and licence."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from tonnage import data
from tonnage.errors import nearest
from tonnage.hardware.budget import budget
from tonnage.hardware.devices import catalogue as devices
from tonnage.model import catalogue
from tonnage.pages import dates, linked, templates
from tonnage.pages.scenario import frame
from tonnage.pages.site import NotFoundError, Site
from tonnage.render.csv import write
from tonnage.version import __version__

LICENCE = "MIT"
LICENCE_URL = "https://spdx.org/licenses/MIT.html"
Row = Mapping[str, Any]


class Table(NamedTuple):
    """A table that can be downloaded."""

    title: str
    about: str
    source: str
    files: tuple[str, ...]
    """packaged files that it is made of"""
    rows: Callable[[], Iterator[Row]]
    """flat: names to numbers, texts or null"""

    @property
    def date(self) -> str:
        """When it last changed."""
        return dates.changed(self.files)


def _models() -> Iterator[Row]:
    sizes = data.load_json("sizes.json")
    for entry in catalogue.index():
        row = json.loads(data.read(f"models/{entry['hf_id'].replace('/', '--')}.json"))
        yield {
            "model": entry["name"],
            "hub_id": entry["hf_id"],
            "architecture": entry["architecture"],
            "parameters": entry["total"],
            "active_parameters": sizes[entry["name"]]["active"] if entry["name"] in sizes else None,
            "context_tokens": entry["context"],
            "released": row["release"],
            "model_licence": row["license"],
            "not_answered_because": entry.get("why"),
            "source": row["source"],
            "verified": row["verified"],
        }


def _memory() -> Iterator[Row]:
    for name, row in data.load_json("sizes.json").items():
        for quant, nbytes in row["weights"].items():
            total = nbytes + row["rest"]
            yield {"model": name, "quant": quant, "context_tokens": row["context"], "weights_bytes": nbytes, "gpu_bytes": total}


_DEVICE = (
    "name", "vendor", "kind", "series", "memory_bytes", "driver_bytes", "driver_basis", "bandwidth", "watts", "pcie_gen", "pcie_lanes", "link",
    "link_bandwidth", "compute_capability", "arch", "cores", "year", "confidence", "source", "note",
)  # fmt: skip
_TFLOPS = ("fp32", "fp16", "fp16_fast", "fp8", "fp4")


def _devices() -> Iterator[Row]:
    for device in devices():
        own = {name: getattr(device, name) for name in _DEVICE}
        usable = budget(device).usable_bytes if device.memory_bytes else None
        yield {**own, "usable_bytes": usable, **{f"tflops_{kind}": device.tflops.get(kind) for kind in _TFLOPS}}


def _accuracy() -> Iterator[Row]:
    for group, architectures in data.load_json("accuracy.json").items():
        for name, row in architectures.items():
            if isinstance(row, dict):  # what is counted without architectures stands on /accuracy/ alone
                yield {"measured": group, "architecture": name, **{key.replace(" ", "_"): value for key, value in row.items()}}


def _packaged(name: str) -> Callable[[], Iterator[Row]]:
    return lambda: iter(data.load_json(f"calculators/{name}.json")["rows"])


TABLES: Mapping[str, Table] = {
    "models": Table(
        "Models", "The built-in models: parameters, context, release and licence of each, and how its numbers were checked.",
        "config.json of each model as published; row by row in the columns source and verified", ("models/",), _models,
    ),
    "memory": Table(
        "Memory by model and quant", "Bytes of weights and of everything on one GPU, with the context that stands beside them.",
        "computed by Tonnage with llama.cpp's rules", ("sizes.json",), _memory,
    ),
    "devices": Table(
        "Devices", "Memory as labelled and as usable, bandwidth and arithmetic of GPUs, unified and host memory.",
        "makers' data sheets and public logs; row by row in the columns source and confidence", ("devices.json",), _devices,
    ),
    "accuracy": Table(
        "Accuracy", "What engines reported, by architecture: runs, and in how many of them weights, cache and compute buffer were met to the byte.",
        "the engines' own reports, kept with the tests", ("accuracy.json",), _accuracy,
    ),
    "electricity": Table(
        "Electricity", "Price of a kilowatt-hour by country; a weak one is from a secondary page that should be checked.",
        "row by row in the columns source and date", ("calculators/electricity.json",), _packaged("electricity"),
    ),
    "links": Table(
        "Links and disks", "Rates of USB, Wi-Fi, Ethernet, PCIe and disks; MB are 10^6 bytes.",
        "line rates: the standards; typical rates: planning figures as of 2026-11", ("calculators/interfaces.json",), _packaged("interfaces"),
    ),
    "ram-kits": Table(
        "RAM kits", "Timings of modules as sold, in clocks.", "JEDEC JESD79; common retail labels as of 2026-11", ("calculators/ram_kits.json",),
        _packaged("ram_kits"),
    ),
    "levels": Table(
        "Levels of memory", "Latency and rate of caches, RAM, disks and networks; GB are 10^9 bytes.", "row by row in the column source",
        ("calculators/hierarchy.json",), _packaged("hierarchy"),
    ),
}  # fmt: skip
"""name in the address -> table"""


def index(query: str, site: Site) -> str:
    """What there is to download."""
    told = "The tables behind every answer, as JSON and CSV, with the source and date of each."
    values = frame(site, title="Data", canonical=site.whole("/data/"), description=told, things=[dataset(site, name) for name in TABLES])
    rows = [(name, table, len([*table.rows()])) for name, table in TABLES.items()]
    return templates.render("data.html", tables=rows, licence=LICENCE, **values)


def dataset(site: Site, name: str) -> linked.Thing:
    """A table for programs that read JSON-LD."""
    table = TABLES[name]
    return {
        "@type": "Dataset",
        "name": f"Tonnage: {table.title}",
        "description": table.about,
        "url": site.whole("/data/"),
        "license": LICENCE_URL,
        "creator": {"@type": "Organization", "name": "Tonnage"},
        "creditText": table.source,
        "dateModified": table.date,
        "version": __version__,
        "distribution": [
            {"@type": "DataDownload", "encodingFormat": kind, "contentUrl": site.whole(f"/data/{name}.{end}")}
            for kind, end in (("text/csv", "csv"), ("application/json", "json"))
        ],
    }


def as_json(query: str, site: Site, name: str) -> str:
    """A table with what must be known of it."""
    table = _table(name, "json")
    told = {"table": name, "title": table.title, "about": table.about, "source": table.source, "date": table.date}
    told |= {"licence": LICENCE, "publisher": f"Tonnage {__version__}"}
    return json.dumps({**told, "rows": [*table.rows()]}, ensure_ascii=False, separators=(",", ":"))


def as_csv(query: str, site: Site, name: str) -> str:
    """A table with a header; a field that a row lacks is empty."""
    rows = [*_table(name, "csv").rows()]
    columns = [*dict.fromkeys(key for row in rows for key in row)]
    return write(columns, ([row.get(column) for column in columns] for row in rows)) + "\n"


def _table(name: str, kind: str) -> Table:
    if name not in TABLES:
        raise NotFoundError(f"/data/{name}.{kind}", nearest(name, TABLES))
    return TABLES[name]


def paths() -> Iterator[str]:
    """The addresses of all downloads."""
    for name in TABLES:
        yield from (f"/data/{name}.json", f"/data/{name}.csv")
