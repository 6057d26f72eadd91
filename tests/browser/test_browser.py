"""The pages in Chromium. `make browser-test` installs what this needs; where that is missing it says so and is skipped."""

import functools
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("jinja2")

from gguf_writer import real_header
from tonnage.errors import SourceError
from tonnage.model import gguf
from tonnage.pages import HERE
from tonnage.site import build, engine

ROOT = Path(__file__).parents[2]
MODULES = Path(os.environ.get("BROWSER_MODULES", ROOT / "build/browser/node_modules"))
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
SCRIPT = Path(__file__).with_name("browser.mjs")
SECONDS = 900
PAGES = ("/", "/m/qwen3-0.6b/Q4_K_M/")

pytestmark = pytest.mark.slow


def missing():
    """What there is not, in words."""
    if not CHROMIUM:
        return "Chromium is not installed"
    if not shutil.which("node"):
        return "node is not installed"
    return "" if (MODULES / "playwright-core").is_dir() else "playwright-core is not installed: make browser-test"


def _port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def served():
    """A server of our own."""
    port = _port()
    words = [sys.executable, "-m", "tonnage", "serve", "--port", str(port), "--rate", "0", "--offline"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1).read()
            break
        except OSError:
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.wait(30)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}  # noqa: RUF012

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    """A static site of few pages, with the engine; `-` where that cannot be built."""
    folder = tmp_path_factory.mktemp("site")
    try:
        found = engine.make(str(tmp_path_factory.mktemp("engine")))
    except SourceError as error:
        print(f"without the engine: {error}")
        yield "-"
        return
    build._write(str(folder), HERE, True, PAGES)
    found.copy(str(folder / engine.FOLDER))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_the_pages_in_a_browser(served, static, tmp_path):
    """Each check of browser.mjs holds."""
    if missing():
        pytest.skip(missing())
    head = real_header("lfm2-1.2b")
    file = tmp_path / "dropped.gguf"
    file.write_bytes(head)
    env = {**os.environ, "BROWSER_MODULES": str(MODULES.parent), "CHROMIUM": CHROMIUM}
    words = ["node", str(SCRIPT), served, static, str(file), str(gguf.parse(head).file_bytes_needed)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, env=env)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    print(*(line["figures"] for line in lines if "figures" in line))
    checks = [line for line in lines if "name" in line]
    assert 0 == done.returncode, done.stderr[-2000:]
    assert len(checks) > 50
    assert [] == [f"{check['name']}: {'; '.join(check['told'])}" for check in checks if not check["ok"]]
