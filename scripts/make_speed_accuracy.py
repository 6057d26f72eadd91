"""The blocks of docs/accuracy.md about speed: rows of machines that the fit has not seen, beside what simpler rules say of them."""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import fit_engines as engines_fit
import fit_speed as fit
from fit_speed import Guess, Row
from generated import table

GIB = 2**30
NAIVE_SHARE = 0.55
"""of the bandwidth: what a calculator takes for every machine"""


def _errors(off: Iterable[float]) -> tuple[str, str]:
    """Median and ninth decile of |ln(predicted / measured)|."""
    sizes = [abs(x) for x in off]
    return f"{statistics.median(sizes):.3f}", f"{fit.quantile(sizes, 0.9):.3f}"


def _off(row: Row, tokens_per_s: float) -> float:
    return math.log(tokens_per_s / row["tokens_per_s"])


RULES: dict[str, Callable[[Row], float]] = {
    "bandwidth / file size": lambda row: fit.bandwidth(row) / (row["file_gib"] * GIB),
    "0.55 x bandwidth / active bytes": lambda row: NAIVE_SHARE * fit.bandwidth(row) / row["bytes_read"],
}
"""simpler rules: tokens per second of a row"""


def decode() -> str:
    """Decoding, all rows: ours and the simpler rules."""
    rows = fit.rows("decode")
    cells = [(name, len(rows), *_errors(_off(row, rule(row)) for row in rows)) for name, rule in RULES.items()]
    cells.append(("Tonnage, machine not seen", len(rows), *_errors(guess.off for guess in fit.unseen("decode"))))
    own = [guess for guess in fit.unseen("decode") if guess.row["group"] in fit.large("decode")]
    cells.append((f"the same, groups of {fit.MANY} machines or more alone", len(own), *_errors(guess.off for guess in own)))
    return table("rule|rows|median|p90", cells, "rows|median|p90")


def groups() -> str:
    """Decoding by group, and how the group's rows were predicted."""
    cells = []
    for name in sorted({row["group"] for row in fit.rows("decode")}):
        mine = [guess for guess in fit.unseen("decode") if guess.row["group"] == name]
        how = "its own" if name in fit.large("decode") else f"pooled: {_pool(name)}"
        cells.append((name, len(fit.machines(guess.row for guess in mine)), len(mine), *_errors(guess.off for guess in mine), how))
    return table("group|machines|rows|median|p90|constants from", cells, "machines|rows|median|p90")


def _pool(group: str) -> str:
    """A small group whose machine is left out has the rest of its backend, or all rows."""
    backend = fit.backend_of(group)
    mine = fit.machines(row for row in fit.rows("decode") if row["group"] == group)
    left = [row for row in fit.rows("decode") if fit.backend_of(row["group"]) == backend and row["machine"] not in mine]
    return f"{backend}, other machines" if left else "all other machines"


def inside(guesses: Sequence[Guess], band: dict[str, float]) -> int:
    """How many measured speeds lie in the band around the predicted."""
    return sum(band["low"] <= math.exp(-guess.off) <= band["high"] for guess in guesses)


def bands() -> str:
    """The bands that are printed, and how many rows of unseen machines they hold."""
    cells: list[tuple[Any, ...]] = []
    found = fit.bands()
    for name, band in found["decode"].items():
        mine = [guess for guess in fit.unseen("decode") if fit.band_name(guess.row) == name]
        cells.append((name, len(mine), f"{band['low']:.2f}", f"{band['high']:.2f}", _share(inside(mine, band), len(mine))))
    held = sum(inside([guess], found["decode"][fit.band_name(guess.row)]) for guess in fit.unseen("decode"))
    cells.append(("all decoding", len(fit.unseen("decode")), "", "", _share(held, len(fit.unseen("decode")))))
    prompts = found["prefill"]["all"]
    guesses = fit.unseen_prompts()
    cells.append(("prompts", len(guesses), f"{prompts['low']:.2f}", f"{prompts['high']:.2f}", _share(inside(guesses, prompts), len(guesses))))
    return table("band|rows|from|to|rows inside", cells, "rows|from|to|rows inside")


def _share(part: int, whole: int) -> str:
    return f"{part} ({100 * part / whole:.0f} %)"


def prompts() -> str:
    """Prompts: of groups with several machines one machine left out, of others one model."""
    everything = fit.unseen_prompts()
    large = [guess for guess in everything if guess.row["group"] in fit.large("prefill")]
    small = [guess for guess in everything if guess.row["group"] not in fit.large("prefill")]
    sets = {"all": everything, "machine not seen": large, "model not seen (groups of one or two machines)": small}
    return table("prompts|rows|median|p90", [(name, len(rows), *_errors(g.off for g in rows)) for name, rows in sets.items()], "rows|median|p90")


def offload() -> str:
    """Models with experts in RAM."""
    constants = fit.constants_of(fit.DECODE, fit.rows("decode"), "cuda", small_too=True)
    efficiency = fit.table()["experts_in_ram"]
    cells, off = [], []
    for row in fit.offload_rows():
        predicted = 1 / fit.offload_seconds(row, constants, efficiency)
        off.append(_off(row, predicted))
        name = f"{row['machine']}, RAM {row['ram_gb_s']} GB/s"
        cells.append((name, f"{row['model']} {row['quant']}", f"{row['tokens_per_s']:g}", f"{predicted:.3g}", f"{off[-1]:+.3f}"))
    return "\n".join(
        [
            table("machine|model|measured|predicted|ln(predicted / measured)", cells, "measured|predicted|ln(predicted / measured)"),
            "",
            f"{len(off)} rows: median {_errors(off)[0]}, largest {max(map(abs, off)):.3f}.",
        ]
    )


ENGINES = {"vllm": "vLLM", "sglang": "SGLang", "exllamav3": "ExLlamaV3", "mlx": "MLX-LM"}
SEVERAL = {"llama.cpp, DGX Spark": ("llama.cpp", "cuda-gb10"), "llama.cpp, M2 Ultra": ("llama.cpp", "metal"), "vLLM, RTX 3090": ("vllm", "")}
"""machine -> engine and group of its rows of several sequences"""


def engines() -> str:
    """Engines other than llama.cpp with one sequence, and several at a time: what of their rows is left out together is named."""
    cells = []
    for engine, title in ENGINES.items():
        guesses = engines_fit.unseen(engine)
        devices = {guess.row["device"].split("x ")[-1] for guess in guesses}
        where = "RTX 3090" if devices == {"RTX 3090"} else f"{len(devices)} machines"
        cells.append(_unseen_row(f"{title}, {where}", "1", engines_fit.LEFT_OUT[engine], guesses))
    for title, of in SEVERAL.items():
        guesses = engines_fit.unseen_steps(*of)
        cells.append(_unseen_row(title, f"2 to {max(guess.row['users'] for guess in guesses)}", "model", guesses))
    return table("runs|at a time|left out|rows|median|p90|from|to|inside", cells, "at a time|rows|median|p90|from|to|inside")


def _unseen_row(title: str, users: str, left_out: str, guesses: Sequence[Guess]) -> tuple[Any, ...]:
    band = engines_fit.sure(fit.band_of(guesses))
    errors = _errors(guess.off for guess in guesses)
    return title, users, left_out, len(guesses), *errors, f"{band['low']:.2f}", f"{band['high']:.2f}", inside(guesses, band)


BLOCKS: dict[str, Callable[[], str]] = {
    "speed-decode": decode,
    "speed-groups": groups,
    "speed-bands": bands,
    "speed-prompts": prompts,
    "speed-offload": offload,
    "speed-engines": engines,
}
"""block of the page -> what writes it"""
