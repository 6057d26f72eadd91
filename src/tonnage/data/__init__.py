"""Packaged tables: the one place that reads them, also from a zip."""

import json
import os
from functools import cache
from typing import Any


@cache
def load_json(name: str) -> Any:
    """The table `name`, a path inside this folder. Callers share the value: nobody may change it."""
    return json.loads(read(name))


def read(name: str) -> bytes:
    """The bytes of the packaged file `name`, a path inside this folder."""
    # every loader of packages has get_data; importlib.resources would cost 10 ms of start-up, pkgutil 1
    data: bytes = __spec__.loader.get_data(os.path.join(os.path.dirname(__file__), name))  # type: ignore[union-attr]
    return data
