"""Charts as SVG: memory against capacity, memory against context, reads to scale. Strings alone, no library.

Every chart says in `<title>` and `<desc>` what it shows. Colours are CSS variables with a value of their own behind
them, so that a page may set them and a file stands alone; a part is told by its hatch as well as by its colour.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape as escaped
from itertools import pairwise
from math import log2
from typing import NamedTuple

from tonnage.answer import DeviceAnswer, Estimate
from tonnage.question import Question
from tonnage.render import Style, numbers
from tonnage.render.headline import against, headline, reserved_bytes
from tonnage.units import GIB

escape = partial(escaped, quote=False)  # that of xml.sax imports what speaks HTTP, for which a browser waits

COLOURS = {
    "weights": ("--weights", "#3d6fb4"),
    "kv": ("--kv", "#1f8a70"),
    "state": ("--state", "#8a5fb0"),
    "compute": ("--compute", "#c27c1a"),
    "runtime": ("--runtime", "#7d8590"),
}
"""part -> CSS variable and the colour without one"""
OTHER = ("--other", "#a04a5c")
HATCHES = {"kv": "M0 6L6 0", "state": "M0 3H6", "compute": "M3 0V6", "runtime": "M0 0L6 6", "other": "M0 6L6 0M0 0L6 6"}
"""part -> the path that is drawn over it"""
WIDTH = 640
INK = 'fill="currentColor"'


class Knot(NamedTuple):
    """A point of the curve."""

    tokens: int
    bytes: int


class Line(NamedTuple):
    """A device's memory across the curve."""

    name: str
    bytes: int
    crossing: int | None
    """tokens at which the curve reaches it; None where it does not"""


def render(question: Question, estimate: Estimate, style: Style) -> str:
    """The bars of all devices that hold something, as a file of its own."""
    devices = [device for device in estimate.devices if device.parts]
    height = 26 + sum(_bar_height(device) + 22 for device in devices)
    body, y = [f'<text x="0" y="14" font-weight="600" {INK}>{escape(headline(estimate))}</text>'], 30
    for device in devices:
        body += [
            f'<text x="0" y="{y + 8}" {INK}>{escape(_bar_words(device))}</text>',
            f'<g transform="translate(0 {y + 14})">',
            *_bar(device),
            "</g>",
        ]
        y += _bar_height(device) + 22
    return _svg(height + 8, "memory", "; ".join(_bar_words(device) for device in devices), body, alone=True)


# --- the bar --------------------------------------------------------------------------------------


def bar(device: DeviceAnswer, label: str = "bar") -> str:
    """What lies on a device, to scale with what it can use; a whisker shows how far the truth may lie."""
    return _svg(_bar_height(device), label, _bar_words(device), _bar(device))


def _bar_words(device: DeviceAnswer) -> str:
    parts = ", ".join(f"{numbers.part_name(part.part)} {numbers.gib(part.bytes)}" for part in device.parts if part.held != "reserved")
    held = against(device) or f"{numbers.gib(device.total_bytes - reserved_bytes(device))} GiB"
    return f"{device.name}: {held} ({parts} GiB)"


def _bar_height(device: DeviceAnswer) -> int:
    return 62 if device.usable_bytes is not None else 46


def _bar(device: DeviceAnswer) -> Iterator[str]:
    parts = [part for part in device.parts if part.held != "reserved"]
    total = sum(part.bytes for part in parts)
    bands = [part.error for part in parts if part.error]
    low, high = sum(band.low for band in bands), sum(band.high for band in bands)
    usable = device.usable_bytes
    full = max(total + high, usable or 0, 1) * 1.02
    scale = WIDTH / full
    yield f'<rect width="{WIDTH}" height="30" y="8" rx="4" {INK} opacity=".07"/>'
    at = 0.0
    for part in parts:
        wide = part.bytes * scale
        name = part.part if part.part in COLOURS else "other"
        title = f"<title>{escape(f'{numbers.part_name(part.part)}: {numbers.gib(part.bytes)} GiB')}</title>"
        shape = f'x="{at:.1f}" y="8" width="{max(wide, 0.8):.1f}" height="30"'
        yield f'<g>{title}<rect {shape} fill="{_colour(name)}"/>'
        yield (f'<rect {shape} fill="url(#h-{name})"/>' if name in HATCHES else "") + "</g>"
        at += wide
    if high or low:
        yield _whisker((total + low) * scale, (total + high) * scale)
    if usable is not None:
        yield from _capacity(usable * scale, usable, total)
    else:
        yield ""


