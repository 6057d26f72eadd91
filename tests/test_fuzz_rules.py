"""What fuzzing has found worth keeping is held against the readers in every run."""

from pathlib import Path
from types import ModuleType

import pytest

from tonnage.model import gguf, gguf_remote

FUZZ = Path(__file__).resolve().parent.parent / "fuzz"
CORPUS = [(kind.name, path) for kind in sorted((FUZZ / "corpus").iterdir()) for path in sorted(kind.iterdir())]
RULES = {"gguf": "gguf_file", "safetensors": "safetensors_file", "gguf_remote": "gguf_far_away"}


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The rules of the fuzzers, with ranges so small that small files have something to jump over."""
    monkeypatch.syspath_prepend(str(FUZZ))
    for name in ("FIRST_BYTES", "MARGIN", "MOST_BEHIND"):
        monkeypatch.setattr(gguf_remote, name, getattr(gguf_remote, name))
    import rules

    rules.small_ranges()
    return rules


@pytest.mark.parametrize(("kind", "path"), CORPUS, ids=[f"{kind}-{path.name}" for kind, path in CORPUS])
def test_the_corpus_keeps_the_rules(rules: ModuleType, kind: str, path: Path) -> None:
    """Every kept input is read or refused with a clear error, and read alike however it travels."""
    getattr(rules, RULES[kind])(path.read_bytes())


def test_the_corpus_holds_files_that_are_jumped_over(rules: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule of remote files is no empty one: some inputs are answered without their vocabulary."""
    jumps = []
    header = gguf_remote._header
    monkeypatch.setattr(gguf_remote, "_header", lambda *parts: jumps.append(1) or header(*parts))
    for kind, path in CORPUS:
        if kind == "gguf_remote":
            rules.gguf_far_away(path.read_bytes())

    assert len(jumps) >= 3


def test_a_rule_finds_a_reader_that_breaks_it(rules: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of another kind is a finding."""

    def broken(*_: object, **__: object) -> gguf.Header:
        raise IndexError

    assert rules.gguf_file(b"no GGUF") is None
    monkeypatch.setattr(gguf, "parse", broken)
    with pytest.raises(IndexError):
        rules.gguf_file(b"no GGUF")
