"""The answer as a table for a terminal of 80 columns; it reads the same without colour."""

from collections.abc import Iterable, Iterator, Sequence

from tonnage.answer import DeviceAnswer, Estimate, Explanation, Part, Verdict
from tonnage.question import Question
from tonnage.render import Style, numbers
from tonnage.render.headline import against, also, capacity, deductions, headline, pace, reserved_bytes, settings, totals
from tonnage.units import GIB

_COLOURS = {"fits": "32", "tight": "33", "offload": "33", "spills": "31", "pages": "31", "too big": "31"}
_BOLD, _DIM = "1", "2"
_BLOCKS = {"weights": ("█", "34"), "kv": ("▓", "36"), "state": ("▒", "35"), "compute": ("░", "33")}
_OTHER = ("▪", "37")
_FREE = "·"
_BAR = 48
_NAME, _BASIS, _ERROR = 15, 8, 14


def render(question: Question, estimate: Estimate, style: Style) -> str:
    """Headline, a table for each device, total, verdict, command and notes."""
    return "\n".join(line.rstrip() for line in _lines(estimate, style))


def _lines(estimate: Estimate, style: Style) -> Iterator[str]:
    yield _paint(headline(estimate), _BOLD, style)
    yield from wrapped(settings(estimate), style)
    for title, device in _titled(estimate):
        yield ""
        yield from _device(title, device, style)
    yield ""
    yield from wrapped(totals(estimate), style)
    if estimate.capacity:
        yield from wrapped(capacity(estimate), style)
        yield from (f"  {line}" for line in estimate.capacity.get("log", ()))
    if estimate.verdict:
        yield from wrapped(f"{estimate.verdict.word}: {estimate.verdict.text}", style, paint=_colour(estimate.verdict))
        more = also(estimate.verdict)
        if more:
            yield from wrapped(f"would fit with {', or '.join(more)}", style)
    for line in pace(estimate):
        yield from wrapped(line, style, rest="  ")
    yield from _closing(estimate, style)


def _closing(estimate: Estimate, style: Style) -> Iterator[str]:
    for name, command in estimate.command.items():
        yield ""
        if len(estimate.command) > 1:
            yield f"# {name}"
        yield from command.splitlines() if "\n" in command else command_lines(command, style.width)
    notes = [*estimate.notes, *_read(estimate), *_assumed(estimate)]
    if notes:
        yield ""
        for note in notes:
            yield from wrapped(note, style, first="- ", rest="  ")


def _read(estimate: Estimate) -> Iterator[str]:
    """Which version of what lies elsewhere was read."""
    source = estimate.model.source
    if "://" in source or source.startswith("ollama:"):
        yield f"Read from {source}"


def _assumed(estimate: Estimate) -> Iterator[str]:
    """The defaults that an answer hangs on most."""
    told = [f"{key} {estimate.question[key]}" for key in ("quant", "context") if key in estimate.assumed and estimate.question.get(key) != "file"]
    if told:
        yield f"Assumed, since not given: {', '.join(told)}."


# --- a device -------------------------------------------------------------------------------------


def _titled(estimate: Estimate) -> Iterator[tuple[str, DeviceAnswer]]:
    """Devices that hold something; GPUs are numbered where there are several, as the engine numbers them; neighbours that are alike come once."""
    several = sum(device.kind != "host" for device in estimate.devices) > 1
    first = 0
    for i, device in enumerate(estimate.devices):
        following = estimate.devices[i + 1] if i + 1 < len(estimate.devices) else None
        if following is not None and _alike(device, following):
            continue
        if device.parts:
            numbered = f"{first}-{i}: each {device.name}" if first < i else f"{i}: {device.name}" if several else device.name
            yield "host memory" if device.kind == "host" else numbered, device
        first = i + 1


def _alike(a: DeviceAnswer, b: DeviceAnswer) -> bool:
    """Whether two devices hold the same, and as much of it."""
    rows = [[(part.part, part.bytes, part.error and (part.error.low, part.error.high)) for part in device.parts] for device in (a, b)]
    return (a.name, a.usable_bytes, rows[0]) == (b.name, b.usable_bytes, rows[1])


def _device(title: str, device: DeviceAnswer, style: Style) -> Iterator[str]:
    held = device.kind == "host"
    if len(title) > _NAME + 2:
        yield _paint(title, _BOLD, style)
        title = ""
    head = f"{title:<{_NAME + 2}} {'GiB':>9} {'GB':>9}  {'basis':<{_BASIS}} {'error':<{_ERROR}} {'held' if held else ''}"
    yield _paint(head.rstrip(), _BOLD, style)
    drawn = style.bars and device.usable_bytes is not None
    for part in device.parts:
        glyph, colour = _BLOCKS.get(part.part, _OTHER)
        yield (f"{_paint(glyph, colour, style)} " if drawn else "  ") + _row(part, held)
    total = device.total_bytes
    yield _paint(f"  {'total':<{_NAME}} {numbers.gib(total):>9} {numbers.gb(total):>9}", _BOLD, style) + _reserved(device)
    yield from _against(device, style)