def _whisker(left: float, right: float) -> str:
    path = f"M{left:.1f} 23H{right:.1f}M{left:.1f} 17V29M{right:.1f} 17V29"
    return f'<path d="{path}" stroke="currentColor" stroke-width="1.5" fill="none"><title>how far the truth may lie</title></path>'


def _capacity(x: float, usable: int, total: int) -> Iterator[str]:
    anchor, dx = ("end", -4) if x > WIDTH / 2 else ("start", 4)
    yield f'<path d="M{x:.1f} 2V44" stroke="currentColor" stroke-width="2"/>'
    left = usable - total
    words = f"{numbers.gib(usable)} GiB usable, {numbers.gib(abs(left))} GiB {'free' if left >= 0 else 'short'}"
    yield f'<text x="{x + dx:.1f}" y="57" text-anchor="{anchor}" font-size="12" {INK}>{escape(words)}</text>'


def _colour(part: str) -> str:
    name, value = COLOURS.get(part, OTHER)
    return f"var({name},{value})"


# --- memory against context ------------------------------------------------------------------------

TOP, LEFT, RIGHT, BOTTOM, HEIGHT = 24, 44, 150, 26, 270
_LABEL = 32
"""width that a label of the axis of tokens wants"""


def curve(knots: Sequence[Knot], lines: Sequence[Line], asked: Knot | None = None, label: str = "curve") -> str:
    """Memory on the GPU from little context to the model's own limit; the axis of tokens doubles."""
    most = max([knot.bytes for knot in knots] + [line.bytes for line in lines]) * 1.06
    floor = 0.0
    first, last = log2(knots[0].tokens), log2(knots[-1].tokens)

    def x(tokens: float) -> float:
        return LEFT + (log2(tokens) - first) / max(last - first, 1e-9) * (WIDTH - LEFT - RIGHT)

    def y(nbytes: float) -> float:
        return TOP + (most - nbytes) / (most - floor) * (HEIGHT - TOP - BOTTOM)

    body = [*_grid(floor, most, y), *_stops(knots, x), *_lines(lines, x, y)]
    points = " ".join(f"{x(knot.tokens):.1f},{y(knot.bytes):.1f}" for knot in _smooth(knots))
    body.append(f'<polyline points="{points}" fill="none" stroke="{_colour("weights")}" stroke-width="2.5" stroke-linejoin="round"/>')
    if asked:
        words = escape(f"{numbers.tokens(asked.tokens)} tokens: {numbers.gib(asked.bytes)} GiB")
        body.append(f'<circle cx="{x(asked.tokens):.1f}" cy="{y(asked.bytes):.1f}" r="5" fill="{_colour("weights")}"><title>{words}</title></circle>')
    return _svg(HEIGHT, label, _curve_words(knots, lines), body, name="memory against context")


def _smooth(knots: Sequence[Knot], steps: int = 6) -> Iterator[Knot]:
    """The knots, and points between them: what is straight in tokens is bent on an axis that doubles."""
    for low, high in pairwise(knots):
        for k in range(steps):
            yield Knot(low.tokens + (high.tokens - low.tokens) * k // steps, low.bytes + (high.bytes - low.bytes) * k // steps)
    yield knots[-1]


def _curve_words(knots: Sequence[Knot], lines: Sequence[Line]) -> str:
    ends = f"{_gib(knots[0])} at {short(knots[0].tokens)} tokens, {_gib(knots[-1])} at {short(knots[-1].tokens)}"
    return "; ".join([ends, *(crossing_words(line) for line in lines)])


def crossing_words(line: Line) -> str:
    """`24 GB until 41K`."""
    return (
        f"{line.name} holds all of it"
        if line.crossing is None
        else f"{line.name} until {short(line.crossing)}"
        if line.crossing
        else f"{line.name}: never"
    )


def _gib(knot: Knot) -> str:
    return f"{numbers.gib(knot.bytes, 1)} GiB"


def short(tokens: int) -> str:
    """`41K`, `1M`, `640`."""
    if tokens >= 1024 * 1024 and tokens % (1024 * 1024) == 0:
        return f"{tokens // (1024 * 1024)}M"
    return f"{tokens // 1024}K" if tokens >= 1024 else str(tokens)


def _grid(floor: float, most: float, y: Callable[[float], float]) -> Iterator[str]:
    step = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if (most - floor) / GIB / step <= 6)
    n = int(floor / GIB / step)
    while n * step * GIB < most:
        at = y(n * step * GIB)
        yield f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="currentColor" opacity=".12"/>'
        yield f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end" font-size="11" {INK} opacity=".7">{n * step:g}</text>'
        n += 1
    yield f'<text x="{LEFT - 6}" y="10" text-anchor="end" font-size="11" {INK} opacity=".7">GiB</text>'


