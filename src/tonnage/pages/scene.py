"""All that the answer to one question shows: estimates made once, and the sentences and charts of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from tonnage import estimation
from tonnage.answer import DeviceAnswer, Estimate, Explanation, Part
from tonnage.engines.llamacpp.runtime import HIGH
from tonnage.errors import TonnageError
from tonnage.frozen import replace
from tonnage.glance import Glance, glance, reaches
from tonnage.model import catalogue
from tonnage.pages import engines
from tonnage.pages.site import Site
from tonnage.question import Question, from_query, to_query
from tonnage.render import numbers, prose, svg
from tonnage.render.headline import against, deductions, reserved_bytes
from tonnage.source import Opened
from tonnage.units import GIB

CARDS = (8, 12, 16, 24, 32, 48, 80, 96, 141, 192, 288, 512)
"""GB of cards whose lines may cross the curve"""
MOST_LINES = 4


class Scene:
    """A question, its answer and what stands beside it."""

    def __init__(self, query: str, site: Site) -> None:
        self.site = site
        asked = from_query(query)
        self.opened: Opened = site.opened(asked)
        self.question: Question = self.opened.question
        self.estimate: Estimate = estimation.estimate(*self.opened)
        self.glance: Glance = glance(*self.opened)

    @property
    def query(self) -> str:
        """The canonical query of the question."""
        return to_query(self.question)

    def changed(self, **keys: Any) -> str:
        """The address of the same question with other values."""
        return self.site.link("/", to_query(replace(self.question, **keys)))

    def values(self) -> dict[str, Any]:
        """What the template of the fragment takes."""
        found = self.estimate
        return {
            "site": self.site,
            "e": found,
            "title": prose.title(found),
            "answer": prose.answer(found),
            "basis": prose.basis(found),
            "chip": prose.chip(found),
            "why": prose.why(found),
            "devices": [*self._devices()],
            "curve": self._curve(),
            "knots": self.glance.curve,
            "fits": [self._fit(fit) for fit in self.glance.fits],
            "short": [self._fit(fit) for fit in self.glance.short],
            "recipes": [self._recipe(row) for row in self.glance.recipes],
            "calculation": [*prose.calculation(found)],
            "uncounted": [*prose.uncounted(found)],
            "explained": [*self.explained()],
            "speed": found.speed,
            "cost": found.cost,
            "tabs": engines.tabs(self.question, self.site),
            "commands": [*engines.commands(self.opened, found)],
            "notes": found.notes,
            "assumed": ", ".join(f"{key} {found.question[key]}" for key in ("quant", "context", "slots") if key in found.assumed),
            "query": self.query,
        }

    # --- parts ------------------------------------------------------------------------------------

    def _devices(self) -> Iterator[dict[str, Any]]:
        several = sum(device.kind != "host" for device in self.estimate.devices) > 1
        for i, device in enumerate(self.estimate.devices):
            if device.parts:
                yield {
                    "name": "Host memory" if device.kind == "host" else f"{i}: {device.name}" if several else device.name,
                    "bar": svg.bar(device, f"bar{i}") if device.kind != "host" or device.usable_bytes is not None or i == 0 else "",
                    "parts": [self._part(device, part) for part in device.parts],
                    "total": device.total_bytes - reserved_bytes(device),
                    "later": reserved_bytes(device),
                    "against": against(device),
                    "deductions": deductions(device),
                }

    def _part(self, device: DeviceAnswer, part: Part) -> dict[str, Any]:
        held = "" if part.held == "gpu" else part.held
        kind = part.part if part.part in svg.COLOURS else "other"
        return {
            "name": numbers.part_name(part.part),
            "kind": kind,
            "bytes": part.bytes,
            "basis": part.basis,
            "error": numbers.error(part),
            "held": held,
        }

    def explained(self) -> Iterator[tuple[str, Explanation]]:
        """Why each part has its size, once a part."""
        for name in dict.fromkeys(part.why for device in self.estimate.devices for part in device.parts if part.why and part.held != "reserved"):
            try:
                yield name, estimation.explain(self.question, self.opened.model, name)
            except TonnageError:
                continue

    # --- beside -----------------------------------------------------------------------------------

    def _curve(self) -> str:
        knots = [svg.Knot(*point) for point in self.glance.curve]
        context = int(self.glance.plain.question["context"])
        asked = svg.Knot(context, self.glance.plain.gpu_bytes) if knots[0].tokens <= context <= knots[-1].tokens else None
        return svg.curve(knots, self._lines(), asked) if len(knots) > 1 else ""

    def _lines(self) -> list[svg.Line]:
        """Cards around the curve: what of each is left for a model, and the context that it holds."""
        margin = int(self.glance.plain.question.get("margin") or 0)
        room = {gb: gb * GIB - margin - HIGH - (gb * GIB // 50) for gb in CARDS}
        least, most = self.glance.curve[0].bytes, self.glance.curve[-1].bytes
        near = [gb for gb in CARDS if 0.55 * least <= room[gb] <= 1.7 * most]
        crossing = [gb for gb in near if least <= room[gb] <= most]
        kept = sorted({*crossing[:MOST_LINES], *[gb for gb in near if gb not in crossing and room[gb] > most][: max(MOST_LINES - len(crossing), 1)]})
        return [svg.Line(f"{gb} GB", room[gb], reaches(self.glance.curve, room[gb])) for gb in kept]

    def _fit(self, fit: Any) -> dict[str, Any]:
        return {
            "name": fit.device.name,
            "alike": fit.alike,
            "href": self.changed(device=(fit.device.name,)),
            "word": prose.WORDS.get(fit.verdict, fit.verdict),
            "icon": prose.ICONS.get(fit.verdict, ""),
            "kind": fit.verdict.replace(" ", "-"),
            "usable": fit.usable_bytes,
            "spare": fit.spare_bytes,
            "context": fit.max_context,
            "quant": fit.best_quant,
            "bandwidth": fit.device.bandwidth,
        }

    def _recipe(self, row: Any) -> dict[str, Any]:
        own = row.name == self.estimate.weights.recipe
        return {"row": row, "own": own, "href": self.changed(quant=row.name, model=self.question.model)}


def catalogue_name(question: Question) -> str:
    """The short name of the question's model; empty where it is not built in."""
    row = catalogue.find(question.model)
    return next((entry["name"] for entry in catalogue.index() if row and entry["hf_id"] == row["hf_id"]), "")


def canonical(site: Site, question: Question) -> str:
    """The path page that stands for the question."""
    name = catalogue_name(question)
    if not name:
        return site.whole("/")
    return site.whole(f"/m/{name}/{question.quant}/" if question.quant else f"/m/{name}/")


def form_values(question: Question) -> Mapping[str, str]:
    """What the fields of the form hold."""
    from urllib.parse import parse_qsl

    found: dict[str, str] = {}
    for key, value in parse_qsl(to_query(question)):
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found
