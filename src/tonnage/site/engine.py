"""What the browser runs: Pyodide from npm, and Python files compiled by it.

The npm package is fetched once and kept beside the kept headers; its hash is checked. Where npm or node is missing
the site is built without an engine: its pages are whole, and only questions of one's own need a server.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from typing import NamedTuple

from tonnage.errors import SourceError
from tonnage.remote.access import environment
from tonnage.serve.edition import edition
from tonnage.site.compiled import PACKAGES

VERSION = "314.0.7"
SHA256 = "66b7949e5a0cba2250b586d7e368bf12fb482800748d182c4618254b685ffaa0"
"""of the npm package pyodide at VERSION"""
FOLDER = f"engine/{edition()[:8]}"
"""where it stands in the site; another edition stands elsewhere, so that browsers may keep it for ever"""
OWN = ("engine.js", "worker.mjs")
TAKEN = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm")
MADE = ("stdlib.zip", "app.zip", "lock.json")
NOTICE = f"""Pyodide {VERSION} (MPL-2.0), from the npm package pyodide; its source: https://github.com/pyodide/pyodide
Python (PSF-2.0); Jinja2 and MarkupSafe (BSD-3-Clause)
"""
_FETCH_SECONDS, _COMPILE_SECONDS = 300, 300


class Engine(NamedTuple):
    """A folder that holds the files of the engine."""

    folder: str

    def copy(self, to: str) -> None:
        """Put them into a site."""
        os.makedirs(to, exist_ok=True)
        for name in (*OWN, *TAKEN, *MADE):
            shutil.copyfile(os.path.join(self.folder, name), os.path.join(to, name))
        with open(os.path.join(to, "NOTICE.txt"), "w", encoding="utf-8") as file:
            file.write(NOTICE)


def script(name: str) -> str:
    """The path of a script of this package."""
    return os.path.join(os.path.dirname(__file__), name)


def make(folder: str) -> Engine:
    """Fetch and compile into a folder; SourceError where that cannot be done here."""
    package = os.path.join(folder, "package")
    _unpack(fetched(), folder)
    source = os.path.join(folder, "source")
    for name, at in _packages():
        shutil.copytree(at, os.path.join(source, name), ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyi", "*.c"))
    _run(["node", script("compile.mjs"), package, source, folder], _COMPILE_SECONDS)
    for name in OWN:
        shutil.copyfile(script(name), os.path.join(folder, name))
    for name in TAKEN:
        shutil.move(os.path.join(package, name), os.path.join(folder, name))
    return Engine(folder)


def fetched() -> str:
    """The npm package as a file, kept from one build to the next."""
    cache = environment().cache or tempfile.gettempdir()
    path = os.path.join(cache, f"pyodide-{VERSION}.tgz")
    if not os.path.exists(path):
        os.makedirs(cache, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _run(["npm", "pack", "--silent", f"pyodide@{VERSION}", "--pack-destination", folder], _FETCH_SECONDS)
            os.replace(os.path.join(folder, f"pyodide-{VERSION}.tgz"), path)
    with open(path, "rb") as file:
        found = sha256(file.read()).hexdigest()
    if found != SHA256:
        raise SourceError(f"{path} is not the package that was tested: its hash is {found[:16]}...; remove it")
    return path


def _unpack(path: str, folder: str) -> None:
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")


def _packages() -> Iterator[tuple[str, str]]:
    """Packages that the engine holds, with their folders."""
    for name in PACKAGES:
        yield name, os.path.dirname(str(import_module(name).__file__))


def _run(words: list[str], seconds: int) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, timeout=seconds, text=True)
    except FileNotFoundError:
        raise SourceError(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise SourceError(f"{' '.join(words[:2])} took more than {seconds} s") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr or error.stdout or "").strip().splitlines()[-1:] or ["no words"]
        raise SourceError(f"{' '.join(words[:2])} failed: {last[0][:200]}") from None
