"""`tonnage check-engine`, with imitations of llama-fit-params: what they are called with, and what is made of what they print."""

import json
import os
import sys

import pytest

from model_files import sparse_gguf
from tonnage.cli import main
from tonnage.engines.llamacpp.measured import Row, parse
from tonnage.errors import SourceError

MODEL = "qwen3-30b-a3b"
ENGINE = "Host 17691 3072 348 \n"
"""what llama.cpp's own program printed for this model on the CPU, with -c 32768"""
CUDA = "CUDA0 17524 3072 411 \nHost 166 0 88 \n"


@pytest.fixture(name="imitation")
def fixture_imitation(tmp_path):
    """Make a program that notes its words and the size of its model, then prints and ends as told."""

    def imitation(printed, code=0, complaint=""):
        path = tmp_path / "llama-fit-params"
        path.write_text(
            f"#!{sys.executable}\nimport json, os, sys\nat = os.stat(sys.argv[2])\n"
            f"json.dump([sys.argv[1:], at.st_size, at.st_blocks * 512], open({str(tmp_path / 'called')!r}, 'w'))\n"
            f"sys.stdout.write({printed!r})\nsys.stderr.write({complaint!r})\nsys.exit({code})\n"
        )
        path.chmod(0o755)
        return str(path)

    return imitation


@pytest.fixture(name="model")
def fixture_model(tmp_path):
    """A GGUF file of full size, all hole behind its header."""
    return sparse_gguf(tmp_path, MODEL)


def test_what_the_engine_says_is_what_we_say(capsys, imitation, model):
    """The engine's own figures for this file agree in every column, and the exit code is 0."""
    code = main(["check-engine", model, "-c", "32K", "--program", imitation(ENGINE), "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]

    assert (0, [17691, 3072, 348], [0, 0, 0]) == (code, [row["engine_mib"] for row in rows], [row["difference_mib"] for row in rows])


def test_one_mib_more_is_told(capsys, imitation, model):
    """A column that differs by more than the engine's rounding is named, and the exit code is 1."""
    code = main(["check-engine", model, "-c", "32K", "--program", imitation(ENGINE.replace("348", "347"))])

    assert (1, 1) == (code, capsys.readouterr().out.count("+1"))


def test_the_program_gets_a_copy_without_weights(capsys, imitation, model, tmp_path):
    """As large as the file, with next to nothing on disk, and gone afterwards; every setting in the engine's own words."""
    main(["check-engine", model, "-c", "8K", "--slots", "2", "-ctk", "q8_0", "--ubatch", "256", "--program", imitation(ENGINE)])
    words, size, on_disk = json.loads((tmp_path / "called").read_text())

    assert ["-fitp", "on", "--no-repack", "-c", "8192", "-np", "2", "-ub", "256", "-ctk", "q8_0"] == words[2:]
    assert os.path.getsize(model) == size > 1000 * on_disk
    assert not os.path.exists(words[1])


def test_gpus_are_those_that_the_program_found(capsys, imitation, model):
    """A line for a GPU is answered for one GPU: the experts' weights leave the host."""
    main(["check-engine", model, "-c", "32K", "--program", imitation(CUDA), "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]

    assert ["CUDA0", "Host"] == list(dict.fromkeys(row["device"] for row in rows))
    assert rows[0]["tonnage_bytes"] > 17 * 2**30 > rows[3]["tonnage_bytes"]


REFUSED = [
    ([], 3, "no llama-fit-params on PATH"),
    (["--program", "nowhere"], 3, "no program at nowhere"),
    (["--profile", "server"], 2, "tools' profile alone"),
    (["--slots", "2", "--kv-unified"], 2, "has no -kvu"),
]


@pytest.mark.parametrize(("words", "code", "said"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_what_cannot_be_checked_is_told_in_a_line(capsys, monkeypatch, imitation, model, words, code, said):
    """A program that is not there is no readable source; a setting that it has no flag for is a bad question."""
    monkeypatch.setenv("PATH", "")
    program = ["--program", imitation(ENGINE)] if code == 2 else []
    got = main(["check-engine", model, *words, *program])
    out, err = capsys.readouterr()

    assert (code, "", 1) == (got, out, err.count("\n"))
    assert said in err


BAD = [("", 1, "unknown model architecture", "ended with code 1 and said: unknown model"), ("nothing\n", 0, "", "printed no table of devices")]


@pytest.mark.parametrize(("printed", "code", "complaint", "said"), BAD, ids=["fails", "prints nothing"])
def test_a_program_that_fails_is_told_in_a_line(capsys, imitation, model, printed, code, complaint, said):
    """Its own last words, or that it printed no table."""
    got = main(["check-engine", model, "--program", imitation(printed, code, complaint)])

    assert 3 == got
    assert said in capsys.readouterr().err


def test_only_files_can_be_checked(capsys, imitation):
    """A built-in model has no file that the engine could read."""
    assert 3 == main(["check-engine", "qwen3-0.6b", "--program", imitation(ENGINE)])
    assert "needs a GGUF file" in capsys.readouterr().err


def test_several_gpus_need_their_shares(capsys, imitation, model):
    """The program does not print free memory, which the split of layers depends on; shares that are given will do."""
    program = imitation("CUDA0 1 1 1 \nCUDA1 1 1 1 \nHost 1 1 1 \n")

    assert 2 == main(["check-engine", model, "--program", program])
    assert 1 == main(["check-engine", model, "-ts", "1,1", "--program", program])


def test_lines_of_a_log_are_no_devices() -> None:
    """Only lines of a name and three numbers count, the host the last of them."""
    assert {"CUDA0": Row(2**20, 2**21, 0), "Host": Row(0, 0, 2**20)} == parse("load: 3 tensors\nCUDA0 1 2 0 \nHost 0 0 1 \n")
    with pytest.raises(SourceError, match="no table"):
        parse("CUDA0 1 2 0\n")
