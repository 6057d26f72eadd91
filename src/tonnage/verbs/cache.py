"""`tonnage cache`: the headers of remote files that are kept on disk."""

import re

from tonnage.errors import QuestionError, nearest
from tonnage.remote.access import environment
from tonnage.remote.address import parse
from tonnage.remote.kept import Store
from tonnage.verbs import Call
from tonnage.verbs.rows import Column, print_rows

_COMMIT = re.compile(r"/([0-9a-f]{8})[0-9a-f]{32}/")
ACTIONS = ("show", "clear")
COLUMNS = (
    Column("file", "file", lambda url: _COMMIT.sub(r"/\1/", url)),
    Column("etag", "ETag", lambda etag: str(etag).strip('"')[:16]),
    Column("file_bytes", "file bytes", "{:,}".format, right=True),
    Column("kept_bytes", "kept bytes", "{:,}".format, right=True),
)


def run(call: Call) -> int:
    """Show what is kept, or remove it."""
    (action,) = call.words_between(1, 1)
    if action not in ACTIONS:
        raise QuestionError(f"unknown action {action[:40]!r}; `tonnage cache show` or `tonnage cache clear`", nearest(action, ACTIONS))
    store = Store(environment().cache)
    if action == "clear":
        files, nbytes = store.clear()
        call.print(f"removed {_headers(files)}, {nbytes:,} bytes, from {store.folder}")
        return 0
    entries = list(store.entries())
    rows = [{"file": str(parse(e.url)), "etag": e.etag, "file_bytes": e.file_bytes, "kept_bytes": e.kept_bytes} for e in entries]
    print_rows(call, COLUMNS, sorted(rows, key=lambda row: str(row["file"])), {"folder": store.folder})
    if call.format == "table":
        kept = sum(entry.kept_bytes for entry in entries)
        call.print(f"{_headers(len(entries))}, {kept:,} bytes, in {store.folder or 'no folder: TONNAGE_CACHE is empty'}")
    return 0


def _headers(count: int) -> str:
    return f"{count} header{'' if count == 1 else 's'}"