def _row(part: Part, held: bool) -> str:
    name = numbers.part_name(part.why if part.part == "draft" else part.part)
    sizes = f"{numbers.gib(part.bytes):>9} {numbers.gb(part.bytes):>9}"
    return f"{name:<{_NAME}} {sizes}  {part.basis:<{_BASIS}} {numbers.error(part):<{_ERROR}} {part.held if held else ''}"


def _reserved(device: DeviceAnswer) -> str:
    """What a device does not hold at the start."""
    later = reserved_bytes(device)
    return f"  {numbers.gib(device.total_bytes - later)} GiB of it at the start" if later else ""


def _against(device: DeviceAnswer, style: Style) -> Iterator[str]:
    """The device's memory, in words and as a bar."""
    if device.usable_bytes is None:
        return
    yield f"  {against(device)}"
    if style.bars:
        yield f"  {bar(device, style)}"
    if device.deductions:
        yield from wrapped(deductions(device), style, first="  ", rest="    ", paint=_DIM)


def bar(device: DeviceAnswer, style: Style) -> str:
    """Parts and free memory drawn to scale; a `|` marks where the memory of a device ends that is too small."""
    usable, total = device.usable_bytes or 0, device.total_bytes
    scale = max(usable, total, 1)
    drawn, sum_bytes, text = 0, 0, ""
    for part in device.parts:
        sum_bytes += part.bytes
        cells = _BAR * sum_bytes // scale - drawn
        glyph, colour = _BLOCKS.get(part.part, _OTHER)
        text += _paint(glyph * cells, colour, style) if cells else ""
        drawn += cells
    text += _FREE * (_BAR - drawn)
    return f"{text} {'over ' + f'{(total - usable) / GIB:.1f} GiB' if total > usable else ''}".rstrip()


# --- words ----------------------------------------------------------------------------------------


def explanation(told: Explanation, style: Style) -> str:
    """Why a part has its size: rule, numbers put in, source."""
    steps = [f"  {step}" for step in told.steps]
    return "\n".join([_paint(told.title, _BOLD, style), "", f"  {told.formula}", *steps, f"  = {told.result}", "", f"source: {told.source}"])


def _colour(verdict: Verdict) -> str:
    return _COLOURS.get(verdict.word, _BOLD)


def _paint(text: str, colour: str, style: Style) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if style.colour and text else text


def wrapped(text: str, style: Style, *, first: str = "", rest: str = "", paint: str = "") -> Iterator[str]:
    """`text` broken at blanks; a word that is longer than a line stays whole."""
    line, indent = first, first
    for word in text.split():
        if len(line) + len(word) + 1 > style.width and line.strip() and line != indent:
            yield _paint(line, paint, style) if paint else line
            line, indent = rest, rest
        line += word if line == indent else f" {word}"
    yield _paint(line, paint, style) if paint else line


def command_lines(command: str, width: int) -> Iterator[str]:
    """A command that can be pasted: broken before options, with a backslash."""
    line = ""
    for group in _options(command.split(" ")):
        if line and len(line) + len(group) + 3 > width:
            yield line + " \\"
            line = "  " + group
        else:
            line = f"{line} {group}" if line else group
    yield line


def _options(words: Iterable[str]) -> Iterator[str]:
    """Words gathered so that an option and its value stay together; quotes are not looked into."""
    group = ""
    for word in words:
        if word.startswith("-") and group and not word.lstrip("-").isdigit():
            yield group
            group = word
        else:
            group = f"{group} {word}" if group else word
    yield group


def width_of(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Characters of the widest line of a table."""
    return sum(max(len(row[i]) for row in (titles, *rows)) + 2 for i in range(len(titles))) - 2


def folded(titles: Sequence[str], rows: Sequence[Sequence[str]], right: Iterable[int], style: Style) -> str:
    """A table for a narrow terminal: where it is still too wide, what its last column says stands below the row that it is too long for."""
    last = len(titles) - 1
    if width_of(titles, rows) <= style.width or last in set(right):
        return table(titles, rows, right, style)
    room = style.width - width_of(titles[:-1], [row[:-1] for row in rows]) - 2
    short = [[*row[:-1], row[-1] if len(row[-1]) <= room else ""] for row in (titles, *rows)]
    lines = table(short[0], short[1:], right, style).split("\n")
    for i, row in reversed([*enumerate(rows, 1)]):
        if row[-1] and len(row[-1]) > room:
            lines[i + 1 : i + 1] = wrapped(f"{titles[-1]}: {row[-1]}", style, first="    ", rest="    ")
    return "\n".join(lines)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]], right: Iterable[int], style: Style) -> str:
    """A plain table: columns as wide as their widest cell."""
    grid = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[i]) for row in grid) for i in range(len(grid[0]))]
    to_right = set(right)

    def line(row: list[str]) -> str:
        cells = (cell.rjust(width) if i in to_right else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        return "  ".join(cells).rstrip()

    return "\n".join([_paint(line(grid[0]), _BOLD, style), *(line(row) for row in grid[1:])])
