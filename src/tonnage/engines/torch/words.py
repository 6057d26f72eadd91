"""Words of a command line."""

import re


def quoted(word: str) -> str:
    """The word as a shell takes it for one."""
    return word if re.fullmatch(r"[\w./:@%+=-]+", word) else "'" + word.replace("'", "'\\''") + "'"
