"""Pages of the documentation: the little of Markdown that they are written in, as HTML."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from tonnage import data
from tonnage.pages import templates
from tonnage.pages.scenario import frame
from tonnage.pages.site import NotFoundError, Site

HOW = {"llama.cpp": "how-llama.cpp-uses-memory.md", "vllm": "how-vllm-uses-memory.md"}
"""engine -> page of how it uses memory"""

ACCURACY: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "": ("llama.cpp, files and models", ()),
    "engines": ("other engines", ("vLLM, SGLang, Transformers, MLX and ExLlamaV3",)),
    "speed": ("speed", ("Speed",)),
}
"""part -> its name, and the sections of docs/accuracy.md that it alone shows"""


def how(query: str, site: Site, engine: str) -> str:
    """How an engine uses memory."""
    if engine not in HOW:
        raise NotFoundError(f"/how/{engine}/", tuple(HOW))
    beside = [("" if name == engine else site.link(f"/how/{name}/"), name) for name in HOW]
    return _shown(site, data.read(f"texts/{HOW[engine]}").decode(), f"/how/{engine}/", "How engines use memory", beside)


def accuracy(query: str, site: Site, part: str = "") -> str:
    """How exact the answers are, with every table: a page of its own for what a visitor of another may not want to load."""
    if part not in ACCURACY:
        raise NotFoundError(f"/accuracy/{part}/", tuple(ACCURACY))
    text = data.read("texts/accuracy.md").decode()
    beside = [("" if name == part else site.link(_of_accuracy(name)), words) for name, (words, _) in ACCURACY.items()]
    return _shown(site, "\n".join(_sections(text, part)), _of_accuracy(part), "How exact the answers are", beside)


def _of_accuracy(part: str) -> str:
    return f"/accuracy/{part}/" if part else "/accuracy/"


def _sections(text: str, part: str) -> Iterator[str]:
    """The title, and the sections that a part shows; the first one has all that no other has."""
    title, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    elsewhere = {heading for _, headings in ACCURACY.values() for heading in headings}
    yield title if not part else f"{title.partition(chr(10))[0]}: {ACCURACY[part][0]}\n"
    for section in sections:
        heading = section.partition("\n")[0].removeprefix("## ")
        if heading in ACCURACY[part][1] or (not part and heading not in elsewhere):
            yield section


def _shown(site: Site, text: str, path: str, series: str, beside: Sequence[tuple[str, str]]) -> str:
    title = text.partition("\n")[0].removeprefix("# ")
    values = frame(site, title=title, canonical=site.whole(path), description=title)
    return templates.render("text.html", body="\n".join(blocks(text)), series=series, beside=beside, **values)


def blocks(text: str) -> Iterator[str]:
    """Headings, paragraphs, lists, tables and code of a page."""
    for n, block in enumerate(_split(re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL))):
        lines = block.split("\n")
        if lines[0].startswith("```"):
            yield f'<pre tabindex="0">{escape(chr(10).join(lines[1:-1]))}</pre>'
        elif lines[0].startswith("    "):
            yield f'<pre tabindex="0">{escape(chr(10).join(line[4:] for line in lines))}</pre>'
        elif heading := re.match(r"(#+) (.*)", lines[0]):
            level = len(heading[1])
            yield f"<h{level}>{inline(heading[2])}</h{level}>"
        elif lines[0].startswith("|"):
            yield _table(lines, f"table {n}")
        elif lines[0].startswith("- "):
            items = re.split(r"\n(?=- )", block)
            yield "<ul>" + "".join(f"<li>{inline(item[2:])}</li>" for item in items) + "</ul>"
        else:
            yield f"<p>{inline(block)}</p>"


def _split(text: str) -> Iterator[str]:
    """Blocks are parted by blank lines, but for those within fences."""
    block: list[str] = []
    fenced = False
    for line in text.split("\n"):
        fenced ^= line.startswith("```")
        if line.strip() or fenced:
            block.append(line)
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)


def _table(lines: list[str], named: str) -> str:
    head, rule, *rows = ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines)
    right = [' class="n"' if mark.endswith(":") else ' class="wrap"' for mark in rule]

    def row(cells: list[str], tag: str) -> str:
        # HTML ends rows and cells by itself where the next one begins, and long tables are light that way
        return "<tr>" + "".join(f"<{tag}{side}>{inline(cell)}" for side, cell in zip(right, cells, strict=False))

    body = "".join(row(cells, "td") for cells in rows)
    table = f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{named}">{table}</div>'


def inline(text: str) -> str:
    """Code, emphasis and links within a line; links into the repository lose their address."""
    text = escape(text, quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", text)
    text = re.sub(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])", r"<em>\1</em>", text)
    text = re.sub(r"\[([^\]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', text)
    return re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text)
