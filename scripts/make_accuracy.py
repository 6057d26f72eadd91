"""Fill the generated blocks of docs/accuracy.md from the built-in tables and the tests' data."""

from pathlib import Path

from generated import fill
from tonnage.model import catalogue

TARGET = Path(__file__).parent.parent / "docs/accuracy.md"


def text() -> str:
    """The page."""
    blocks = {name: write() for name, write in BLOCKS.items()}
    return fill(TARGET.read_text(encoding="utf-8"), blocks)


def models() -> str:
    """How many built-in models have rules, and why the others are refused."""
    refused = [row for row in catalogue.index() if row["architecture"] is None]
    known = len(catalogue.index()) - len(refused)
    lines = [f"{known} built-in models are answered; {len(refused)} are refused:\n", "| model | why |", "| --- | --- |"]
    return "\n".join(lines + [f"| {row['hf_id']} | {row['why']} |" for row in refused])


BLOCKS = {"models": models}
"""block of the page -> what writes it"""


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
