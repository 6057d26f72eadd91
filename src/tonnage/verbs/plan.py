"""`tonnage plan`: what goes where, how fast that is by the bytes it reads, and the commands that do it."""

from collections.abc import Iterator
from typing import Any

from tonnage.answer import Estimate
from tonnage.engines.llamacpp.placement import HOST
from tonnage.engines.llamacpp.plan import Planned, plan, task_of
from tonnage.engines.llamacpp.plan.check import Checked, Task, unit_homes
from tonnage.engines.llamacpp.plan.words import ranges
from tonnage.errors import QuestionError, TonnageError, UnsupportedError
from tonnage.estimation import engine_of, estimate, judged
from tonnage.frozen import replace
from tonnage.pace import with_pace
from tonnage.question import Question, of_pairs
from tonnage.render import numbers, render, text
from tonnage.render.headline import headline, reserved_bytes, settings
from tonnage.source import Opened, open_question
from tonnage.verbs import Call
from tonnage.verbs.estimate import pairs_of
from tonnage.verbs.rows import Column, print_rows
from tonnage.verbs.terminal import style_of
from tonnage.verdict import exit_code, judge

DEVICES = (
    Column("device", "device"),
    Column("layers", "layers"),
    Column("total_bytes", "GiB", numbers.gib, right=True),
    Column("free_bytes", "free", lambda nbytes: "" if nbytes is None else numbers.gib(nbytes), right=True),
    Column("read_bytes", "read/token", numbers.gib, right=True),
    Column("share", "of time", lambda share: f"{100 * share:.0f} %", right=True),
)

def run(call: Call) -> int:
    """Print a plan, what --fit decides, or the table of every number of layers in RAM."""
    pairs = pairs_of(call)
    try:
        return _answer(call, open_question(of_pairs(pairs), call.access))
    except TonnageError as error:
        if call.format == "json":
            from tonnage.render import json as form

            call.print(form.dumps(form.error(dict(pairs), error)))
        raise


def _answer(call: Call, opened: Opened) -> int:
    if engine_of(opened.question) != "tonnage.engines.llamacpp":
        from tonnage.verbs import serving_plan

        if opened.question.engine not in serving_plan.ENGINES:
            raise UnsupportedError(f"plans are made for llama.cpp, {' and '.join(serving_plan.ENGINES)}, not for {opened.question.engine}")
        return serving_plan.run(call, opened)
    if opened.question.backend == "cpu":
        return _on_the_cpu(call, opened)
    if call.face.get("every"):
        from tonnage.verbs import every_layer

        return every_layer.run(call, opened)
    if not opened.question.device:
        raise QuestionError("a plan needs devices: --device 24GB, once for each, and --ram for the host's memory")
    if call.face.get("as_llama_fit"):
        return _as_llama_fit(call, opened)
    planned = plan(*opened)
    return _without(call, opened) if planned is None else _planned(call, opened, planned)


def _on_the_cpu(call: Call, opened: Opened) -> int:
    """Without a GPU there is one place: the answer is the estimate."""
    found = estimate(*opened)
    found = replace(found, notes=("There is nothing to plan: without a GPU everything lies in host memory.", *found.notes))
    call.print(render(call.format, opened.question, found, style_of(call)))
    return exit_code(found.verdict, placement_is_free=True)


def _planned(call: Call, opened: Opened, planned: Planned) -> int:
    from tonnage.engines.llamacpp.plan.against import against_fit
    from tonnage.engines.llamacpp.plan.targets import targets

    found = planned.checked.estimate
    told = replace(planned.plan, against_fit=against_fit(planned.task, planned.checked))
    found = replace(found, plan=told, command={**found.command, **dict(targets(planned.task))})
    return _print(call, planned.task, planned.checked, paced(planned.task, opened.question, found))


def paced(task: Task, question: Question, found: Estimate) -> Estimate:
    """With speed and cost at the depth that the plan was made for."""
    question = replace(question, depth=task.depth)
    return with_pace(question, task.model, replace(found, verdict=judge(found.devices, int(found.question["margin"]))), engine_of(question))


def _as_llama_fit(call: Call, opened: Opened) -> int:
    from tonnage.engines.llamacpp.plan.against import fitted
    from tonnage.engines.llamacpp.plan.figures import plan_of

    task = task_of(*opened)
    decided, checked = fitted(task, keep_context=False)
    words = f"llama.cpp's --fit gives up: {decided.reason}." if decided.reason else "This is what llama.cpp's --fit decides."
    kept = "" if decided.keeps_n_ctx else f" The context was not given: it takes -c {decided.n_ctx}."
    return _print(call, task, checked, replace(checked.estimate, plan=replace(plan_of(task, checked), against_fit=words + kept)))


