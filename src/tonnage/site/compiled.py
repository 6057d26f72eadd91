"""Run by Pyodide while a site is built: asks every kind of question, sees what that imports, and writes it as bytecode."""

import importlib._bootstrap_external
import json
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

_EXTERNAL: Any = importlib._bootstrap_external
SOURCE = "/source"
PACKAGES = ("tonnage", "jinja2", "markupsafe")
LEFT_OUT = ("site", "serve", "fonts", "__pycache__")
ALWAYS = ("encodings/", "_pyodide/", "pyodide/", "_sysconfigdata")
"""of the standard library: what Python and Pyodide look for as they start"""
FRAGMENTS = (
    "m=qwen3.6-27b&q=Q4_K_M&c=32K&d=RTX 4090&ram=64GB DDR5-6000 x2",
    "m=qwen3.5-122b-a10b&d=2x RTX 3090&ram=128GB&n_cpu_moe=20&price=0.3/kWh",
    "m=params=7B",
    "m=qwen3-0.6b&e=vllm",
    "m=oops",
    "c=1&c=2",
)
PATHS = ("/", "/m/qwen3-0.6b/Q4_K_M/", "/m/", "/m/qwen3-0.6b/", "/on/", "/on/rtx-4090/", "/compare", "/tools/transfer/", "/nothing")
VERBS = ("plan?m=qwen3.5-122b-a10b&d=24GB&ram=96GB&c=32K", "best-quant?m=qwen3-32b&d=24GB", "speed?m=qwen3-32b&d=RTX 4090")


def run() -> None:
    """Write /stdlib.zip and /app.zip."""
    ask()
    archive = zipfile.ZipFile(next(path for path in sys.path if path.endswith(".zip")))
    archive.extractall("/stdlib")
    write("/stdlib.zip", [(name, f"/stdlib/{name}") for name in needed(set(archive.namelist()))], 2)
    write("/app.zip", [pair for package in PACKAGES for pair in files(package)], 1)


def ask() -> None:
    """Reach what a page may reach: what is imported then is what the engine needs."""
    from tonnage.model import catalogue
    from tonnage.pages import local, reply

    for row in catalogue.index():
        if row["architecture"]:
            catalogue.model(row["name"])  # every family is imported
    for target in (*PATHS, *(f"/fragment?{query}" for query in FRAGMENTS), *(f"/api/v1/{verb}" for verb in VERBS)):
        path, _, query = target.partition("?")
        reply(path, query)
    config = json.dumps(catalogue.row("qwen3-0.6b")["config"]).encode()
    local.take("x.json", config, len(config))
    local.answer("m=x.json&q=Q4_K_M")


def needed(held: set[str]) -> set[str]:
    """Files of the standard library that were imported, of those that its zip holds."""
    imported = {name.replace(".", "/") + end for name in sys.modules for end in (".py", "/__init__.py")} & held
    return imported | {name for name in held if name.startswith(ALWAYS) and name.endswith(".py")}


def files(package: str) -> Iterator[tuple[str, str]]:
    """Every file of a package that a browser may need: its name in the zip, and where it lies."""
    for folder, folders, names in os.walk(f"{SOURCE}/{package}"):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in names:
            path = os.path.join(folder, name)
            yield os.path.relpath(path, SOURCE), path


def write(path: str, modules: Iterable[tuple[str, str]], optimize: int) -> None:
    """A zip of compiled modules, and of other files as they are."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in sorted(modules):
            with open(file, "rb") as opened:
                data = opened.read()
            if name.endswith(".py"):
                code = compile(data, name, "exec", dont_inherit=True, optimize=optimize)
                name, data = name + "c", _EXTERNAL._code_to_timestamp_pyc(code)
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED, 9)
