"""What is being read, on a terminal's standard error, when it takes longer than a moment."""

import sys
import time
from threading import Event, Thread
from typing import TextIO

FIRST_SECONDS = 0.3
_NEXT_SECONDS = 0.2
_CLEAR = "\r\x1b[K"


class Progress:
    """One line that is written over and over, and removed at the end; nothing where no one looks."""

    def __init__(self, what: str, out: TextIO | None = None) -> None:
        self.what = what
        self.done = self.total = 0
        self._out = sys.stderr if out is None else out
        self._end = Event()
        self._thread: Thread | None = None

    def __enter__(self) -> "Progress":
        if self._out is not None and self._out.isatty():
            self._thread = Thread(target=self._show, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._thread:
            self._thread.join()

    def _show(self) -> None:
        start, wait, shown = time.monotonic(), FIRST_SECONDS, False
        while not self._end.wait(wait):
            count = f", {self.done} of {self.total} headers" if self.total > 1 else ""
            line = f"reading {self.what}{count} ({time.monotonic() - start:.0f} s)"
            self._out.write(_CLEAR + "".join(c if c.isprintable() else "?" for c in line)[:78])
            self._out.flush()
            wait, shown = _NEXT_SECONDS, True
        if shown:
            self._out.write(_CLEAR)
            self._out.flush()
