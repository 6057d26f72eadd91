"""The command line: words -> standard output, standard error, exit code."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from model_files import sparse_gguf
from tonnage import __version__
from tonnage.cli import main
from tonnage.keys import OPTIONS
from tonnage.verbs import VERBS
from tonnage.verbs.completion import SHELLS, options_of
from tonnage.verbs.estimate import MAX_LINE_BYTES

SMALL = "qwen3-0.6b"


@pytest.fixture(name="run")
def fixture_run(capsys):
    """Run words; gives exit code, standard output, standard error."""

    def run(*words):
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(name="lines")
def fixture_lines(capsys, monkeypatch):
    """Feed bytes to `estimate -`; gives the answers."""

    def lines(data):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert 0 == main(["estimate", "-"])
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return lines


ANSWERED = [
    ([], 0, "usage: tonnage VERB"),
    (["--help"], 0, "usage: tonnage VERB"),
    (["--version"], 0, f"tonnage {__version__}\n"),
    (["help", "estimate"], 0, "--cache-type-k"),
    (["estimate", "--help"], 0, "--cache-type-k"),
    (["estimate", SMALL], 0, "llama-server"),
    (["estimate", SMALL, "-d", "24GB"], 0, "fits:"),
    (["estimate", SMALL, "-d", "1GB"], 1, "too big:"),
    (["estimate", SMALL, "-d", "2x RTX 3090"], 0, "24.00 GiB less 0.44 CUDA's reserve"),
    (["estimate", SMALL, "-d", "1GB", "--os", "windows"], 1, "spills:"),
    (["estimate", SMALL, "-d", "24GB", "--ram", "0.1GB"], 1, "pages:"),
    (["estimate", SMALL, "-d", "m4 max 128", "--os", "macos15"], 0, "32.00 above Metal's limit"),
    (["estimate", SMALL, "-d", "H100"], 0, "the same words may mean"),
    (["explain", SMALL, "runtime"], 0, "median 560 MiB"),
    (["devices", "h100", "nvl"], 0, "H100 NVL 94GB"),
    (["devices", "4090", "--json"], 0, '"usable_bytes":25382879232'),
    (["detect"], 0, "host memory"),
    (["detect", "--json"], 0, '"os":'),
    (["estimate", SMALL, "-d", "1GB", "--json"], 1, '"word":"too big"'),
    (["estimate", f"{SMALL}:Q8_0", "--format", "url"], 0, f"m={SMALL}&q=Q8_0\n"),
    (["estimate", "--model", SMALL, "--format=csv"], 0, "device,kind,part"),
    (["estimate", SMALL, "-f", "md"], 0, "| device |"),
    (["explain", SMALL, "-c", "4K", "kv"], 0, "bytes"),
    (["explain", SMALL, "prompt-cache"], 0, "bytes"),
    (["models"], 0, SMALL),
    (["models", "QWEN3-0"], 0, SMALL),
    (["models", "--names"], 0, f"\n{SMALL}\n"),
    (["quants", SMALL], 0, "Q4_K_M"),
    (["schema", "question"], 0, "urn:tonnage:question:1"),
    (["schema", "answer"], 0, "urn:tonnage:answer:1"),
]


@pytest.mark.parametrize(("words", "code", "text"), ANSWERED, ids=[" ".join(row[0]) or "nothing" for row in ANSWERED])
def test_answers_go_to_standard_output(run, words, code, text):
    """An answer is on standard output, and standard error is silent."""
    got, out, err = run(*words)
    assert (code, "") == (got, err)
    assert text in out


REFUSED = [
    (["estimat", SMALL], 2, "did you mean estimate"),
    (["estimate"], 2, "model is missing"),
    (["estimate", SMALL, "another"], 2, "usage: tonnage estimate"),
    (["estimate", SMALL, "--contxt", "4K"], 2, "--context"),
    (["estimate", SMALL, "-c"], 2, "-c needs a value"),
    (["estimate", SMALL, "-c", "many"], 2, "context='many'"),
    (["estimate", SMALL, "--format", "pdf"], 2, "must be one of"),
    (["estimate", SMALL, "-ctv", "q8_0", "-fa", "off"], 2, "flash attention"),
    (["estimate", SMALL, "-d", "RTX"], 2, "device='RTX'"),
    (["estimate", SMALL, "-d", "4090", "--backend", "metal"], 2, "computes with cuda or vulkan"),
    (["devices", "potato"], 2, "no device answers to 'potato'"),
    (["devices", "--file", "none.toml"], 3, "cannot read none.toml"),
    (["estimate", "-", "-c", "4K"], 2, "JSON lines"),
    (["explain"], 2, "usage: tonnage explain"),
    (["explain", SMALL, "kw"], 2, "did you mean kv"),
    (["schema", "answers"], 2, "did you mean answer"),
    (["completion", "tcsh"], 2, "no completion"),
    (["estimate", "qwen3-0.6c"], 3, f"did you mean {SMALL}"),
    (["estimate", "./none.gguf"], 3, "no such file"),
    (["models", "qwerty"], 3, "no built-in model"),
    (["estimate", SMALL, "-q", "Q4_K_X"], 4, "Q4_K_M"),
    (["estimate", SMALL, "-e", "ollama"], 4, "no rules for engine"),
]


@pytest.mark.parametrize(("words", "code", "text"), REFUSED, ids=[" ".join(row[0]) for row in REFUSED])
def test_refusals_are_one_line_on_standard_error(run, words, code, text):
    """A refusal is one line that says what to try; standard output stays empty."""
    got, out, err = run(*words)
    assert (code, "", 1) == (got, out, err.count("\n"))
    assert err.startswith("tonnage: ")
    assert text in err


@pytest.mark.parametrize(
    ("words", "code", "kind"), [(["-c", "many"], 2, "question"), (["-q", "Q4_K_X"], 4, "unsupported"), (["-ctv", "q8_0", "-fa", "off"], 2, "refused")]
)
def test_a_refusal_as_json(run, words, code, kind):
    """With --json the error is an object on standard output, beside the line on standard error."""
    got, out, err = run("estimate", SMALL, "--json", *words)
    told = json.loads(out)
    assert (code, kind, SMALL) == (got, told["error"]["kind"], told["question"]["model"])
    assert told["error"]["message"] in err


def test_an_explanation_as_json(run):
    """An explanation has its question, its steps and its source."""
    code, out, _ = run("explain", SMALL, "-c", "4K", "kv", "--json")
    told = json.loads(out)
    assert (0, 4096, "kv") == (code, told["question"]["context"], told["part"])
    assert {"title", "formula", "steps", "result", "source"} == set(told["explanation"])


def test_quants_are_told_smallest_first(run):
    """Every recipe that the model can take, by size."""
    rows = json.loads(run("quants", SMALL, "--json")[1])["rows"]
    sizes = [row["tensor_bytes"] for row in rows]
    assert sorted(sizes) == sizes
    assert {"Q4_K_M", "Q8_0", "BF16"} <= {row["quant"] for row in rows}


# --- many questions -------------------------------------------------------------------------------


def test_every_line_has_its_answer(lines, tmp_path):
    """Answers come in the order of the questions, blank lines aside."""
    path = sparse_gguf(tmp_path, "llama3.1-8b")
    asked = [{"model": SMALL}, {"model": path, "context": 8192}, {"model": SMALL, "quant": "Q8_0"}]
    answers = lines(("\n\n".join(json.dumps(question) for question in asked)).encode())
    assert [SMALL, path, SMALL] == [answer["question"]["model"] for answer in answers]
    assert 8192 == answers[1]["question"]["context"]


BAD_LINES = [
    (b"{", "question", None),
    (b"[]", "question", []),
    (b"3", "question", 3),
    (b"\xff\xfe", "question", None),
    (b"[" * 5000, "question", None),
    (b'{"model": NaN}', "question", None),
    (b'{"model": "' + b"a" * MAX_LINE_BYTES + b'"}', "question", None),
    (b'{"modl": "a"}', "question", {"modl": "a"}),
    (b'{"model": "a\\u0000"}', "question", {"model": "a\x00"}),
    (b'{"model": "no-such-model"}', "source", {"model": "no-such-model"}),
    (b'{"model": "%s", "quant": "Q9"}' % SMALL.encode(), "unsupported", {"model": SMALL, "quant": "Q9"}),
    (b'{"model": "%s", "ctv": "q8_0", "fa": "off"}' % SMALL.encode(), "refused", {"model": SMALL, "ctv": "q8_0", "fa": "off"}),
]


@pytest.mark.parametrize(("line", "kind", "question"), BAD_LINES, ids=[repr(row[0][:30]) for row in BAD_LINES])
def test_a_bad_line_stops_nothing(lines, line, kind, question):
    """A line that cannot be answered gets its error, the next its answer."""
    bad, good = lines(line + b'\n{"model": "%s"}\n' % SMALL.encode())
    assert (kind, question) == (bad["error"]["kind"], bad["question"])
    assert "total" in good


def test_a_fault_stops_nothing(lines, monkeypatch):
    """Even a fault of our own is told as an error of its line."""
    monkeypatch.setattr("tonnage.verbs.estimate.estimate", lambda *_: 1 // 0)
    (answer,) = lines(b'{"model": "%s"}' % SMALL.encode())
    assert "fault" == answer["error"]["kind"]


def test_one_line_is_the_single_answer(lines, run):
    """A JSON line is answered as the same question of the command line."""
    (line,) = lines(b'{"model": "%s", "context": "4K", "no_mmap": true}' % SMALL.encode())
    assert json.loads(run("estimate", SMALL, "-c", "4K", "--no-mmap", "--json")[1]) == line


def test_a_fault_is_no_verdict(run, monkeypatch):
    """A fault of our own has an exit code of its own, so that no script takes it for an answer."""
    monkeypatch.setattr("tonnage.verbs.estimate.estimate", lambda *_: 1 // 0)
    code, out, err = run("estimate", SMALL)
    assert (70, "") == (code, out)
    assert "ZeroDivisionError" in err


# --- the program as a process -----------------------------------------------------------------------


def process(*words, **options):
    """Run `python -m tonnage`."""
    return subprocess.run([sys.executable, "-m", "tonnage", *words], capture_output=True, text=True, encoding="utf-8", check=False, **options)


def test_module_and_exit_code():
    """`python -m tonnage` is the program, exit code included."""
    done = process("estimate", SMALL, "-d", "1GB")
    assert (1, "") == (done.returncode, done.stderr)


def test_a_reader_that_leaves_early():
    """A closed pipe ends the program without a word."""
    done = subprocess.run(f"{sys.executable} -m tonnage models | head -1", shell=True, capture_output=True, text=True, check=False)
    assert ("model", "") == (done.stdout.split()[0], done.stderr)


def test_an_ascii_terminal_gets_question_marks():
    """Where a character cannot be shown the answer still comes."""
    done = process("estimate", SMALL, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert 0 == done.returncode
    assert "?" in done.stdout


class Terminal(io.StringIO):
    """An output that says it is a terminal."""

    def isatty(self):
        """Always."""
        return True


@pytest.mark.parametrize(
    ("words", "env", "colour"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"TERM": "dumb"}, False),
        (["--color=never"], {}, False),
        (["--color=always"], {"NO_COLOR": "1"}, True),
    ],
)
def test_colour_on_a_terminal(monkeypatch, words, env, colour):
    """A terminal gets bars, and colour unless it is not wanted."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    main(["estimate", SMALL, "-d", "24GB", *words])
    assert (colour, True) == ("\x1b[" in out.getvalue(), "▓▓" in out.getvalue())


