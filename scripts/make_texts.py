"""Pages of the documentation that the server shows, copied into the package."""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
TEXTS = ROOT / "src/tonnage/data/texts"


class Copy(NamedTuple):
    """A page and its copy."""

    source: Path
    TARGET: Path

    def text(self) -> str:
        """What the copy must hold."""
        return self.source.read_text(encoding="utf-8")


NAMES = ("accuracy.md", "how-llama.cpp-uses-memory.md", "how-vllm-uses-memory.md")
COPIES = (*(Copy(ROOT / "docs" / name, TEXTS / name) for name in NAMES), Copy(ROOT / "docs/accuracy.json", ROOT / "src/tonnage/data/accuracy.json"))
