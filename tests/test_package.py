"""The package as others import it."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import tonnage

PACKAGE = Path(tonnage.__file__).parent
OUTSIDERS = """
import sys
before = set(sys.modules)
import tonnage
tonnage.estimate, tonnage.Question
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(roots - set(sys.stdlib_module_names) - {"tonnage"}))
"""


def test_all_lists_what_is_exported():
    """Every name of __all__ can be had, is listed once and in order, and dir() shows the same."""
    assert sorted(set(tonnage.__all__)) == tonnage.__all__
    assert tonnage.__all__ == dir(tonnage)
    assert [] == [name for name in tonnage.__all__ if not hasattr(tonnage, name)]


def test_type_checkers_see_what_is_exported():
    """What __init__.py imports for type checkers are the names of __all__."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imported = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert set(tonnage.__all__) == imported - {"TYPE_CHECKING", "Any", "import_module"}


def test_an_unknown_name_is_refused():
    """The lazy package behaves as any module for names that it lacks."""
    with pytest.raises(AttributeError, match="no attribute 'weigh'"):
        tonnage.weigh  # noqa: B018


def test_importing_needs_the_standard_library_alone():
    """No module from outside the standard library is loaded with the package."""
    run = subprocess.run([sys.executable, "-c", OUTSIDERS], capture_output=True, text=True, check=True)

    assert "" == run.stdout.strip()


def test_no_package_is_required():
    """The package declares no dependency but those of its extras."""
    required = [line for line in metadata.requires("tonnage") or () if "extra ==" not in line]

    assert [] == required


def test_the_version_is_said_once():
    """The installed metadata and the module tell the same version."""
    assert metadata.version("tonnage") == tonnage.__version__


@pytest.mark.parametrize("name", ["py.typed", "data/models.json"])
def test_data_comes_with_the_package(name):
    """Type marker and tables lie beside the modules, in a wheel too."""
    assert (PACKAGE / name).is_file()


def test_the_package_runs_as_a_module():
    """`python -m tonnage` is the program."""
    run = subprocess.run([sys.executable, "-m", "tonnage", "--version"], capture_output=True, text=True, check=True)

    assert f"tonnage {tonnage.__version__}\n" == run.stdout
