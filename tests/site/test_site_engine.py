"""The engine of a static site says what the server says. Needs npm and node; nothing else of the suite does."""

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("jinja2")

from gguf_writer import real_header
from tonnage.errors import CorruptError, SourceError
from tonnage.model import catalogue
from tonnage.pages import fragment, local
from tonnage.site import engine

PLACES = ["", "&d=RTX 4090", "&d=2x RTX 3090&ram=64GB DDR5-6000 x2", "&u=4", "&d=24GB&ram=96GB&n_cpu_moe=8", "&cache_type_k=q8_0"]
RUNNER = Path(__file__).with_name("ask.mjs")


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The engine, compiled here."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("npm or node is not installed: the engine in the browser is not tested")
    try:
        engine.fetched()
    except SourceError as error:
        pytest.skip(f"Pyodide cannot be had here: {error}")
    return engine.make(str(tmp_path_factory.mktemp("engine")))


def questions(count):
    """Random questions over the catalogue, the same in every run."""
    chosen = random.Random(7)
    names = [row["name"] for row in catalogue.index() if row["architecture"]]
    for _ in range(count):
        asked = f"m={chosen.choice(names)}&q={chosen.choice(['Q4_K_M', 'Q8_0', 'IQ4_XS', 'BF16'])}&c={chosen.choice([2048, 8000, 32768, 131072])}"
        yield asked + chosen.choice(PLACES)


@pytest.mark.slow
def test_the_engine_says_what_the_server_says(built):
    """Byte for byte, over forty questions and some that are none; so the core runs in Pyodide with what was kept of its library."""
    from tonnage.pages import reply

    asked = [*questions(40), "m=oops", "", "c=1&c=2", "m=qwen3-0.6b&e=nothing", "m=params=7B"]
    done = subprocess.run(["node", str(RUNNER), built.folder], input=json.dumps(asked), capture_output=True, text=True, timeout=600)
    assert 0 == done.returncode, done.stderr
    for query, told in zip(asked, json.loads(done.stdout), strict=True):
        assert reply("/fragment", query).body == told, query


@pytest.mark.slow
def test_the_engine_is_small(built):
    """What a browser fetches before its first answer, packed as hosts pack: less than half of what Pyodide ships."""
    nbytes = {name: Path(built.folder, name).stat().st_size for name in (*engine.TAKEN, *engine.MADE)}
    assert nbytes["stdlib.zip"] < 2_000_000
    assert nbytes["app.zip"] < 2_500_000


def test_a_site_without_npm_goes_without_an_engine(tmp_path, monkeypatch):
    """The build says why."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TONNAGE_CACHE", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not installed"):
        engine.fetched()


def test_another_package_is_refused(tmp_path, monkeypatch):
    """What was kept must be what was tested."""
    monkeypatch.setenv("TONNAGE_CACHE", str(tmp_path))
    (tmp_path / f"pyodide-{engine.VERSION}.tgz").write_bytes(b"something else")
    with pytest.raises(SourceError, match="not the package that was tested"):
        engine.fetched()


# --- dropped files ----------------------------------------------------------------------------------


def test_a_dropped_file_is_answered_from_its_head():
    """As the file itself would be: it is asked for as many bytes as the header takes."""
    head = real_header("llama3.1-8b")
    size = 4_920_739_232
    need = local.take("mine.gguf", head[:1000], size)
    assert need > 1000
    assert 0 == local.take("mine.gguf", head, size)
    assert "from the file" in local.answer("m=mine.gguf&c=8192") or "file" in local.answer("m=mine.gguf&c=8192")


def test_a_dropped_config_is_answered():
    """Like the built-in model of that config, but for its name."""
    told = json.dumps(catalogue.row("qwen3-0.6b")["config"]).encode()
    assert len(told) == local.take("config.json", told[:100], len(told))
    assert 0 == local.take("config.json", told, len(told))
    import re

    def figures(html):
        return re.findall(r'<td class="n">[^<]*</td>', html)[:6]

    assert figures(fragment("m=qwen3-0.6b&q=Q4_K_M&c=8192")) == figures(local.answer("m=config.json&q=Q4_K_M&c=8192"))


@pytest.mark.parametrize("data", [b"", b"MZ", b"[]", b"{"])
def test_a_dropped_file_that_is_no_model(data):
    """Is refused in words."""
    with pytest.raises((CorruptError, SourceError, Exception), match=r"neither a GGUF|config|JSON|model_type"):
        local.take("x.bin", data, len(data))


def test_where_the_pages_stand():
    """Links of the engine's answers begin as those of the site do."""
    local.stand("/tonnage")
    try:
        assert 'href="/tonnage/' in local.answer("m=qwen3-0.6b&c=8192")
    finally:
        local.stand("")
