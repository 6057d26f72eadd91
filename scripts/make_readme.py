"""Fill the generated block of README.md: the flagship's answer, as the program prints it."""

import io
from contextlib import redirect_stdout
from pathlib import Path

from generated import fenced, fill
from tonnage import cli

TARGET = Path(__file__).parent.parent / "README.md"
FLAGSHIP = "estimate qwen3.5-122b-a10b --quant Q4_K_M --context 256K"


def text() -> str:
    """The page."""
    return fill(TARGET.read_text(encoding="utf-8"), {"flagship": fenced(f"$ tonnage {FLAGSHIP}\n{_said()}")})


def _said() -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        code = cli.main(FLAGSHIP.split())
    assert code == 0, f"tonnage {FLAGSHIP} ended with {code}"
    return out.getvalue()


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