def _stops(knots: Sequence[Knot], x: Callable[[float], float]) -> Iterator[str]:
    last = x(knots[-1].tokens)
    for knot in knots:
        if last - _LABEL < x(knot.tokens) < last:
            continue  # it would touch the last one
        at = f"{x(knot.tokens):.1f}"
        yield f'<text x="{at}" y="{HEIGHT - 8}" text-anchor="middle" font-size="11" {INK} opacity=".7">{short(knot.tokens)}</text>'


def _lines(lines: Sequence[Line], x: Callable[[float], float], y: Callable[[float], float]) -> Iterator[str]:
    taken = -99.0
    for line in sorted(lines, key=lambda line: -line.bytes):
        at = y(line.bytes)
        text = max(at + 4, taken + 13)
        taken = text
        yield f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="currentColor" stroke-dasharray="4 4" opacity=".55"/>'
        yield f'<text x="{WIDTH - RIGHT + 6}" y="{text:.1f}" font-size="11" {INK}>{escape(crossing_words(line))}</text>'
        if line.crossing:
            yield f'<circle cx="{x(line.crossing):.1f}" cy="{at:.1f}" r="3" {INK}/>'


# --- reads to scale --------------------------------------------------------------------------------


def reads(rows: Sequence[tuple[str, float, str]], label: str = "reads") -> str:
    """(place, nanoseconds, as text) as bars whose length grows by one step per factor of ten."""
    least, most = min(row[1] for row in rows), max(row[1] for row in rows)
    steps = max(log2(most / least), 1e-9)
    body = []
    for i, (name, nanoseconds, words) in enumerate(rows):
        y, wide = 24 * i, 8 + 230 * log2(nanoseconds / least) / steps
        body.append(f'<text x="0" y="{y + 15}" font-size="12" {INK}>{escape(name)}</text>')
        body.append(f'<rect x="250" y="{y + 4}" width="{wide:.1f}" height="15" rx="2" fill="{_colour("kv")}"/>')
        body.append(f'<text x="{256 + wide:.1f}" y="{y + 15}" font-size="12" {INK}>{escape(words)}</text>')
    words = "; ".join(f"{name}: {told}" for name, _, told in rows)
    return _svg(24 * len(rows) + 4, label, words, body, name="how far each level of memory is away, each step a factor")


# --- the frame -------------------------------------------------------------------------------------


def _svg(height: int, label: str, words: str, body: Sequence[str] | Iterator[str], *, name: str = "memory", alone: bool = False) -> str:
    size = f' width="{WIDTH}" height="{height}" font-family="system-ui,sans-serif" font-size="13"' if alone else ""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"{size} role="img" aria-labelledby="{label}-t {label}-d">'
    told = f'<title id="{label}-t">{escape(name)}</title><desc id="{label}-d">{escape(words)}</desc>'
    drawn = "".join(body)
    used = [part for part in HATCHES if f"#h-{part})" in drawn]
    whole = f"{head}{told}{hatches(used) if used else ''}{drawn}</svg>"
    return whole.replace("#h-", f"#{label}-h-").replace('id="h-', f'id="{label}-h-')


def hatches(parts: Sequence[str]) -> str:
    """The patterns that the bars are filled with."""
    lines = "".join(
        f'<pattern id="h-{part}" width="6" height="6" patternUnits="userSpaceOnUse">'
        f'<path d="{HATCHES[part]}" stroke="#fff" stroke-opacity=".45"/></pattern>'
        for part in parts
    )
    return f"<defs>{lines}</defs>"
