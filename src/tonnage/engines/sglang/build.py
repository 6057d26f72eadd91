"""The version of SGLang that the rules speak of, read from its wheel."""

import re

from tonnage.errors import UnsupportedError

NEWEST = "0.5.23"


def version_of(version: str | None) -> str:
    """The version answered for; UnsupportedError where no rules are known."""
    text = (version or NEWEST).removeprefix("v")
    if not re.fullmatch(r"0\.5(?:\.\w{1,20})*", text):
        raise UnsupportedError(f"engine_version={version!r}: rules are known of SGLang 0.5, read in {NEWEST}")
    return text
