"""Write docs/cli.md from the tables of verbs and keys."""

from collections.abc import Iterator
from pathlib import Path

from tonnage.keys import GROUPS, Key
from tonnage.verbs import VERBS
from tonnage.verbs.help import metavar, overview, sentence

TARGET = Path(__file__).parent.parent / "docs/cli.md"

INTRODUCTION = """\
# The command line

This page is written by `scripts/make_cli_docs.py` from the tables that the program itself runs on; a test fails when it is stale.

```text
{overview}
```

Standard output carries the answer alone; errors are one line on standard error.
There is no colour and no bar where the output is not a terminal, and `NO_COLOR` is honoured.

| exit code | meaning |
| --- | --- |
| 0 | answered; where a device was asked about, it fits |
| 1 | answered; it does not fit |
| 2 | the question is malformed, or the engine itself refuses its settings |
| 3 | a model or file cannot be read |
| 4 | architecture, quant or engine not supported |
| 70 | a fault of Tonnage itself |
"""

KEYS_INTRODUCTION = """\
## Keys

One codec reads a question in every form.
The long option is the key with `-` for `_`; the query string takes the key or its short letter; JSON and Python take the key.
What an engine calls a key is taken too, in every form: `-ctk q8_0`, `ctk=q8_0`, `{"ctk": "q8_0"}`.

```text
tonnage estimate qwen3.5-122b-a10b -q Q4_K_M -c 256K --no-mmap
m=qwen3.5-122b-a10b&q=Q4_K_M&c=256K&mmap=false
{"model": "qwen3.5-122b-a10b", "quant": "Q4_K_M", "context": 262144, "mmap": false}
tonnage.estimate("qwen3.5-122b-a10b", quant="Q4_K_M", context="256K", mmap=False)
```

Counts of tokens may end in K (1,024) or M (1,048,576).
Sizes are bytes, or end in a unit: GB is 10^9 and GiB 2^30, but a device or kit is sold by its binary size, so `--device 24GB` holds 24 GiB.
A key that is given twice must be given the same value; lists are gathered.
"""


def text() -> str:
    """The page."""
    return "\n".join([INTRODUCTION.format(overview=overview()), *_verbs(), KEYS_INTRODUCTION, *_groups()])


def _verbs() -> Iterator[str]:
    yield "## Verbs\n"
    for verb in VERBS:
        yield f"### tonnage {verb.name}\n\n`tonnage {verb.name} {verb.usage}`\n\n{sentence(verb.help)}\n"
        if verb.examples:
            yield "```sh\n" + "\n".join(verb.examples) + "\n```\n"
        yield "| option | values | meaning |\n| --- | --- | --- |"
        for option in verb.options:
            names = ", ".join(f"`{spelling}`" for spelling in option.spellings)
            yield f"| {names} | {', '.join(option.choices)} | {option.help} |"
        yield ""


def _groups() -> Iterator[str]:
    for group in GROUPS:
        yield f"### {sentence(group.title).rstrip('.')}\n\n| key | value | meaning | default | also |\n| --- | --- | --- | --- | --- |"
        yield from (_row(key) for key in group.keys)
        yield ""


def _row(key: Key) -> str:
    name = f"`{key.name}`" + (f", `-{key.short}`" if key.short else "")
    value = "true, false" if key.kind == "switch" else ", ".join(key.choices) if key.kind == "choice" else metavar(key)
    also = " ".join(f"`{spelling}`" for spelling in (*key.aliases, *key.flags))
    return f"| {name} | {value} | {key.help} | {key.default} | {also} |".replace("  |", " |")


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
