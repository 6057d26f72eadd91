"""The four calculators as pages: each asks its verb, and shows the rows that it answers."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tonnage.calculators.power import tariffs
from tonnage.calculators.transfer import links
from tonnage.pages import api, linked, templates
from tonnage.pages.scenario import frame
from tonnage.pages.site import NotFoundError, Site
from tonnage.question import fields_of
from tonnage.render import numbers, svg
from tonnage.render.numbers import money, seconds, significant

Row = Mapping[str, Any]


class Field(NamedTuple):
    """A field of a calculator's form."""

    name: str
    title: str
    value: str = ""
    """what it holds before it is asked"""
    hint: str = ""
    choices: Callable[[], tuple[str, ...]] = tuple
    many: int = 1
    """how many times it is offered"""


class Column(NamedTuple):
    """A column of a calculator's table."""

    key: str
    title: str
    show: Callable[[Any], str] = str
    right: bool = True


class Tool(NamedTuple):
    """A calculator."""

    title: str
    lead: str
    fields: tuple[Field, ...]
    columns: tuple[Column, ...]


def _or(show: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "–" if value is None else show(value)


_NS = _or(lambda ns: f"{ns:.2f}")
_RATE = _or(lambda x: f"{x:.1f}")


def _regions() -> tuple[str, ...]:
    return tuple(str(row["region"]) for row in tariffs())


TOOLS: Mapping[str, Tool] = {
    "ram": Tool(
        "RAM latency calculator",
        "Timings of DDR3, DDR4 and DDR5 as true latency in nanoseconds, and the rate at which a model in RAM is read.",
        (Field("kit", "Kit", "DDR5-6000 CL30-38-38-96", "DDR5-6000 CL30-38-38-96 x2", many=3),
         Field("reads", "Read from RAM per token", "", "3.2GB")),
        (Column("kit", "kit", right=False), Column("cas_ns", "CAS ns", _NS), Column("closed_ns", "row closed ns", _NS),
         Column("conflict_ns", "row conflict ns", _NS), Column("cycle_ns", "row cycle ns", _NS), Column("burst_ns", "burst ns", _NS),
         Column("peak_gb_s", "peak GB/s", _RATE), Column("streaming_gb_s", "long reads GB/s", _RATE),
         Column("tokens_per_second", "tokens/s", _or(significant))),
    ),
    "power": Tool(
        "Power cost estimator",
        "What a machine's electricity costs in a day, a month and a year, country by country, and what a million tokens cost of it.",
        (Field("watts", "Watts under load", "450"), Field("hours", "Hours of load a day", "8"),
         Field("idle_watts", "Watts for the rest", "", "60"),
         Field("country", "Country", "World average", "Germany", _regions, 2), Field("price", "or price per kWh", "", "0.30"),
         Field("decode", "Tokens per second", "", "30")),
        (Column("region", "where", right=False), Column("per_kwh", "a kWh"), Column("kwh_per_day", "kWh a day", significant),
         Column("per_day", "a day", money), Column("per_month", "a month", money), Column("per_year", "a year", money),
         Column("per_million_output_tokens", "a million tokens", _or(money)), Column("date", "price of", right=False)),
    ),
    "transfer": Tool(
        "Data transfer calculator",
        "How long a file takes over USB, Wi-Fi, Ethernet, PCIe, disks or the internet; links in a row are as fast as the slowest.",
        (Field("size", "Size", "75.8GB", "75.8GB or 20GiB"), Field("over", "Over", "", "NVMe Gen4 > PCIe 4.0 x16", lambda: tuple(links()), 3),
         Field("files", "Files", "", "1")),
        (Column("over", "over", right=False), Column("typical_mb_s", "MB/s", lambda x: f"{x:,.0f}"),
         Column("efficiency", "of the line", lambda share: f"{100 * share:.0f} %"), Column("seconds", "takes", seconds),
         Column("least_seconds", "at best", seconds)),
    ),
    "reads": Tool(
        "Data read visualizer",
        "How long a read takes from caches, RAM, disks and networks, and how long that were if a nanosecond took a second.",
        (Field("size", "Bytes to read", "1MB", "1MB"),),
        (Column("level", "level", right=False), Column("latency_ns", "latency", lambda ns: seconds(ns * 1e-9)),
         Column("read_ns", "read", lambda ns: seconds(ns * 1e-9)), Column("read_human_s", "at 1 ns = 1 s", seconds),
         Column("source", "source", right=False)),
    ),
}  # fmt: skip
"""name in the address -> calculator"""


def index(query: str, site: Site) -> str:
    """The calculators, and nothing else."""
    return templates.render(
        "tools.html", **frame(site, title="Tools", canonical=site.whole("/tools/"), description="Four calculators beside the models.")
    )


def page(query: str, site: Site, name: str) -> str:
    """A calculator with the answer to its query, or to its first question."""
    tool = TOOLS.get(name)
    if tool is None:
        raise NotFoundError(f"/tools/{name}/", tuple(TOOLS))
    fields = fields_of(query) or [(field.name, field.value) for field in tool.fields if field.value]
    asked = api.query_of(_without_default([(key, value) for key, value in fields if value], tool))
    found = json.loads(api.answer(name, asked, site))
    columns = [column for column in tool.columns if any(row.get(column.key) is not None for row in found["rows"])]
    rows = [[(column.show(row.get(column.key)), column.right) for column in columns] for row in found["rows"]]
    things = [linked.application(site, f"/tools/{name}/", tool.title, tool.lead), linked.breadcrumbs(site, [("/tools/", "Tools"), ("", tool.title)])]
    values = frame(site, title=tool.title, canonical=site.whole(f"/tools/{name}/"), description=tool.lead, things=things)
    held = {field.name: [value for key, value in fields if key == field.name] for field in tool.fields}
    values |= {"tool": tool, "name": name, "columns": columns, "rows": rows, "held": held, "notes": found.get("notes", []), "asked": asked}
    return templates.render("tool.html", chart=_chart(name, found["rows"]), **values)


def _without_default(fields: list[tuple[str, str]], tool: Tool) -> list[tuple[str, str]]:
    """A price that was typed stands for the country that the form holds before anything is asked."""
    default = next((field.value for field in tool.fields if field.name == "country"), "")
    if not any(key == "price" for key, _ in fields):
        return fields
    return [(key, value) for key, value in fields if (key, value) != ("country", default)]


def _chart(name: str, rows: list[Row]) -> str:
    """Times to scale, where a calculator has several."""
    if len(rows) < 2:
        return ""
    if name == "reads":
        return svg.reads([(str(row["level"]), row["read_ns"], numbers.seconds(row["read_human_s"])) for row in rows])
    if name == "transfer":
        return svg.reads([(str(row["over"])[:30], row["seconds"], numbers.seconds(row["seconds"])) for row in rows])
    return ""
