"""Models by Ollama's name: from the store of this machine, else from its registry."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from gguf_writer import real_header
from remote import PATIENT, gguf_file
from tonnage.errors import CorruptError, SourceError, UnsupportedError
from tonnage.model import gguf
from tonnage.question import Question
from tonnage.source import load, open_question

HEAD = real_header("llama3.1-8b")
SIZE = gguf.parse(HEAD).file_bytes_needed


def store(root: Path, name: str = "registry.ollama.ai/library/llama3.1/8b", kind: str = "model") -> str:
    """A store with one model; returns the path of its blob."""
    digest = hashlib.sha256(HEAD).hexdigest()
    manifest = root / "manifests" / name
    manifest.parent.mkdir(parents=True)
    layer = {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": f"sha256:{digest}", "size": SIZE}
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": [layer]}))
    (root / "blobs").mkdir()
    blob = root / "blobs" / f"sha256-{digest}"
    blob.write_bytes(HEAD)
    os.truncate(blob, SIZE)
    return str(blob)


def test_the_local_store_comes_first(served, monkeypatch, tmp_path):
    """A model that Ollama has pulled is read from its blob, and no one is asked."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    blob = store(tmp_path)
    model = load("ollama:llama3.1:8b", PATIENT)
    assert ("llama3.1:8b", blob, SIZE, "file") == (model.name, model.source, model.file_bytes, model.basis)
    assert [] == served.seen


def test_a_model_that_ollama_pulled_from_the_hub(served, monkeypatch, tmp_path):
    """Such a model lies under the hub's name."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    store(tmp_path, "hf.co/org/m-GGUF/Q4_K_M")
    assert SIZE == load("ollama:hf.co/org/m-GGUF:Q4_K_M", PATIENT).file_bytes


@pytest.mark.parametrize("name", ["ollama:llama3.1:8b", "ollama:library/llama3.1:8b", "OLLAMA:llama3.1:8b"])
def test_the_registry_is_asked_else(served, name):
    """Manifest, blob, and the host that the blob lies on: three requests, 25 KB."""
    served.add_ollama("library/llama3.1/8b", gguf_file(), template=b"{{ .Prompt }}")
    model = load(name, PATIENT)
    assert (SIZE, "llama3.1:8b") == (model.file_bytes, model.name)
    assert model.source.startswith("ollama:llama3.1:8b (sha256:")
    assert (3, True) == (len(served.seen), served.sent < 30_000)


def test_the_tag_is_latest(served):
    """A name without a tag; its last word is no quant."""
    served.add_ollama("library/phi/latest", gguf_file())
    opened = open_question(Question(model="ollama:phi"), PATIENT)
    assert ("phi:latest", None) == (opened.model.name, opened.question.quant)


def test_a_model_that_is_nowhere(served, monkeypatch, tmp_path):
    """The nearest local names are told."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    store(tmp_path)
    with pytest.raises(SourceError, match=r"no Ollama model llama3:8b: neither .* did you mean ollama:llama3\.1:8b\?"):
        load("ollama:llama3:8b", PATIENT)


def test_a_model_that_is_no_gguf(served, monkeypatch, tmp_path):
    """What the manifest holds instead is told."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    store(tmp_path, kind="tensor")
    with pytest.raises(UnsupportedError, match="holds no GGUF model but tensor"):
        load("ollama:llama3.1:8b", PATIENT)


@pytest.mark.parametrize("manifest", [b"{}", b"[]", b"<html>", b'{"layers":[{"digest":"sha256:..","size":1,"mediaType":"x"}]}', b"[" * 10**5])
def test_an_unsound_manifest(served, manifest):
    """What is no manifest is refused in one line."""
    served.faults["/manifests/"] = lambda handler: handler.send(200, manifest) or True
    with pytest.raises(CorruptError, match="is no manifest of Ollama"):
        load("ollama:x", PATIENT)


def test_a_blob_that_is_missing(served, monkeypatch, tmp_path):
    """A store whose blob was removed."""
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    os.unlink(store(tmp_path))
    with pytest.raises(SourceError, match=r"cannot read .*sha256-"):
        load("ollama:llama3.1:8b", PATIENT)