def _without(call: Call, opened: Opened) -> int:
    """No placement fits on this machine: settings that would, or how many machines of its kind."""
    from tonnage.engines.llamacpp.plan.more import more
    from tonnage.engines.llamacpp.plan.nodes import cluster
    from tonnage.engines.llamacpp.plan.remedies import remedies

    others = (*remedies(*opened), *more(*opened))
    nodes = cluster(*opened)
    if nodes is None:
        found = judged(*opened)
        ways = others or ("a larger machine: `tonnage fit` lists those that hold it",)
        verdict = found.verdict and replace(found.verdict, word="too big", would_fit_with=ways)
        call.print(render(call.format, opened.question, replace(found, verdict=verdict), style_of(call)))
        return 1
    task, checked = nodes.planned.task, nodes.planned.checked
    commands = {"llama.cpp on the other hosts": nodes.servers, "llama.cpp": nodes.command}
    would_do = f"; one would do with {', or '.join(others)}" if others else ""
    words = f"No plan fits on one host{would_do}."
    words += f" This one is for {nodes.nodes} alike, over RPC; the GPUs of the other hosts come first, and the network's time is not counted."
    told = replace(nodes.planned.plan, against_fit=words)
    _print(call, task, checked, replace(checked.estimate, command=commands, plan=told))
    return 1


# --- printing -------------------------------------------------------------------------------------


def _print(call: Call, task: Task, checked: Checked, found: Estimate) -> int:
    found = replace(found, verdict=judge(found.devices, int(found.question["margin"])))
    if call.format == "json":
        call.print(render("json", checked.question, found, style_of(call)))
    elif call.format == "table":
        call.print("\n".join(_lines(call, task, checked, found)))
    else:
        print_rows(call, DEVICES, list(_rows(task, checked, found)), {})
    return exit_code(found.verdict, placement_is_free=True)


def _lines(call: Call, task: Task, checked: Checked, found: Estimate) -> Iterator[str]:
    style = style_of(call)
    yield headline(found)
    yield from text.wrapped(settings(found), style)
    yield ""
    rows = [[column.show(row[column.key]) for column in DEVICES] for row in _rows(task, checked, found)]
    yield text.table([column.title for column in DEVICES], rows, [i for i, column in enumerate(DEVICES) if column.right], style)
    yield ""
    for line in (*_elsewhere(task, checked), *_speed(task, checked, found)):
        yield from text.wrapped(line, style, rest="  ")
    if found.plan and found.plan.against_fit:
        yield from text.wrapped(found.plan.against_fit, style)
    if found.verdict:
        yield from text.wrapped(f"{found.verdict.word}: {found.verdict.text}", style)
    for name, command in found.command.items():
        yield from ("", f"{name}:", *text.command_lines(command, style.width))
    if found.notes:
        yield ""
        for note in found.notes:
            yield from text.wrapped(note, style, first="- ", rest="  ")


def _elsewhere(task: Task, checked: Checked) -> Iterator[str]:
    """Layers whose feed-forward parts, experts among them, lie on another device than they do."""
    homes, trunk = unit_homes(task, checked.placement), len(task.model.layers) - task.model.n_nextn
    for i in (*range(checked.placement.devices), HOST):
        away = [n for n in range(trunk) if i in homes[n] and checked.placement.layers[n] != i]
        if away:
            yield f"{'Host memory' if i == HOST else f'GPU {i}'} also holds feed-forward parts of layers {ranges(away)}."


def _speed(task: Task, checked: Checked, found: Estimate) -> Iterator[str]:
    """Tokens per second, and what of the machine they stand on."""
    memories = dict.fromkeys((memory.name, memory.bandwidth, memory.assumed) for memory in (*task.machine.gpus, task.machine.host))
    told = ", ".join(f"{name} {bandwidth / 1e9:.0f} GB/s{' (assumed)' if assumed else ''}" for name, bandwidth, assumed in memories)
    if found.speed is None:
        yield f"{1 / checked.seconds:.1f} tokens/s by bytes read alone, with {task.depth:,} tokens in the cache: {told}."
        return
    rate = found.speed["decode_tokens_per_second"]
    band = f"{rate['low']:.1f} to {rate['high']:.1f}"
    yield f"{rate['likely']:.1f} tokens/s, {band}, with {task.depth:,} tokens in the cache; bound by {found.speed['bound_by']}."
    yield f"Placements are ranked by bytes read alone: {told}."


def _rows(task: Task, checked: Checked, found: Estimate) -> Iterator[dict[str, Any]]:
    """One row a device, the host last."""
    assert found.plan
    assert found.plan.modelled
    trunk = len(task.model.layers) - task.model.n_nextn
    homes = unit_homes(task, checked.placement)
    numbered = [*range(len(found.devices) - 1), HOST]
    for i, device, figures in zip(numbered, found.devices, found.plan.modelled["devices"], strict=True):
        layers = [n for n in range(trunk) if checked.placement.layers[n] == i]
        yield {
            "device": device.name if i == HOST or len(numbered) < 3 else f"{i}: {device.name}",
            "layers": ranges(layers) + (", output" if checked.placement.output == i else ""),
            "feed_forward": ranges(n for n in range(trunk) if i in homes[n]),
            "total_bytes": device.total_bytes - reserved_bytes(device),
            "free_bytes": None if device.free_bytes is None else device.free_bytes + reserved_bytes(device),
            "read_bytes": figures["read_bytes"],
            "seconds": figures["seconds"],
            "share": figures["share"],
        }
