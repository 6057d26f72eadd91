"""Write src/tonnage/data/dates.json: when each table last changed, by its hash. Maps of the site and downloads tell it."""

import datetime
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

DATA = Path(__file__).parent.parent / "src/tonnage/data"
TARGET = DATA / "dates.json"
TABLES = ("models/*.json", "devices.json", "sizes.json", "accuracy.json", "calculators/*.json", "texts/*.md")
"""what is dated"""


def files() -> Iterator[Path]:
    """Every table."""
    for pattern in TABLES:
        yield from sorted(DATA.glob(pattern))


def names() -> list[str]:
    """Their paths within the package's data."""
    return [path.relative_to(DATA).as_posix() for path in files()]


def text() -> str:
    """What the page must hold: a table that is as it was keeps its date, one that has changed has today's."""
    known = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    rows = []
    for path in files():
        name, found = path.relative_to(DATA).as_posix(), sha256(path.read_bytes()).hexdigest()[:12]
        kept = known.get(name, ["", ""])
        rows.append(f'{json.dumps(name)}:["{kept[0] if kept[1] == found else today}","{found}"]')
    return "{\n" + ",\n".join(rows) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
