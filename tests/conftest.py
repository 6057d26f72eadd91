"""Fixtures that several files share."""

from collections.abc import Iterator

import pytest

from hub import Hub, serving
from tonnage.remote import opening

_NOT_HERE = (
    "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN_PATH", "OLLAMA_MODELS",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HUGGINGFACE_HUB_CACHE", "TONNAGE_CACHE",
)  # fmt: skip


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """An imitation that the environment names as hub and as Ollama's registry; caches are empty folders."""
    home = tmp_path_factory.mktemp("home")
    for name in _NOT_HERE:
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(opening, "_cache", {})
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("TONNAGE_OLLAMA_REGISTRY", hub.url)
        yield hub


SAMPLE = 8
"""rows of a long table that `make test-fast` runs; `make test` runs all"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What asks the internet runs only where `-m network` says so; of every long table a sample, evenly spread, is fast."""
    tables: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("network") and "network" not in str(config.getoption("-m")):
            item.add_marker(pytest.mark.skip(reason="asks the internet: -m network"))
        if hasattr(item, "callspec") and not item.get_closest_marker("slow"):
            tables.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for rows in tables.values():
        kept = {i * len(rows) // SAMPLE for i in range(SAMPLE)} if len(rows) > SAMPLE else set(range(len(rows)))
        for i, item in enumerate(rows):
            if i not in kept:
                item.add_marker(pytest.mark.slow)
