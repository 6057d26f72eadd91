"""The shape of the source: order of imports, purity, sizes, docstrings. docs/architecture.md says it in words."""

import ast
import re
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src/tonnage"
MODULES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
PLACES = ("src", "tests", "scripts", "benchmarks", "fuzz", "docs")
FILES = (*ROOT.glob("*"), *(path for place in PLACES for path in (ROOT / place).rglob("*")))
TEXTS = sorted(path for path in FILES if path.is_file() and (path.suffix in (".py", ".md", ".toml") or path.name == "Makefile"))

FLOORS = (
    {"version", "units", "errors", "frozen"},
    {"data"},
    {"model", "quant"},
    {"answer", "keys", "values", "question", "hardware", "calculators", "work"},
    {"engines"},
    {"place"},
    {"speed", "cost", "pace", "verdict"},
    {"estimation"},
    {"need", "solve", "survey", "serving", "comparison", "glance"},
    {"evidence", "explain", "remote", "render"},
    {"source", "machine"},
    {"api", "document", "verbs", "cli", "pages", "serve", "site", "mcp", "__main__", "__init__"},
)
"""from the ground up: a room imports from its own floor and from those below"""

RIM = {"data", "remote", "source", "machine", "verbs", "cli", "serve", "site", "mcp", "__main__", "hardware.detect"}
"""the rooms that may touch files, clocks, network, environment and terminal"""

OUTSIDERS = {
    "pages.templates": {"jinja2"},
    "render.png": {"resvg_py"},
    "serve.app": {"fastapi"},
    "verbs.serve": {"uvicorn"},
}
"""files that need an extra -> the packages that they may import; all others need the standard library alone"""

IMPURE_MODULES = {
    "asyncio", "concurrent", "ctypes", "datetime", "getpass", "glob", "http", "importlib.metadata", "importlib.resources", "logging",
    "multiprocessing", "os", "pathlib", "platform", "random", "secrets", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "sys", "tempfile", "threading", "time", "urllib.request", "uuid",
}  # fmt: skip
IMPURE_CALLS = {"breakpoint", "eval", "input", "open", "print"}

MAX_LINES_OF_FILE, MAX_LINES_OF_FUNCTION = 400, 40
MACHINE_PATH = re.compile(r"(?<![\w.~/])/(?:home|root|work|mnt|Users)/\w")


def name_of(path: Path) -> str:
    """A module's name below the package: `model.archs.llama`; a package's own file bears the package's name."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@cache
def tree(path: Path) -> ast.Module:
    """The syntax of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, nodes: list[ast.stmt] | None = None) -> set[str]:
    """Full names of what a file imports anywhere in it, or in the statements given."""
    found = set()
    for root in nodes if nodes is not None else [tree(path)]:
        for node in ast.walk(root):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def floor_of(name: str) -> int:
    """The floor of a module's room."""
    floors = [floor for floor, rooms in enumerate(FLOORS) if name.split(".")[0] in rooms]
    assert floors, f"{name}: give its room a floor in FLOORS, and a word in docs/architecture.md"
    return floors[0]


def ours(path: Path, nodes: list[ast.stmt] | None = None) -> set[str]:
    """The modules of ours that a file imports, by their names below the package."""
    known = {name_of(module) for module in MODULES}
    return {name.removeprefix("tonnage.") for name in imports(path, nodes) if name.startswith("tonnage.")} & known


def is_pure(path: Path) -> bool:
    """Whether a file lies below the rim."""
    name = name_of(path)
    return name not in RIM and name.split(".")[0] not in RIM


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of a file, also methods and inner ones."""
    return [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without decorators and docstring."""
    first = function.body[0].end_lineno if ast.get_docstring(function) else function.lineno - 1
    return function.end_lineno - first


def named(paths: list[Path]) -> list:
    """Parameters that bear the files' names."""
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


@pytest.mark.parametrize("path", named(MODULES))
def test_imports_go_down(path: Path):
    """A room imports from its own floor and from those below, never from above."""
    mine = floor_of(name_of(path))
    above = sorted(name for name in ours(path) if floor_of(name) > mine)

    assert [] == above