# --- completion -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_parses(shell):
    """The script is sound for its shell, where that is there."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} here")
    done = subprocess.run([program, "-n"], input=SHELLS[shell](), capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_every_verb_and_key(shell):
    """No verb and no long option is missing from a script."""
    script = SHELLS[shell]()
    words = [option.lstrip("-") for option in OPTIONS if option.startswith("--")]
    assert [] == [word for word in (*(verb.name for verb in VERBS), *words) if word not in script]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("tonnage est", "estimate"),
        ("tonnage estimate x --cache-type-k q8", "q8_0"),
        ("tonnage estimate x --cache-type-", "--cache-type-v"),
        ("tonnage schema ", "answer"),
        ("tonnage estimate qwen3-0", SMALL),
    ],
)
def test_bash_completes(line, expected, tmp_path):
    """Words are completed: verbs, options, their values, models."""
    tool = tmp_path / "tonnage"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m tonnage "$@"\n')
    tool.chmod(0o755)
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    script = f"{SHELLS['bash']()}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _tonnage; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert expected in done.stdout.split()


def test_options_of_a_verb_without_a_question():
    """A verb that asks nothing of a model has no keys among its options."""
    models = next(verb for verb in VERBS if verb.name == "models")
    assert "--names" in options_of(models)
    assert "--context" not in options_of(models)


def test_the_command_page_is_not_stale():
    """docs/cli.md is what the tables say; scripts/make_cli_docs.py writes it."""
    root = Path(__file__).parent.parent
    if not (root / "scripts").exists():
        pytest.skip("the scripts are not beside the tests")
    done = subprocess.run(
        [sys.executable, "-c", "import make_cli_docs as m; print(m.text(), end='')"], cwd=root / "scripts", capture_output=True, check=True
    )
    assert (root / "docs/cli.md").read_text(encoding="utf-8") == done.stdout.decode()
