"""The calculator and the page of a scenario: one form, the answer, and what people ask beside it."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote

from tonnage.answer import Estimate
from tonnage.errors import TonnageError
from tonnage.estimation import DEFAULT_ENGINE, ENGINES, engine_of
from tonnage.frozen import replace
from tonnage.model import catalogue
from tonnage.pages import api, engines, faq, linked, shared, templates
from tonnage.pages.scene import Scene, canonical, catalogue_name, form_values
from tonnage.pages.site import Site
from tonnage.question import from_query, to_query
from tonnage.render import card, prose

FIRST = "m=qwen3.6-27b&q=Q4_K_M&c=32768&d=RTX 4090"
"""what the calculator shows before it is asked"""
CACHES = ("f16", "q8_0", "q4_0")
DEVICES = (
    "RTX 5090", "RTX 4090", "RTX 3090", "2x RTX 3090", "RTX 5080", "RTX 5070 Ti", "RTX 4080", "RTX 4070 Ti SUPER", "RTX 5060 Ti 16GB",
    "RTX 3060 12GB",
    "RTX PRO 6000 Blackwell Workstation", "RTX 6000 Ada", "L40S", "A100 SXM 80GB", "H100 SXM 80GB", "2x H100 SXM 80GB", "H200 SXM 141GB",
    "B200 SXM 180GB",
    "Instinct MI300X", "RX 7900 XTX", "Apple M4 Max 128GB", "Apple M3 Ultra 512GB", "DGX Spark", "Ryzen AI Max+ 395 128GB", "24GB", "16GB",
    "12GB", "8GB",
)  # fmt: skip
SHOWN = ("m", "q", "c", "d", "ram", "u")
FIELDS = (*SHOWN, "cache_type_k", "cache_type_v", "n_cpu_moe", "slots")
"""keys that the form shows, the last of llama.cpp alone; others that are given travel hidden"""
ENGINES_OWN = ("unsupported", "refused", "no fit")
"""kinds of errors that another engine may not have"""
ABOUT = "What a large language model takes in memory, where it fits, how fast it runs and what that costs."
STATUS_WORDS = {400: "That is not a question we can answer", 404: "Not found", 422: "Cannot be answered"}


def fragment(query: str, site: Site) -> str:
    """The answer alone."""
    return templates.render("fragment.html", **Scene(query, site).values())


def home(query: str, site: Site) -> str:
    """The calculator: with the answer to its query, or to the first question."""
    return _framed(Scene(query or FIRST, site), site, home=not query)


def page(query: str, site: Site, model: str, quant: str) -> str:
    """The page of a model in a quant."""
    own = f"m={quote(model)}&q={quote(quant)}"
    return _framed(Scene(f"{own}&{query}" if query else own, site), site)


def _framed(scene: Scene, site: Site, *, home: bool = False) -> str:
    found = scene.estimate
    title = "How much memory does a language model need?" if home else prose.title(found)
    answered, crumbs = [*faq.answers(scene)], [] if home else _crumbs(scene)
    values = scene.values() | form(scene, site)
    values |= frame(
        site,
        title=title,
        canonical=site.whole("/") if home else canonical(site, scene.question),
        address="" if home else shared.address(site, scene.question),
        description=ABOUT if home else prose.answer(found),
        picture="" if home else shared.question_card(site, scene.question),
        things=[*_things(site, found, answered, crumbs, home=home)],
        embedded=shared.embedding(site, scene.query),
    )
    values |= {
        "home": home,
        "faq": answered,
        "recommendation": [*prose.recommendation(found, scene.glance, faq.pairs(scene))],
        "architecture": prose.architecture(found),
        "related": [*faq.related(scene)],
        "receipts": faq.receipts(scene),
        "alternate": api.link(site, "estimate", scene.query),
        "crumbs": [(site.link(path), name) for path, name in crumbs],
    }
    return templates.render("scenario.html", **values)


def _crumbs(scene: Scene) -> list[linked.Crumb]:
    name = catalogue_name(scene.question)
    return [("/m/", "Models"), (f"/m/{name}/", prose.name(scene.opened.model))] if name else []


def _things(site: Site, found: Estimate, answered: list[prose.Answered], crumbs: list[linked.Crumb], *, home: bool) -> Iterator[linked.Thing]:
    """What the page says to programs: of the home page the calculator, of a scenario the way to it, and its questions."""
    if home:
        yield linked.application(site, "/", "Tonnage", ABOUT)
    if crumbs:
        yield linked.breadcrumbs(site, [*crumbs, ("", found.weights.recipe)])
    if answered:
        yield linked.questions(answered)


def frame(
    site: Site,
    *,
    title: str,
    canonical: str = "",
    address: str = "",
    description: str = "",
    robots: str = "",
    picture: str = "",
    things: Sequence[linked.Thing] = (),
    embedded: str = "",
) -> dict[str, Any]:
    """What the frame of every page takes.

    `canonical` stands for all pages that say the same; `address` is this one's, with its question, for those who share it.
    `picture`, `things` and `embedded` are for programs that show a link, search or embed.
    """
    return {
        "site": site,
        "page_title": title,
        "canonical": canonical,
        "address": address or canonical,
        "description": description,
        "robots": robots,
        "alternate": "",
        "card": (picture or site.whole(shared.GENERAL)) if site.cards else "",
        "card_size": (card.WIDTH, card.HEIGHT),
        "linked": linked.script(things),
        "embedded": embedded,
        "style": templates.style(),
        "answers": templates.answers(),
        "script": templates.script(),
        "early": templates.early(),
    }


def form(scene: Scene, site: Site) -> dict[str, Any]:
    """The fields of the form with their values and choices."""
    held = dict(form_values(scene.question))
    held.setdefault("c", str(scene.estimate.question["context"]))
    held.setdefault("q", str(scene.estimate.question["quant"]))
    llama = engine_of(scene.question) == ENGINES[DEFAULT_ENGINE]
    quants = dict.fromkeys([*engines.quants(scene.question), held["q"]])
    return {
        "held": {**dict.fromkeys(FIELDS, ""), **held},
        "hidden": {key: value for key, value in held.items() if key not in (FIELDS if llama else SHOWN)},
        "quants": list(quants),
        "caches": CACHES,
        "recipes_too": llama,
        "models": model_names(),
        "known_devices": DEVICES,
        "native": scene.opened.model.context,
    }


@cache
def model_names() -> tuple[str, ...]:
    """The built-in models that have rules."""
    return tuple(row["name"] for row in catalogue.index() if row["architecture"])


def failed(error: TonnageError, status: int, path: str, query: str, site: Site) -> str:
    """The page of an error, or a piece of one: what is wrong, and what is near."""
    told = re.sub(r": `tonnage [^`]*` lists them$", "", str(error).partition("; did you mean")[0])
    values: dict[str, Any] = {
        "site": site,
        "message": told[:1].upper() + told[1:],
        "head": STATUS_WORDS.get(status, "That did not work"),
        "near": [*_near(error, query, site)],
        "tabs": engines.tabs_of(query, site) if error.kind in ENGINES_OWN else [],
    }
    if path == "/fragment":
        return templates.render("problem.html", **values)
    return templates.render("error.html", models=model_names(), **(values | frame(site, title=str(values["head"]), robots="noindex")))


def _near(error: TonnageError, query: str, site: Site) -> Iterator[tuple[str, str]]:
    """The nearest names, each with the address of the question mended by it where that is one."""
    for name in error.nearest:
        yield name, _mended(error, name, query, site)


def _mended(error: TonnageError, name: str, query: str, site: Site) -> str:
    if error.kind == "source" and name in model_names():
        try:
            return site.link("/", to_query(replace(from_query(query), model=name)))
        except TonnageError:
            return site.link(f"/m/{name}/")
    if error.kind == "not found":
        from tonnage.pages.listing import by_slug, slug

        return site.link(f"/m/{name}/") if name in model_names() else site.link(f"/on/{slug(name)}/") if slug(name) in by_slug() else ""
    return ""
