"""`tonnage plan --engine vllm`: ways to share a model out over the devices, and what the best one takes."""

from typing import Any

from tonnage.question import to_dict
from tonnage.render import numbers, render
from tonnage.serving import ENGINES, Way, ways
from tonnage.source import Opened
from tonnage.verbs import Call
from tonnage.verbs.rows import Column, print_rows
from tonnage.verbs.terminal import style_of
from tonnage.verdict import exit_code

COLUMNS = (
    Column("tensor_parallel", "tp", right=True),
    Column("pipeline_parallel", "pp", right=True),
    Column("data_parallel", "dp", right=True),
    Column("expert_parallel", "ep", lambda shared: "yes" if shared else ""),
    Column("kv_cache_dtype", "cache"),
    Column("needed_bytes", "needs GiB", numbers.gib, right=True),
    Column("kv_tokens", "KV tokens", lambda count: "" if count is None else f"{count:,}", right=True),
    Column("requests", "requests", lambda count: f"{count:.1f}", right=True),
    Column("verdict", "verdict"),
)


__all__ = ["ENGINES", "run"]


def run(call: Call, opened: Opened) -> int:
    """Print every way, best first, and the whole answer of the best; exit 1 where it does not carry the users."""
    found = ways(opened.question, opened.model, opened.attached)
    best = found[0]
    users = opened.question.users or 1
    carried = best.requests >= users
    if call.format == "json":
        from tonnage.render import json as form

        rows = [_row(way) for way in found]
        call.print(form.dumps({"schema": form.SCHEMA, "question": to_dict(opened.question), "rows": rows, "answer": form.answer(best.answer)}))
    else:
        print_rows(call, COLUMNS, [_row(way) for way in found], {})
    if call.format == "table":
        short = "" if carried else f", not the {users} that {'is' if users == 1 else 'are'} asked for"
        call.print(f"\nThe first way carries {best.requests:.1f} requests of {int(best.answer.question['context']):,} tokens{short}:\n")
        call.print(render("table", best.question, best.answer, style_of(call)))
    return exit_code(best.answer.verdict, placement_is_free=True) or int(not carried)


def _row(way: Way) -> dict[str, Any]:
    told, verdict = way.answer.capacity or {}, way.answer.verdict
    return {
        **way.flags,
        "needed_bytes": max(device.total_bytes for device in way.answer.devices),
        "kv_tokens": told.get("kv_tokens"),
        "requests": way.requests,
        "verdict": verdict.word if verdict else "",
    }
