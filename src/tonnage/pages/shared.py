"""Addresses that a page gives to those who link to it: of itself, of its card, and of what tells how to embed it."""

from urllib.parse import urlencode

from tonnage import data
from tonnage.pages.scene import canonical, catalogue_name
from tonnage.pages.site import Site
from tonnage.question import Question, to_query

GENERAL = "/og/tonnage.png"
"""the card of pages that have none of their own"""


def model_card(site: Site, name: str) -> str:
    """The card of a built-in model."""
    return site.whole(f"/og/m/{name}.png" if name in data.load_json("sizes.json") else GENERAL)


def device_card(site: Site, slug: str) -> str:
    """The card of a device; a site of files has the general one instead."""
    return site.whole(f"/og/on/{slug}.png" if site.served else GENERAL)


def question_card(site: Site, question: Question) -> str:
    """The card of a question; a site of files has that of its model instead."""
    name = catalogue_name(question)
    if not site.served:
        return model_card(site, name)
    if name and question.quant and _is_plain(question):
        return site.whole(f"/og/m/{name}/{question.quant}.png")
    return site.whole("/og/answer.png", to_query(question))


def address(site: Site, question: Question) -> str:
    """The page of a question with all that it says: its path page where that is a model and a quant, else the calculator's."""
    return canonical(site, question) if catalogue_name(question) and _is_plain(question) else site.whole("/", to_query(question))


def _is_plain(question: Question) -> bool:
    return question == Question(model=question.model, quant=question.quant)


def embedding(site: Site, query: str) -> str:
    """What tells how a question's answer is embedded (oEmbed); empty where no server answers."""
    return site.whole("/oembed", urlencode({"url": site.whole("/", query)})) if site.served else ""
