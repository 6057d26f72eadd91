"""Write every generated page, or with --check name those that are stale and fail."""

import sys
from pathlib import Path

import make_accuracy
import make_cli_docs
import make_dates
import make_readme
import make_texts

PAGES = (make_readme, make_cli_docs, make_accuracy, *make_texts.COPIES, make_dates)
"""modules with TARGET, the page, and text(), what it must hold"""


def stale() -> list[Path]:
    """The pages that do not hold what they should."""
    return [page.TARGET for page in PAGES if not page.TARGET.exists() or page.TARGET.read_text(encoding="utf-8") != page.text()]


def main(words: list[str]) -> int:
    if words == ["--check"]:
        for path in stale():
            print(f"{path.name} is stale: run `make docs`", file=sys.stderr)
        return 1 if stale() else 0
    for page in PAGES:
        page.TARGET.write_text(page.text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
