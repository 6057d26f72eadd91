"""The contract: schemas, and that what we take and give keeps to them."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given

from model_files import sparse_gguf
from test_question import questions
from tonnage import data
from tonnage.cli import main
from tonnage.errors import TonnageError
from tonnage.keys import KEYS
from tonnage.question import from_dict, to_dict

VECTORS = Path(__file__).parent / "data" / "vectors"
QUESTION = json.loads(data.read("schema/question.json"))
ANSWER = json.loads(data.read("schema/answer.json"))
ASKED = jsonschema.Draft202012Validator(QUESTION)
TOLD = jsonschema.Draft202012Validator(ANSWER)


@pytest.mark.parametrize("schema", [QUESTION, ANSWER], ids=["question", "answer"])
def test_schemas_are_sound(schema):
    """Both are JSON Schema of 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_question_schema_is_not_stale():
    """The packaged schema is what the table of keys says; scripts/make_schema.py writes it."""
    scripts = Path(__file__).parent.parent / "scripts"
    if not scripts.exists():
        pytest.skip("the scripts are not beside the tests")
    done = subprocess.run([sys.executable, "-c", "import make_schema as m; print(m.text(), end='')"], cwd=scripts, capture_output=True, check=True)
    assert data.read("schema/question.json") == done.stdout


@given(questions())
def test_every_question_keeps_to_the_schema(question):
    """What is written as JSON is valid."""
    assert [] == list(ASKED.iter_errors(to_dict(question)))


def test_canonical_vectors_keep_to_the_schema():
    """The vectors' canonical questions are valid."""
    for row in json.loads((VECTORS / "questions.json").read_text(encoding="utf-8")):
        assert [] == list(ASKED.iter_errors(row["canonical"]))


def test_what_the_schema_refuses_is_refused():
    """A wrong value in a canonical key is refused by schema and codec alike."""
    wrong = {"context": "many", "users": 0, "cache_type_k": "q9_0", "mmap": "perhaps", "margin": -1, "price": -1, "device": [3], "rules": "1999"}
    for name, value in wrong.items():
        assert list(ASKED.iter_errors({"model": "a", name: value})), name
        with pytest.raises(TonnageError, match=name):
            from_dict({"model": "a", name: value})


def test_every_key_is_described():
    """The schema holds each key, with a description."""
    assert list(KEYS) == list(QUESTION["properties"])
    assert all(row["description"] for row in QUESTION["properties"].values())


ASKED_OF = [
    [],
    ["-d", "24GB", "--ram", "64GB"],
    ["-d", "RTX 4090", "--ram", "DDR5-6000 x2", "-ncmoe", "99", "--token-price", "0.5"],
    ["-d", "M4 Max 128", "--rent", "0.79/h", "--depth", "8K"],
    ["-d", "2x 8GB", "-c", "native", "-np", "3"],
    ["--backend", "cpu"],
    ["--backend", "metal", "-d", "64GB"],
    ["--profile", "tools", "-ncmoe", "3"],
    ["--speculative", "mtp"],
    ["-c", "wrong"],
    ["-e", "none"],
]


@pytest.mark.parametrize("name", ["llama3.1-8b", "qwen3.5-122b-a10b", "gemma3-27b"])
@pytest.mark.parametrize("words", ASKED_OF, ids=[" ".join(words) or "nothing" for words in ASKED_OF])
def test_answers_keep_to_the_schema(capsys, tmp_path, name, words):
    """Every answer and every error is valid."""
    main(["estimate", sparse_gguf(tmp_path, name), "--json", *words])
    told = json.loads(capsys.readouterr().out)
    assert [] == [error.message for error in TOLD.iter_errors(told)]
    assert ("error" in told) == (words[-1:] in (["wrong"], ["none"]))
