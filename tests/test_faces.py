"""Python, command line and HTTP are one codec: the same question has the same line of JSON in each."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import tonnage
from tonnage.cli import main
from tonnage.document import ASKED
from tonnage.pages.api import VERBS as OVER_HTTP
from tonnage.verbs import VERBS

ASKS = {
    "estimate": (["llama-3.1-8b"], {"quant": "Q4_K_M", "context": "32K", "device": "RTX 4090", "cache_type_k": "q8_0"}),
    "plan": (["qwen3-4b"], {"quant": "Q4_K_M", "context": 8192, "device": "2GB", "ram": "64GB"}),
    "fit": (["llama-3.1-8b"], {"match": "geforce"}),
    "quants": (["llama-3.2-1b"], {"context": 4096}),
    "max-context": (["llama-3.1-8b"], {"quant": "Q4_K_M", "device": "8GB"}),
    "max-users": (["llama-3.1-8b"], {"quant": "Q4_K_M", "context": "8K", "device": "16GB"}),
    "best-quant": (["llama-3.1-8b"], {"context": "8K", "device": "8GB"}),
    "compare": (["llama-3.1-8b"], {"engines": "vllm,mlx", "context": "8K"}),
    "speed": (["llama-3.1-8b"], {"quant": "Q4_K_M", "device": "RTX 4090"}),
    "cost": (["llama-3.1-8b"], {"quant": "Q4_K_M", "device": "RTX 4090", "price": 0.3, "hours": 8}),
    "reads": ([], {"size": "1GB"}),
    "models": (["qwen3.5"], {}),
    "devices": (["4090"], {}),
    "ram": (["DDR5-6000 CL30", "DDR4-3200 CL16"], {"reads": "3GB"}),
    "power": ([], {"watts": 450, "country": ["DE", "US"], "hours": 5}),
    "transfer": (["70GB"], {"over": ["NVMe Gen4", "300Mb/s"]}),
}
WORDS_OVER_HTTP = {"models": "word", "devices": "word", "ram": "kit", "transfer": "size"}


def _printed(verb: str, words: list[str], keys: dict[str, object]) -> str:
    options = [f"--{name.replace('_', '-')}={one}" for name, value in keys.items() for one in _values(value)]
    out = io.StringIO()
    with redirect_stdout(out):
        main([verb, *options, "--json", "--", *words])
    return out.getvalue().strip()


def _values(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def test_every_verb_with_an_answer_is_asked_here():
    """A new verb must be asked below; `detect` speaks of the machine, which changes between two questions."""
    assert set(ASKED) - {"detect"} == ASKS.keys()
    assert {"check-engine", "explain", "cache", "serve", "site", "schema", "completion"} == {verb.name for verb in VERBS} - set(ASKED)
    assert set(ASKS) >= set(OVER_HTTP)


@pytest.mark.parametrize("verb", ASKS)
def test_python_answers_as_the_command_line(verb: str):
    """The same line of JSON, byte for byte."""
    words, keys = ASKS[verb]

    assert _printed(verb, words, keys) == tonnage.ask(verb, *words, **keys).to_json()


@pytest.mark.parametrize("verb", OVER_HTTP)
def test_http_answers_as_python(verb: str):
    """The same line of JSON again, by the keys of a query string."""
    pytest.importorskip("jinja2")
    from urllib.parse import urlencode

    from tonnage.pages import reply

    words, keys = ASKS[verb]
    asked = [*((WORDS_OVER_HTTP.get(verb, "model"), word) for word in words), *((k, one) for k, v in keys.items() for one in _values(v))]

    assert tonnage.ask(verb, *words, **keys).to_json() == reply(f"/api/v1/{verb}", urlencode(asked)).body


def test_an_estimate_tells_the_same_json():
    """`estimate` answers with a value of its own, whose JSON is that of the command line."""
    words, keys = ASKS["estimate"]

    assert _printed("estimate", words, keys) == tonnage.estimate(*words, **keys).to_json()


@pytest.mark.parametrize(("name", "keys"), [("ram", {"reeds": 1}), ("power", {"model": "x"}), ("fit", {"model": "qwen3-4b", "macth": "x"})])
def test_an_unknown_key_is_refused(name: str, keys: dict[str, object]):
    """Also where a verb takes no question."""
    with pytest.raises(tonnage.QuestionError, match="unknown key"):
        tonnage.ask(name, **keys)


@pytest.mark.parametrize("name", ["completion", "explain", "maxcontext"])
def test_a_verb_without_a_document_is_refused(name: str):
    """What prints, serves or is not known; the nearest names are told."""
    with pytest.raises(tonnage.QuestionError, match="no document answers to"):
        tonnage.ask(name)


def test_errors_are_raised_as_they_are():
    """A verb's error reaches the program with its kind."""
    with pytest.raises(tonnage.NoFitError):
        tonnage.max_context("qwen3-32b", quant="Q4_K_M", device="2GB")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["estimate", "nope-x"], "source"), (["fit", "nope-x"], "source"), (["max-context", "qwen3-32b", "-q", "Q4_K_M", "-d", "2GB"], "no fit"),
        (["power"], "question"), (["plan", "qwen3-4b"], "question"), (["ram", "DDR9"], "question"),
    ],
)  # fmt: skip
def test_the_command_line_tells_errors_as_json(words: list[str], kind: str, capsys: pytest.CaptureFixture[str]):
    """One line with the error, of every verb, where JSON was asked for."""
    assert main([*words, "--json"])
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [kind] == [line["error"]["kind"] for line in told]


