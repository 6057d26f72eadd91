"""The versions of Transformers that the rules speak of.

Read in 4.57.6, 5.0, 5.5, 5.10 to 5.15 and 5.23; run in 5.23 (tests/data/torch-cases.json.gz).
"""

import re

from tonnage.errors import UnsupportedError
from tonnage.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Build:
    """One version."""

    name: str
    latent_cache: bool
    """latent attention caches its latent; before, keys and values of every head"""


NEWEST = "5.23"
LATENT_FROM = (5, 15)


def build_of(version: str | None) -> Build:
    """The rules of `version`; UnsupportedError where none are known."""
    text = version or NEWEST
    found = re.fullmatch(r"v?(\d{1,4})\.(\d{1,4})(?:\.\w{1,20})*", text)
    asked = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (4, 57) <= asked <= (5, 23):
        raise UnsupportedError(f"engine_version={version!r}: rules are known of Transformers 4.57 to {NEWEST}")
    return Build(text.removeprefix("v"), asked >= LATENT_FROM)
