"""Cards for links that are shared, as PNG: what each says. `shared.py` tells which page has which."""

from tonnage.answer import Estimate
from tonnage.estimation import ENGINES, estimate
from tonnage.hardware.budget import budget
from tonnage.model import catalogue
from tonnage.pages import listing
from tonnage.pages.site import NotFoundError, Site
from tonnage.question import Question, from_query
from tonnage.render import numbers, prose
from tonnage.render.card import Card, Row, render
from tonnage.render.headline import against
from tonnage.render.png import draw
from tonnage.render.svg import short

RECIPES = ("Q8_0", "Q6_K", "Q4_K_M", "Q3_K_M", "Q2_K")
"""recipes on the card of a model"""
GOOD = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS")
"""recipes of a model that stands on the card of a device"""
SHOWN = ("llama-3.1-8b-instruct", "gpt-oss-20b", "qwen3.6-27b", "llama-3.3-70b-instruct", "qwen3.5-122b-a10b")
"""models on the general card"""
MOST_ROWS = 5


def general(query: str, site: Site) -> bytes:
    """The card of pages that are about no model or device of their own."""
    words = "Exact where a file or an engine's source can tell, with a measured error where they cannot."
    table = listing.sizes()
    rows = [_row(name, table[name]["weights"]["Q4_K_M"] + table[name]["rest"], "Q4_K_M") for name in SHOWN]
    foot = f"{len(table)} models, {len(listing.by_slug())} devices, {len(ENGINES)} engines"
    return _drawn(Card("How much memory does a language model need?", words=words, rows=rows, foot=foot))


def answer(query: str, site: Site) -> bytes:
    """The card of a question."""
    return _drawn(told(estimate(*site.opened(from_query(query)))))


def scenario(query: str, site: Site, model: str, quant: str) -> bytes:
    """The card of a model in a quant."""
    return _drawn(told(estimate(*site.opened(Question(model=model, quant=quant)))))


def told(found: Estimate) -> Card:
    """An answer as a card: the question, the figure, what it is about, what lies where."""
    figure, _, rest = prose.answer(found).partition(" (")
    beside, _, words = rest.partition(") ")
    device = next((device for device in found.devices if device.parts), None)
    made, *_, trained = prose.architecture(found).split("; ")
    verdict = f"{prose.chip(found)[2]}. {device.name}: {against(device)}" if device and found.verdict else f"{made}; {trained}"
    return Card(prose.title(found), figure, beside, words, device, foot=verdict)


def model(query: str, site: Site, name: str) -> bytes:
    """The card of a model: its memory in several quants."""
    entry = next((entry for entry in catalogue.index() if entry["name"] == name), None)
    if entry is None or name not in listing.sizes():
        raise NotFoundError(f"/og/m/{name}.png", listing.near(name))
    row = listing.sizes()[name]
    rows = [_row(quant, row["weights"][quant] + row["rest"]) for quant in RECIPES if quant in row["weights"]]
    active = f", {numbers.parameters(row['active'])} active per token" if row["active"] < entry["total"] else ""
    made = f"{numbers.parameters(entry['total'])} parameters{active}; trained for {numbers.tokens(entry['context'])} tokens."
    foot = f"on one GPU, with {short(row['context'])} tokens of context, llama.cpp"
    return _drawn(Card(f"How much memory does {entry['hf_id'].rpartition('/')[2]} need?", words=made, rows=rows, foot=foot))


def device(query: str, site: Site, name: str) -> bytes:
    """The card of a device: what of it can be used, and the largest models that fit."""
    found = listing.by_slug().get(name)
    if found is None:
        raise NotFoundError(f"/og/on/{name}.png")
    fits = [row for row in listing.on(found, site) if row["quant"]]
    usable = budget(found).usable_bytes
    words = f"can be used; {len(fits)} of the {len(listing.sizes())} built-in models fit with everything on it. The largest in four bits or more:"
    rows = [_row(row["name"], row["bytes"], row["quant"]) for row in fits if row["quant"] in GOOD][:MOST_ROWS]
    return _drawn(Card(f"What runs on {listing.article(found.name)}?", words=f"{numbers.gib(usable or 0)} GiB {words}", rows=rows))


def _row(name: str, nbytes: int, quant: str = "") -> Row:
    return Row(name, nbytes, f"{numbers.gib(nbytes, 1)} GiB" + (f", {quant}" if quant else ""))


def _drawn(card: Card) -> bytes:
    return draw(render(card))
