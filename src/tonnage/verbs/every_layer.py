"""`tonnage plan --every`: what stays on the GPUs with the experts, or layers, of so many blocks in RAM, row by row."""

from collections.abc import Iterator, Sequence
from typing import Any

from tonnage.engines.llamacpp.plan import task_of
from tonnage.engines.llamacpp.plan.check import Task
from tonnage.engines.llamacpp.plan.every import every, routed_blocks
from tonnage.engines.llamacpp.plan.figures import plan_of
from tonnage.frozen import replace
from tonnage.question import to_dict
from tonnage.render import numbers, text
from tonnage.render.headline import headline, settings
from tonnage.source import Opened
from tonnage.units import GIB
from tonnage.verbs import Call
from tonnage.verbs.plan import paced
from tonnage.verbs.rows import Column, print_rows
from tonnage.verbs.terminal import style_of

COLUMNS = (
    Column("layers_in_ram", "in RAM", right=True),
    Column("flag", "flag"),
    Column("gpu_bytes", "GPU GiB", numbers.gib, right=True),
    Column("host_bytes", "RAM GiB", numbers.gib, right=True),
    Column("gpu_read_bytes", "GPU reads", numbers.gib, right=True),
    Column("host_read_bytes", "RAM reads", numbers.gib, right=True, narrow=False),
    Column("tokens_per_second", "tokens/s", lambda rate: "" if rate is None else f"{rate:.1f}", right=True),
    Column("spare_bytes", "spare GiB", lambda nbytes: "" if nbytes is None else f"{nbytes / GIB:.2f}", right=True),
    Column("fits", "fits", lambda fits: {True: "yes", False: "no", None: ""}[fits]),
)
"""reads are GiB for one token"""


def run(call: Call, opened: Opened) -> int:
    """Print a row for every number of blocks; exit 1 where there is a limit and none fits."""
    task = task_of(*opened)
    rows = list(_rows(task))
    if call.format == "table":
        call.print(headline(task.by_itself))
        call.print("\n".join([*text.wrapped(settings(task.by_itself), style_of(call)), ""]))
    print_rows(call, COLUMNS, rows, {"question": to_dict(opened.question)}, list(_notes(task, rows)))
    return int(bool(rows) and all(row["fits"] is False for row in rows))


def _rows(task: Task) -> Iterator[dict[str, Any]]:
    """Rows with the likely speed where the devices' rates are known, else by bytes read alone; of what does not fit, what it would be."""
    for row, checked in every(task):
        found = replace(checked.estimate, plan=plan_of(task, checked))
        if row["fits"] is None:  # of no device there is no rate
            yield {**row, "tokens_per_second": None, "is_modelled": False}
            continue
        speed = paced(task, checked.question, found).speed
        rate = speed["decode_tokens_per_second"]["likely"] if speed else row["tokens_per_second"]
        yield {**row, "tokens_per_second": rate, "is_modelled": speed is not None}


def _notes(task: Task, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    routed = routed_blocks(task)
    what = f"experts of the first so many of {len(routed)} layers" if routed else f"the first so many of {len(rows) - 2} layers, the output last"
    yield f"In RAM: {what}. Reads are GiB for one token."
    if rows[0]["fits"] is None:
        yield "No --device is named: no speed, and nothing that could not fit."
        return
    modelled = all(row["is_modelled"] for row in rows)
    yield f"tokens/s: {'likely' if modelled else 'by bytes read alone'}, with {task.depth:,} tokens in the cache, whether it fits or not."
    first = next((row for row in rows if row["fits"]), None)
    told = f"The first that fits: {first['flag']}." if first else "None fits by this alone."
    yield f"{told} `tonnage plan` looks for better ways."
