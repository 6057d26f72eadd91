"""What a user can name, and what is said of what cannot be read."""

import json
import os

import pytest

from gguf_writer import write
from model_files import sparse_gguf
from tonnage.errors import CorruptError, QuestionError, SourceError
from tonnage.model import catalogue, gguf
from tonnage.question import Question
from tonnage.source import FIRST_READ_BYTES, load, open_question


def test_a_gguf_file_is_read_by_its_head(tmp_path):
    """Of a file of 4.9 GB only the head is read; its size and tensors are known."""
    model = load(sparse_gguf(tmp_path, "llama3.1-8b"))
    assert ("llama3.1-8b", "llama", "file", 4912915936) == (model.name, model.architecture, model.basis, model.file_bytes)


def test_a_header_longer_than_the_first_read(tmp_path):
    """A header of several hundred KiB is read to its end."""
    from gguf_writer import Typed, real_header

    plain = gguf.parse(real_header("llama3.1-8b"))
    metadata = {k: v for k, v in plain.metadata.items() if not isinstance(v, gguf.Skipped)}
    long = {**metadata, "tokenizer.ggml.scores": Typed("f32", [0.0] * FIRST_READ_BYTES)}
    path = tmp_path / "long.gguf"
    path.write_bytes(write(long, plain.tensors))
    os.truncate(path, 6 * 10**9)
    assert plain.tensors == load(str(path)).tensors


def test_a_file_is_read_once(tmp_path):
    """The same file gives the same model, until it changes."""
    path = sparse_gguf(tmp_path, "llama3.1-8b")
    first = load(path)
    assert load(path) is first
    os.utime(path, ns=(1, 1))
    assert load(path) is not first


def test_a_config_is_read(tmp_path):
    """A config.json is a model under its folder's name; the folder alone will do."""
    row = catalogue.row("qwen3-0.6b")
    (tmp_path / "config.json").write_text(json.dumps(row["config"]))
    expected = catalogue.model("qwen3-0.6b").tensors
    assert (tmp_path.name, expected) == (load(str(tmp_path / "config.json")).name, load(str(tmp_path)).tensors)


def test_built_in_names():
    """A short name and a hub id are the same model."""
    assert load("qwen3-0.6b").tensors == load("Qwen/Qwen3-0.6B").tensors


def test_a_quant_may_hang_on_the_name():
    """`id:QUANT` is a model and a quant."""
    opened = open_question(Question(model="qwen3-0.6b:q8_0"))
    assert ("qwen3-0.6b", "q8_0") == (opened.question.model, opened.question.quant)


def test_two_quants_contradict_each_other():
    """A quant in the name must be the one that is asked for."""
    with pytest.raises(QuestionError, match="quant is given twice"):
        open_question(Question(model="qwen3-0.6b:Q8_0", quant="Q4_K_M"))


def test_a_file_whose_name_looks_like_a_quant(tmp_path):
    """A path that exists is a path, colon or not."""
    path = tmp_path / "model:Q8_0"
    path.write_bytes(b"GGUF")
    with pytest.raises(SourceError):
        open_question(Question(model=str(path)))


UNREADABLE = [
    ("empty file", b"", CorruptError, "neither a GGUF file nor JSON"),
    ("no JSON", b"hello", CorruptError, "neither a GGUF file nor JSON"),
    ("JSON that is no object", b"[1]", CorruptError, "one JSON object"),
    ("a field that is missing", b'{"model_type": "llama"}', SourceError, "lacks"),
    ("deep JSON", b"[" * 100_000, CorruptError, "neither a GGUF file nor JSON"),
    ("cut GGUF", b"GGUF\x03\x00\x00\x00", CorruptError, "not within the file bounds"),
]


@pytest.mark.parametrize(("data", "error", "message"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_unsound_files_are_named(tmp_path, data, error, message):
    """What cannot be read is refused in one line."""
    path = tmp_path / "model"
    path.write_bytes(data)
    with pytest.raises(error, match=message) as caught:
        load(str(path))
    assert "\n" not in str(caught.value)


def test_a_field_of_the_wrong_kind_is_named(tmp_path):
    """A config with text where a number belongs is refused in one line."""
    config = {**catalogue.row("qwen3-0.6b")["config"], "num_hidden_layers": "many"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CorruptError, match="not of the kind"):
        load(str(tmp_path))


def test_a_missing_file_names_its_neighbour(tmp_path):
    """A path with a slip gets the nearest file of its folder."""
    (tmp_path / "model-q4.gguf").write_bytes(b"")
    with pytest.raises(SourceError, match=r"no such file.*did you mean .*model-q4\.gguf"):
        load(str(tmp_path / "model-q5.gguf"))


def test_an_unknown_name_gets_the_nearest():
    """A name with a slip gets the nearest built-in ones."""
    with pytest.raises(SourceError) as caught:
        load("qwen3.5-122b-a1b")
    assert "qwen3.5-122b-a10b" == caught.value.nearest[0]


def test_an_empty_folder_is_no_model(tmp_path):
    """A folder needs a config.json or a GGUF file."""
    with pytest.raises(SourceError, match="neither a config"):
        load(str(tmp_path))


def test_a_missing_shard_is_named(tmp_path):
    """Of a split model every file must be there."""
    path = tmp_path / "m-00001-of-00002.gguf"
    path.write_bytes(write({"split.no": 0, "split.count": 2}))
    with pytest.raises(SourceError, match=r"m-00002-of-00002\.gguf"):
        load(str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_no_model(tmp_path):
    """What is no regular file is refused instead of waited for."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(SourceError, match="is not a file"):
        load(str(path))
