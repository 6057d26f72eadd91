"""`tonnage site build DIR`: the pages as files."""

import os
import tempfile
import time

from tonnage.errors import QuestionError, SourceError, UnsupportedError, nearest
from tonnage.verbs import Call

ACTIONS = ("build",)


def run(call: Call) -> int:
    """Write the site; without an engine where that cannot be had, which is said."""
    action, folder = call.words_between(2, 2)
    if action not in ACTIONS:
        raise QuestionError(f"unknown action {action[:40]!r}; `tonnage site build DIR`", nearest(action, ACTIONS))
    try:
        from tonnage.pages import Site
        from tonnage.render.png import can_draw
        from tonnage.site import build, engine
    except ImportError as error:
        raise UnsupportedError(f"pages need {error.name}: pip install 'tonnage[serve]'") from None
    start = time.monotonic()
    origin = str(call.face.get("origin", "")).rstrip("/")
    site = Site(base=_base(str(call.face.get("base", ""))), origin=origin)
    with tempfile.TemporaryDirectory() as scratch:
        found = None
        if "no_engine" not in call.face:
            try:
                found = engine.make(scratch)
            except SourceError as error:
                call.errors.write(f"without the engine in the browser: {error}\n")
        os.makedirs(folder, exist_ok=True)
        built = build.build(folder, site, found, told=lambda words: print(words, file=call.errors))
    if not can_draw():
        call.errors.write("without cards for links: pip install resvg-py\n")
    for line in built.skipped:
        call.errors.write(f"left out: {line}\n")
    with_it = "with" if found else "without"
    call.print(f"{built.pages:,} pages, {built.nbytes / 1e6:.1f} MB, {with_it} the engine, in {time.monotonic() - start:.0f} s: {folder}")
    return 0


def _base(text: str) -> str:
    """A path before every link, as in `/tonnage`."""
    text = text.strip("/")
    return f"/{text}" if text else ""
