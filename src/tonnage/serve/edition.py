"""Which code and data answer: what ETags and caches are tied to."""

import os
from collections.abc import Iterator
from functools import cache
from hashlib import sha256

import tonnage
from tonnage.version import __version__


@cache
def edition() -> str:
    """A hash of every file of the package; the version alone where the package is no folder."""
    told = sha256(__version__.encode())
    for path in _files(os.path.dirname(tonnage.__file__)):
        with open(path, "rb") as file:
            told.update(file.read())
    return told.hexdigest()[:16]


def _files(folder: str) -> Iterator[str]:
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (os.path.join(at, name) for name in sorted(names) if not name.endswith((".pyc", ".so")))