def test_a_document_is_a_mapping_that_can_be_read():
    """Keys as in JSON, the terminal's table as text, the same in a notebook, a short line in a shell."""
    found = tonnage.best_quant("llama-3.1-8b", context="8K", device="8GB")

    assert json.loads(found.to_json()) == dict(found)
    assert found["found"] in str(found)
    assert found._repr_html_().startswith("<pre>")
    assert repr(found).startswith("<tonnage best-quant: schema, question, found, limit, answer")


def test_an_answer_can_be_read_in_a_shell_and_in_a_notebook():
    """The table as text, a drawing in a notebook, one line where a value is echoed."""
    found = tonnage.estimate("llama-3.1-8b", quant="Q4_K_M", context="8K", device="RTX 4090")

    assert "8,192 tokens a request" in str(found)
    assert found._repr_html_().startswith("<svg")
    assert "&lt;0.01" in found._repr_html_().partition("<pre>")[2]
    assert found.to_markdown().startswith("**meta-llama/")
    assert repr(found).endswith(f"gpu_bytes={found.gpu_bytes}, host_bytes={found.host_bytes}, fits>")


def test_a_document_answers_a_whole_question():
    """A Question in place of a name and keywords."""
    question = tonnage.Question(model="llama-3.1-8b", quant="Q4_K_M", device=("8GB",))

    assert tonnage.max_context("llama-3.1-8b", quant="Q4_K_M", device="8GB").to_json() == tonnage.max_context(question).to_json()


def test_a_path_is_a_model(tmp_path: Path):
    """A `pathlib.Path` is taken as its text."""
    with pytest.raises(tonnage.SourceError, match=r"nowhere\.gguf"):
        tonnage.estimate(tmp_path / "nowhere.gguf")


@pytest.mark.parametrize("engines", ["vllm", ["vllm"], ("VLLM ",)])
def test_engines_are_named_in_any_way(engines: object):
    """One word, a list, any case; what is not known is refused."""
    assert ["vllm"] == [row.engine for row in tonnage.compare("llama-3.1-8b", engines)]
    with pytest.raises(tonnage.QuestionError, match="vllm"):
        tonnage.compare("llama-3.1-8b", "vlm")


PROGRAM = """
from pathlib import Path

import tonnage

answer: tonnage.Estimate = tonnage.estimate("llama-3.1-8b", quant="Q4_K_M", context="32K", device=["24GB", "12GB"])
total: int = answer.total_bytes + sum(part.bytes for device in answer.devices for part in device.parts)
word: str = answer.verdict.word if answer.verdict else ""
line: str = answer.to_json() + tonnage.fit(Path("model.gguf")).to_json() + str(tonnage.ask("speed", "qwen3-32b")["rows"])
rows: list[int | None] = [row.users for row in tonnage.compare("qwen3-32b", engines=["vllm"])]
try:
    tonnage.plan(tonnage.Question(model="qwen3-32b"))
except tonnage.TonnageError as error:
    kind: tuple[str, int, tuple[str, ...]] = (error.kind, error.exit_code, error.nearest)
"""


@pytest.mark.slow
def test_a_program_of_a_user_is_typed(tmp_path: Path):
    """`mypy --strict` finds the types of the package (py.typed) and nothing to complain of."""
    pytest.importorskip("mypy")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", "program.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert "Success: no issues found in 1 source file" == run.stdout.strip()
