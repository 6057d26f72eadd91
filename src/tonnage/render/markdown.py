"""The answer as Markdown, for an issue, a model card or a chat."""

from collections.abc import Iterable, Sequence
from typing import Any

from tonnage.answer import DeviceAnswer, Estimate
from tonnage.question import Question
from tonnage.render import Style, numbers
from tonnage.render.headline import against, also, capacity, deductions, headline, pace, settings, totals


def render(question: Question, estimate: Estimate, style: Style) -> str:
    """Headline, one table, verdict, command and notes."""
    blocks = [f"**{headline(estimate)}**", settings(estimate), _table(estimate), _budgets(estimate), totals(estimate)]
    blocks += [capacity(estimate)] if estimate.capacity else []
    if estimate.verdict:
        blocks.append(f"**{estimate.verdict.word}**: {estimate.verdict.text}")
        more = also(estimate.verdict)
        if more:
            blocks.append(f"Would fit with {_escaped(', or '.join(more))}")
    blocks += pace(estimate)
    blocks += [f"```sh\n{command}\n```" for command in estimate.command.values()]
    if estimate.notes:
        blocks.append("\n".join(f"- {_escaped(note)}" for note in estimate.notes))
    return "\n\n".join(block for block in blocks if block)


def _budgets(estimate: Estimate) -> str:
    """A line for each device with a limit."""
    told = ((device, "; ".join(words for words in (against(device), deductions(device)) if words)) for device in estimate.devices)
    return "\n".join(f"- {_escaped(device.name)}: {_escaped(words)}" for device, words in told if words)


def _table(estimate: Estimate) -> str:
    rows = [row for device in estimate.devices if device.parts for row in _device(device)]
    return write(("device", "part", "GiB", "GB", "basis", "error", "held"), rows, right=(2, 3))


def _device(device: DeviceAnswer) -> Iterable[tuple[str, ...]]:
    for part in device.parts:
        name = numbers.part_name(part.part)
        yield device.name, name, numbers.gib(part.bytes), numbers.gb(part.bytes), part.basis, numbers.error(part), part.held
    total = device.total_bytes
    yield f"**{device.name}**", "**total**", f"**{numbers.gib(total)}**", f"**{numbers.gb(total)}**", "", "", ""


def write(columns: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """A table; `right` are the columns whose numbers stand to the right."""
    rule = ["---:" if i in right else "---" for i in range(len(columns))]
    return "\n".join("| " + " | ".join(_escaped(str(cell)) for cell in row) + " |" for row in (columns, rule, *rows))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
