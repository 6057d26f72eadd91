"""Cards for links that are shared: 1200 x 630, one figure, one picture, in the colours of the light pages. SVG; `png.py` draws it."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

from tonnage import data
from tonnage.answer import DeviceAnswer
from tonnage.render import numbers, svg

WIDTH, HEIGHT, EDGE = 1200, 630, 64
INSIDE = WIDTH - 2 * EDGE
GROUND, INK, SOFT, ACCENT = "#fbfaf8", "#1d2126", "#59626c", "#2a5ea3"
_LATIN, _SIGNS = (*range(0x20, 0x7F), *range(0xA0, 0xAD), *range(0xAE, 0x100)), "\u2013\u2014\u2019\u201c\u201d\u2022\u2026\u2212"
HELD = "".join(map(chr, _LATIN)) + _SIGNS
"""what the font holds (fonts/, written by scripts/make_font.py)"""
_NO_XML = r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
_TITLE, _LEAST_TITLE, _WORDS = 56, 32, 29


class Row(NamedTuple):
    """One of several sizes beside each other."""

    name: str
    bytes: int
    words: str


class Card(NamedTuple):
    """What a card says."""

    title: str
    figure: str = ""
    beside: str = ""
    """smaller, beside the figure"""
    words: str = ""
    device: DeviceAnswer | None = None
    """whose parts are drawn"""
    rows: Sequence[Row] = ()
    foot: str = ""


def render(card: Card) -> str:
    """The card as SVG. Raises nothing: signs that the font lacks, or that no XML may hold, become question marks."""
    drawn = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="Inter" color="{INK}" fill="{INK}"><rect width="{WIDTH}" height="{HEIGHT}" fill="{GROUND}"/>'
        f'<rect width="{WIDTH}" height="10" fill="{ACCENT}"/>{"".join(_body(card))}</svg>'
    )
    return re.sub(_NO_XML, "?", drawn)


def _body(card: Card) -> Iterator[str]:
    yield _line(EDGE, 70, 28, "Tonnage", bold=True, colour=ACCENT)
    y = 86
    size, lines = _title(card.title)
    for line in lines:
        y += round(size * 1.16)
        yield _line(EDGE, y, size, line, bold=True)
    if card.figure:
        y += 108
        yield _line(EDGE, y, 92, card.figure, bold=True, colour=ACCENT)
        yield _line(EDGE + width(card.figure, 92) + 24, y, 40, card.beside, colour=SOFT)
    y += 12
    for line in wrapped(card.words, _WORDS)[:2]:
        y += 36
        yield _line(EDGE, y, _WORDS, line, colour=SOFT)
    if card.device:
        yield from _parts(card.device, y + 18)
    elif card.rows:
        yield from _rows(card.rows, y + 36)
    yield _line(EDGE, HEIGHT - 34, 24, card.foot, colour=SOFT)


# --- text -----------------------------------------------------------------------------------------


def held(text: str) -> str:
    """The text in signs that the font holds."""
    return "".join(sign if sign in HELD else "?" for sign in text)


def width(text: str, size: float) -> float:
    """Pixels that a line takes, as wide as it were if it were bold."""
    widths: dict[str, int] = data.load_json("font_widths.json")["widths"]
    return size * sum(widths.get(sign, widths["?"]) for sign in text) / 1000


def wrapped(text: str, size: float) -> list[str]:
    """The text in lines that fit, broken at spaces; a word that fits nowhere is cut."""
    lines: list[str] = []
    for word in text.split():
        if lines and width(f"{lines[-1]} {word}", size) <= INSIDE:
            lines[-1] += f" {word}"
        else:
            lines.append(_cut(word, size))
    return lines


def _cut(text: str, size: float, room: float = INSIDE) -> str:
    """As much of a text as fits."""
    if width(text, size) <= room:
        return text
    return next(f"{text[:n]}…" for n in range(len(text) - 1, -1, -1) if width(f"{text[:n]}…", size) <= room)


def _title(text: str) -> tuple[int, list[str]]:
    """The largest size at which a title takes two lines; what the smallest has no room for is left out, which is shown."""
    size = next((size for size in range(_TITLE, _LEAST_TITLE, -4) if len(wrapped(text, size)) <= 2), _LEAST_TITLE)
    lines = wrapped(text, size)
    return size, lines if len(lines) <= 2 else [lines[0], _cut(f"{lines[1]} {lines[2]}", size)]


def _line(x: float, y: float, size: int, text: str, *, bold: bool = False, colour: str = INK, end: bool = False) -> str:
    weight, anchor = ' font-weight="700"' if bold else "", ' text-anchor="end"' if end else ""
    shown = escape(held(_cut(text, size)))
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}"{weight}{anchor}>{shown}</text>' if text else ""


# --- pictures -------------------------------------------------------------------------------------


def _parts(device: DeviceAnswer, y: float) -> Iterator[str]:
    """The bar of the pages, and what its colours mean."""
    chart = svg.bar(device)
    wide, high = map(int, re.findall(r'viewBox="0 0 (\d+) (\d+)"', chart)[0])
    tall = high * INSIDE / wide
    yield _still(chart).replace("<svg ", f'<svg x="{EDGE}" y="{y:.0f}" width="{INSIDE}" height="{tall:.0f}" ', 1)
    x, y = float(EDGE), y + tall + 28
    for part in device.parts:
        words = f"{numbers.part_name(part.part)} {numbers.gib(part.bytes)}"
        if part.held == "reserved" or x + 32 + width(words, 24) > WIDTH - EDGE:
            continue
        yield f'<rect x="{x:.0f}" y="{y - 19:.0f}" width="20" height="20" rx="4" fill="{svg.COLOURS.get(part.part, svg.OTHER)[1]}"/>'
        yield _line(x + 30, y, 24, words)
        x += 54 + width(words, 24)


def _still(chart: str) -> str:
    """A chart whose colours are its own: resvg knows no variables of CSS."""
    return re.sub(r"var\([^,()]+,([^()]+)\)", r"\1", chart)


def _rows(rows: Sequence[Row], y: float) -> Iterator[str]:
    left, right = 370, 250
    scale = (INSIDE - left - right) / max(row.bytes for row in rows)
    for n, row in enumerate(rows):
        at, wide = y + 44 * n, max(row.bytes * scale, 4)
        yield _line(EDGE, at + 24, 25, _cut(row.name, 25, left - 16))
        yield f'<rect x="{EDGE + left}" y="{at:.0f}" width="{wide:.0f}" height="32" rx="5" fill="{svg.COLOURS["weights"][1]}"/>'
        yield _line(EDGE + left + wide + 14, at + 24, 25, row.words, colour=SOFT)