def test_no_module_imports_itself_in_a_circle():
    """What is imported at the top of files has an order in which it can be read."""
    left = {name_of(path): ours(path, _at_the_top(path)) - {name_of(path)} for path in MODULES}
    while ready := {name for name, needed in left.items() if not needed & left.keys()}:
        left = {name: needed for name, needed in left.items() if name not in ready}

    assert {} == left


def _at_the_top(path: Path) -> list[ast.stmt]:
    """Imports that run when the module is imported; those of TYPE_CHECKING and of functions do not."""
    return [node for node in tree(path).body if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("path", named(MODULES))
def test_the_core_needs_the_standard_library_alone(path: Path):
    """No file imports a package that is not ours or Python's, but for those of an extra, each by name."""
    roots = {name.split(".")[0] for name in imports(path)}

    assert OUTSIDERS.get(name_of(path), set()) == roots - sys.stdlib_module_names - {"tonnage"}


@pytest.mark.parametrize("path", named([path for path in MODULES if is_pure(path)]))
def test_no_io_below_the_rim(path: Path):
    """A pure file touches no file, clock, network, thread, environment or terminal."""
    called = {node.func.id for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    imported = imports(path)

    assert set() == imported & IMPURE_MODULES
    assert set() == {name.split(".")[0] for name in imported} & IMPURE_MODULES
    assert set() == called & IMPURE_CALLS


@pytest.mark.parametrize("path", named(MODULES))
def test_files_are_short(path: Path):
    """A source file has 400 lines at most, a function 40 without its docstring."""
    long = {function.name: body_lines(function) for function in functions(path) if body_lines(function) > MAX_LINES_OF_FUNCTION}

    assert {} == long
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES_OF_FILE


@pytest.mark.parametrize("path", named(MODULES))
def test_public_names_are_told(path: Path):
    """Every module with code, public class, function, method and property has a docstring."""
    module = tree(path)

    assert not module.body or ast.get_docstring(module)
    assert [] == list(_untold(module.body))


def _untold(body: list[ast.stmt]):
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            if isinstance(node, ast.ClassDef):
                yield from _untold(node.body)


@pytest.mark.parametrize("path", named(TESTS))
def test_tests_state_their_rule(path: Path):
    """Every test has a docstring whose first line says the rule."""
    untold = [function.name for function in functions(path) if function.name.startswith("test_") and not ast.get_docstring(function)]

    assert [] == untold


def test_no_file_knows_the_machine_it_was_written_on():
    """No source, test or page holds an absolute path of somebody's machine."""
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path in TEXTS for match in MACHINE_PATH.finditer(path.read_text(encoding="utf-8"))]

    assert [] == found


def test_every_room_is_told():
    """docs/architecture.md names every module and package at the top of the source."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rooms = {name_of(path).split(".")[0] for path in MODULES} - {"__init__", "__main__"}

    assert set() == {room for room in rooms if not re.search(rf"`{room}(\.py|/)?`|^\| `?{room}", page)}


def test_every_file_that_is_told_is_there():
    """docs/architecture.md names no file that the tree does not have."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    there = {path.name for path in FILES}

    assert set() == {name for name in re.findall(r"`(?:[\w.]+/)*(\w+\.(?:py|json|csv))`", page) if name not in there}


def test_every_file_of_the_first_engine_is_told():
    """A newcomer finds each file and package of engines/llamacpp/ in docs/architecture.md, with what it holds."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("### llama.cpp")[2].partition("\n### ")[0]
    files = {path.name + "/" * path.is_dir() for path in (SOURCE / "engines/llamacpp").iterdir() if not path.name.startswith("__")}

    assert set() == {name for name in files if f"`{name}`" not in page}


LINKED = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("path", named(LINKED))
def test_links_between_documents_lead_somewhere(path: Path):
    """A link to a file of the repository names one that is there."""
    links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", path.read_text(encoding="utf-8"))

    assert [] == [link for link in links if not (path.parent / link).exists()]
