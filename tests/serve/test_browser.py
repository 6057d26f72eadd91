"""The pages in a browser: `make browser-test` installs what is needed; where it is not, this part is left out and says so."""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("jinja2")

ROOT = Path(__file__).parent.parent.parent
TOOLS = ROOT / "build/browser"
SCRIPT = ROOT / "tests/browser/pages.mjs"
CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this system"),
    pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this system"),
    pytest.mark.skipif(not (TOOLS / "node_modules/playwright-core").is_dir(), reason="no playwright-core: make browser-test"),
]


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Any]]:
    """What the browser found, on a server of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "tonnage", "serve", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        words = ["node", str(SCRIPT), f"http://127.0.0.1:{port}", str(CHROMIUM)]
        run = subprocess.run(words, cwd=TOOLS, capture_output=True, text=True, timeout=400)
        assert 0 == run.returncode, run.stderr
        yield json.loads(run.stdout)
    finally:
        server.terminate()
        server.wait(10)


def _wait(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the server does not listen")


def test_axe_finds_nothing(found: dict[str, Any]) -> None:
    """No violation on any kind of page, in both themes, at 320 and 1280 pixels: contrast among them."""
    assert [] == found["violations"]


def test_nothing_scrolls_sideways(found: dict[str, Any]) -> None:
    """No page is wider than a screen of 320 pixels."""
    assert [] == found["overflow"]


def test_the_browser_has_nothing_to_complain_of(found: dict[str, Any]) -> None:
    """No error in scripts, no breach of the policy, no shift of the layout."""
    assert [] == found["errors"]
    assert 0 == found["shift"]


def test_changes_are_answered_at_once(found: dict[str, Any]) -> None:
    """Slider, recipe, model and device change answer, title and address."""
    assert found["slider"]
    assert "How much memory does gpt-oss-20b need at Q6_K?" == found["changed"] == found["title"]


def test_an_address_is_the_whole_state(found: dict[str, Any]) -> None:
    """Opened again, it shows the same elements."""
    assert found["round_trip"]


def test_the_command_is_copied(found: dict[str, Any]) -> None:
    """The button puts the launch command on the clipboard."""
    assert found["copied"].startswith("llama-server -m gpt-oss-20b-Q6_K.gguf")


def test_pages_work_without_a_script(found: dict[str, Any]) -> None:
    """The first answer is there, and the form answers by GET."""
    assert "GiB" in found["first"]
    assert "How much memory does Llama-3.1-8B-Instruct need at Q8_0?" == found["without_script"]
