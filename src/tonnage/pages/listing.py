"""Pages that list: models, one model in every recipe and context, devices, what fits one device."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from tonnage import data
from tonnage.errors import QuestionError
from tonnage.glance import at, glance, room
from tonnage.hardware.budget import budget
from tonnage.hardware.devices import catalogue as devices
from tonnage.hardware.devices import find
from tonnage.hardware.types import Device
from tonnage.model import catalogue
from tonnage.pages import linked, shared, templates
from tonnage.pages.scenario import frame
from tonnage.pages.site import NotFoundError, Site
from tonnage.quant.recipes import USUAL
from tonnage.question import Question, to_query
from tonnage.render import prose, svg

CONTEXTS = (8192, 32768, 131072)
LEAST_BITS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "MXFP4_MOE", "Q3_K_M", "Q2_K", "IQ2_XXS")
"""recipes that are offered for a device, best first; unquantised weights are twice the size for nothing that shows"""
_SMALL = "qwen3-0.6b"
"""the model by which a device's room is asked for"""


def sizes() -> dict[str, Any]:
    """Bytes of every model at one context, as scripts/make_sizes.py wrote them."""
    found: dict[str, Any] = data.load_json("sizes.json")
    return found


def models(query: str, site: Site) -> str:
    """Every built-in model, by publisher."""
    table = sizes()
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in catalogue.index():
        if entry["name"] in table:
            row = table[entry["name"]]
            shown = {"name": entry["name"], "total": entry["total"], "context": entry["context"], "bytes": row["rest"] + row["weights"][row["usual"]]}
            shown["usual"] = "" if row["usual"] == USUAL else row["usual"]
            groups.setdefault(entry["hf_id"].partition("/")[0], []).append(shown)
    refused = [entry for entry in catalogue.index() if entry["name"] not in table]
    told = "Every built-in model: parameters, context, and the memory that it takes at Q4_K_M (gpt-oss as published, in MXFP4)."
    values = frame(site, title="Models", canonical=site.whole("/m/"), description=told)
    return templates.render("models.html", groups=sorted(groups.items(), key=lambda pair: pair[0].lower()), refused=refused, **values)


def model(query: str, site: Site, name: str) -> str:
    """One model: what it is made of, its memory by recipe and context, its curve."""
    entry = catalogue.find(name)
    if entry is None:
        raise NotFoundError(f"/m/{name}/", near(name))
    short = next(item["name"] for item in catalogue.index() if item["hf_id"] == entry["hf_id"])
    asked = Question(model=name, quant=sizes()[short]["usual"])
    opened = site.opened(asked)
    found = glance(*opened, unquantised=True)
    contexts = sorted({min(tokens, opened.model.context) for tokens in (*CONTEXTS, opened.model.context)})
    rest = [at(found.curve, tokens) - found.plain.gpu_bytes for tokens in contexts]
    rows = [(recipe, [recipe.gpu_bytes + more for more in rest]) for recipe in found.recipes]
    values = frame(site, title=f"{prose.name(opened.model)}: memory by quant and context", canonical=site.whole(f"/m/{short}/"),
                   description=prose.architecture(found.plain), picture=shared.model_card(site, short),
                   things=[linked.breadcrumbs(site, [("/m/", "Models"), ("", short)])])  # fmt: skip
    curve = svg.curve([svg.Knot(*point) for point in found.curve], []) if len(found.curve) > 1 else ""
    values |= {"e": found.plain, "short": short, "architecture": prose.architecture(found.plain), "contexts": contexts, "rows": rows, "curve": curve}
    return templates.render("model.html", told=prose.recurrent(found.plain), published=entry["hf_id"], **values)


def near(name: str) -> tuple[str, ...]:
    """Names of models that are nearest."""
    from tonnage.errors import nearest

    return nearest(name, catalogue.names())


def all_devices(query: str, site: Site) -> str:
    """Every device, by maker."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for device in devices():
        if device.kind != "host" and device.memory_bytes:
            row = {"device": device, "usable": budget(device).usable_bytes, "href": device_link(site, device)}
            groups.setdefault(device.vendor, []).append(row)
    for rows in groups.values():
        rows.sort(key=lambda row: (-row["device"].memory_bytes, row["device"].name))
    told = "Every device that is known: its memory, what of it can be used, and its bandwidth."
    values = frame(site, title="Devices", canonical=site.whole("/on/"), description=told)
    return templates.render("devices.html", groups=groups.items(), **values)


def device_link(site: Site, device: Device) -> str:
    """The address of a device's page."""
    return site.link(f"/on/{slug(device.name)}/")


def slug(name: str) -> str:
    """A device's name in an address."""
    return "-".join("".join(c if c.isalnum() or c == "." else " " for c in name.lower()).split())


@cache
def by_slug() -> dict[str, Device]:
    """Devices by their names in addresses."""
    return {slug(device.name): device for device in devices() if device.kind != "host" and device.memory_bytes}


def device(query: str, site: Site, name: str) -> str:
    """What fits a device: for every model the recipe of most bits."""
    found = by_slug().get(slug(name))
    if found is None:
        try:
            found = find(name)[0]
        except QuestionError as error:
            raise NotFoundError(f"/on/{name}/", error.nearest) from None
    rows = on(found, site)
    told = budget(found)
    title = f"What runs on {article(found.name)}?"
    values = frame(site, title=title, canonical=site.whole(f"/on/{slug(found.name)}/"),
                   description=f"Which language models fit {found.name}, in which quant, with 32K tokens of context.",
                   picture=shared.device_card(site, slug(found.name)),
                   things=[linked.breadcrumbs(site, [("/on/", "Devices"), ("", found.name)])])  # fmt: skip
    fits = [row for row in rows if row["quant"]]
    return templates.render("device.html", device=found, budget=told, head=title, fits=fits, rest=len(rows) - len(fits), **values)


def article(name: str) -> str:
    """A device's name within a sentence."""
    return f"the {name}" if "Apple" not in name else name


def on(device: Device, site: Site) -> list[dict[str, Any]]:
    """Every model on a device, the largest first: the recipe of most bits that fits, empty where none does."""
    held = room(Question(model=_SMALL, quant="Q4_K_M"), catalogue.model(_SMALL), device)
    return sorted(_on(device, held, site), key=lambda row: -row["total"])


def _on(device: Device, held: int, site: Site) -> Iterator[dict[str, Any]]:
    totals = {entry["name"]: entry for entry in catalogue.index()}
    for name, row in sizes().items():
        quant = next((recipe for recipe in LEAST_BITS if recipe in row["weights"] and row["weights"][recipe] + row["rest"] <= held), "")
        asked = Question(model=name, quant=quant or None, context=row["context"], device=(device.name,))
        yield {
            "name": name,
            "total": totals[name]["total"],
            "active": row["active"],
            "context": row["context"],
            "quant": quant,
            "bytes": row["weights"][quant] + row["rest"] if quant else 0,
            "href": site.link("/", to_query(asked)),
        }
