"""JSON of hostile origin, walked over with patterns: nothing is built but what is asked for.

A JSON reader builds every list and object before its caller can object; a walk takes time in proportion to
the text and memory in proportion to what its caller keeps.
"""

import re
from collections.abc import Callable, Iterator

from tonnage.errors import CorruptError

MAX_TEXT_BYTES = 4096  # of a text that is built
MAX_SKIPPED_BYTES = 65_536  # of a value that nobody asks for

WS = rb"[ \t\n\r]*+"
TEXT = rb'"([^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+)"'
INT = rb"(0|[1-9][0-9]{0,19}+)"
_PUNCTUATION = re.compile(WS + rb"([{}:,])" + WS)
_KEY = re.compile(WS + TEXT + WS + rb":" + WS)
STRING = re.compile(TEXT)
FLAT = re.compile(rb'\{(?:[^{}"]++|"(?:[^"\\]++|\\.)*+")*+\}', re.DOTALL)
_TOKEN = re.compile(rb'[ \t\n\r,:]*+(?:"(?:[^"\\]++|\\.)*+"|([{\[])|([}\]])|[-+.0-9a-zA-Z]++)', re.DOTALL)


class Walk:
    """A place in a text of JSON."""

    __slots__ = ("at", "data", "end", "what")

    def __init__(self, data: bytes, start: int, end: int, what: str) -> None:
        self.data, self.at, self.end, self.what = data, start, end, what
        self._check_utf8()

    def _check_utf8(self) -> None:
        """In pieces, since a text of rare letters takes four times its bytes."""
        import codecs

        decoder, piece = codecs.getincrementaldecoder("utf-8")(), 1 << 20
        try:
            for at in range(self.at, self.end, piece):
                decoder.decode(bytes(self.data[at : min(at + piece, self.end)]), at + piece >= self.end)
        except UnicodeDecodeError:
            raise CorruptError(f"the {self.what} is no UTF-8 text") from None

    def match(self, pattern: re.Pattern[bytes], wanted: str) -> re.Match[bytes]:
        """`pattern` at this place, which moves behind it."""
        found = pattern.match(self.data, self.at, self.end)
        if found is None:
            raise CorruptError(f"the {self.what} is no sound JSON at byte {self.at:,}: {wanted} is expected")
        self.at = found.end()
        return found

    def mark(self, marks: bytes) -> bytes:
        """One of `marks`, with the blanks around it."""
        found = self.match(_PUNCTUATION, " or ".join(map(chr, marks)))
        if found[1] not in marks:
            raise CorruptError(f"the {self.what} is no sound JSON at byte {found.start(1):,}: {' or '.join(map(chr, marks))} is expected")
        return found[1]

    def members(self, run: Callable[[], None] = lambda: None) -> Iterator[str]:
        """The names of the members of the object at this place; whoever asks must read each value before the next name.

        `run` is called before every name and may read whole members that are not the last one.
        """
        self.mark(b"{")
        if self.data[self.at : self.at + 1] == b"}" and self.at < self.end:
            self.mark(b"}")
            return
        while True:
            run()
            yield self.text(self.match(_KEY, "a name").group(1))
            if self.mark(b",}") == b"}":
                return

    def text(self, raw: bytes) -> str:
        """What stands between quotes, its escapes resolved."""
        if len(raw) > MAX_TEXT_BYTES:
            raise CorruptError(f"the {self.what} has a text of {len(raw):,} bytes, over the limit of {MAX_TEXT_BYTES:,}: {raw[:40]!r}...")
        if b"\\" not in raw:
            return raw.decode()
        import json

        text: str = json.loads(b'"' + raw + b'"')
        try:
            text.encode()
        except UnicodeEncodeError:
            raise CorruptError(f"the {self.what} has half a letter in {raw[:40]!r}") from None
        return text

    def skip_value(self) -> bytes:
        """Walk over any value of a sane length and return it; its brackets are counted, not matched."""
        start, depth = self.at, 0
        while self.at - start <= MAX_SKIPPED_BYTES:
            found = self.match(_TOKEN, "a value")
            depth += (found[1] is not None) - (found[2] is not None)
            if depth < 0:
                raise CorruptError(f"the {self.what} is no sound JSON at byte {start:,}: a value is expected")
            if depth == 0:
                return self.data[start : self.at]
        raise CorruptError(f"the {self.what} has a value of more than {MAX_SKIPPED_BYTES:,} bytes at byte {start:,}")

    def end_of_text(self) -> None:
        """Nothing but blanks may follow: writers pad a header with them."""
        if self.data[self.at : self.end].strip(b" \t\n\r"):
            raise CorruptError(f"the {self.what} goes on behind its JSON object at byte {self.at:,}")
