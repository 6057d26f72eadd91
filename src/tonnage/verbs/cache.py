"""`tonnage cache`: the headers of remote files that are kept on disk."""

from tonnage.errors import QuestionError, nearest
from tonnage.remote.access import environment
from tonnage.remote.address import parse
from tonnage.remote.kept import Store
from tonnage.verbs import Call
from tonnage.verbs.rows import Column, print_rows

ACTIONS = ("show", "clear")
COLUMNS = (
    Column("file", "file"),
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
        call.print(f"removed {files} headers, {nbytes:,} bytes, from {store.folder}")
        return 0
    rows = [{"file": str(parse(e.url)), "etag": e.etag, "file_bytes": e.file_bytes, "kept_bytes": e.kept_bytes} for e in store.entries()]
    return print_rows(call, COLUMNS, sorted(rows, key=lambda row: str(row["file"])), {"folder": store.folder})
