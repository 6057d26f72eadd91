"""Every error that Tonnage raises on purpose.

    TonnageError
    ├── QuestionError       exit 2  the question is malformed or contradicts itself
    │   └── RefusedError    exit 2  the engine itself refuses these settings
    ├── SourceError         exit 3  a model, file or address cannot be read
    │   └── CorruptError    exit 3  it was read, and is not what its format says
    │       └── TruncatedError      the bytes given end inside a header: more are needed
    ├── UnsupportedError    exit 4  architecture, quant or engine not supported
    └── NoFitError          exit 1  nothing of what was looked for fits

A message is one line: it names the value, the place and what to try.
"""

from collections.abc import Iterable


class TonnageError(Exception):
    """Base of all errors; `kind` and `exit_code` are part of the interface.

    `nearest` holds valid choices close to the one refused.
    """

    kind = "error"
    exit_code = 1

    def __init__(self, message: str, nearest: Iterable[str] = ()) -> None:
        self.nearest = tuple(nearest)
        hint = f"; did you mean {' or '.join(self.nearest)}?" if self.nearest else ""
        super().__init__(message + hint)


class QuestionError(TonnageError):
    """The question is malformed or contradicts itself."""

    kind = "question"
    exit_code = 2


class RefusedError(QuestionError):
    """The engine itself refuses these settings."""

    kind = "refused"


class SourceError(TonnageError):
    """A model, file or address cannot be read."""

    kind = "source"
    exit_code = 3


class CorruptError(SourceError):
    """What was read is not what its format says."""

    kind = "corrupt"


class TruncatedError(CorruptError):
    """The bytes end inside a header: at least the first `need_bytes` of the file are needed."""

    def __init__(self, what: str, have_bytes: int, need_bytes: int) -> None:
        self.need_bytes = need_bytes
        super().__init__(f"the {what} header does not end in the first {have_bytes:,} bytes; at least {need_bytes:,} are needed")


class UnsupportedError(TonnageError):
    """An architecture, quant or engine that Tonnage does not know."""

    kind = "unsupported"
    exit_code = 4


class NoFitError(TonnageError):
    """Nothing of what was looked for fits the devices; the message says how much is short."""

    kind = "no fit"
    exit_code = 1


def nearest(word: str, choices: Iterable[str], n: int = 3) -> tuple[str, ...]:
    """Up to `n` of `choices` that look like `word`, compared without case."""
    import difflib  # 3 ms that only a refused question pays

    by_key = {choice.lower(): choice for choice in choices}
    return tuple(by_key[key] for key in difflib.get_close_matches(word.lower(), by_key, n, 0.5))
