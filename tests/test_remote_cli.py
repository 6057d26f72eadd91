"""The command line and models that lie elsewhere: lists of quants, the cache, progress, and the launch command."""

import io
import json
import time

import pytest

from hub import COMMIT, Hub
from remote import gguf_file, long_gguf, split_gguf, vocabulary_gguf
from tonnage import cli
from tonnage.remote.progress import Progress


@pytest.fixture
def repo(served: Hub) -> Hub:
    """A repo of two quants."""
    parts = {f"Q8_0/{path.replace('Q4_K_M', 'Q8_0')}": content for path, content in split_gguf().items()}
    served.add("org/m-GGUF", {"m-Q4_K_M.gguf": gguf_file(), **parts})
    return served


def test_the_quants_of_a_repo(repo, capsys):
    """Each with its exact size, by its own header, and a verdict for the device."""
    assert 0 == cli.main(["estimate", "org/m-GGUF", "--list", "--json", "-d", "24GB"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    found = [(r["quant"], r["files"], r["file_bytes"], r["verdict"]) for r in rows]

    assert [("Q4_K_M", 1, 4912915936, "fits"), ("Q8_0", 3, 4912916256, "fits")] == found
    assert all(row["total_bytes"] > row["file_bytes"] for row in rows)


def test_quants_of_one_vocabulary_are_read_through_once(served, capsys):
    """What the first file teaches lets the others be jumped over, though no table knows the vocabulary."""
    one = vocabulary_gguf("llama-3.1-8b-instruct", "new", 40_000, 1_800_000)
    served.add("org/new-GGUF", {f"m-{quant}.gguf": one for quant in ("Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0")})
    assert 0 == cli.main(["estimate", "org/new-GGUF", "--list", "--json"])
    (total,) = {row["total_bytes"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert total > one.size
    assert served.sent < 2 * len(one.head)


@pytest.mark.parametrize("form", ["table", "csv", "md"])
def test_the_quants_in_every_form(repo, capsys, form):
    """A list can be read by people and programs."""
    assert 0 == cli.main(["estimate", "org/m-GGUF", "--list", "--format", form])
    assert "4,912,915,936" in capsys.readouterr().out or form == "csv"


def test_a_broken_file_does_not_end_the_list(repo, capsys):
    """Its row says what is wrong with it."""
    repo.repos["org/m-GGUF"].files["m-Q2_K.gguf"] = b"<html>" * 1000
    assert 0 == cli.main(["estimate", "org/m-GGUF", "--list", "--json"])
    rows = {row["quant"]: row["verdict"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert "not a GGUF file" in rows["Q2_K"]
    assert rows["Q4_K_M"] is None


@pytest.mark.parametrize(("model", "code"), [("qwen3-0.6b", 2), ("org/none", 3)])
def test_a_list_needs_a_repo(repo, capsys, model, code):
    """What is no repo of GGUF files has no list."""
    assert code == cli.main(["estimate", model, "--list"])
    assert "tonnage: " in capsys.readouterr().err


def test_several_quants_and_none_named(repo, capsys):
    """Exit code 3, and the quants on one line of standard error."""
    assert 3 == cli.main(["estimate", "org/m-GGUF"])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert "Q4_K_M, Q8_0" in err


def test_a_command_that_loads_the_same_file(repo, served, capsys):
    """llama.cpp takes a repo with its quant, or an address."""
    served.plain["x.gguf"] = gguf_file()
    assert "llama-server -hf org/m-GGUF:Q4_K_M " in _command(capsys, "org/m-GGUF:Q4_K_M")
    assert f"llama-server -mu {served.web}/plain/x.gguf " in _command(capsys, f"{served.web}/plain/x.gguf")
    assert "/resolve/" in _command(capsys, "org/m-GGUF/m-Q4_K_M.gguf")


def _command(capsys, model: str) -> str:
    assert 0 == cli.main(["estimate", model, "--json"])
    return json.loads(capsys.readouterr().out)["command"]["llama.cpp"]


def test_the_cache_is_shown_and_cleared(repo, capsys):
    """What was read is listed, without signatures, and removed on demand."""
    cli.main(["estimate", "org/m-GGUF:Q4_K_M"])
    capsys.readouterr()
    assert 0 == cli.main(["cache", "show", "--json"])
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (4912915936, True) == (row["file_bytes"], row["file"].endswith("/m-Q4_K_M.gguf"))
    assert 0 == cli.main(["cache", "clear"])
    assert capsys.readouterr().out.startswith("removed 1 header, ")
    assert 0 == cli.main(["cache", "show", "--json"])
    assert [] == json.loads(capsys.readouterr().out)["rows"]
    assert 0 == cli.main(["cache", "show"])
    assert "\n0 headers, 0 bytes, in /" in capsys.readouterr().out


def test_an_answer_tells_which_version_was_read(repo, capsys):
    """The address with its commit, in every form that people read."""
    cli.main(["estimate", "org/m-GGUF:Q4_K_M"])
    assert f"{repo.url}/org/m-GGUF/blob/{COMMIT}/m-Q4_K_M.gguf\n" in capsys.readouterr().out


def test_a_slip_in_the_action(served, capsys):
    """The nearest action is told."""
    assert 2 == cli.main(["cache", "clean"])
    assert "did you mean clear?" in capsys.readouterr().err


# --- progress ---


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_progress_on_a_terminal():
    """What takes longer than a moment is told, and the line is removed at the end."""
    out = Terminal()
    with Progress("org/m", out) as progress:
        progress.total, progress.done = 40, 7
        time.sleep(0.45)
    assert "reading org/m, 7 of 40 headers" in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize(("out", "seconds"), [(io.StringIO(), 0.4), (Terminal(), 0.0)], ids=["no terminal", "fast"])
def test_no_progress_where_no_one_waits(out, seconds):
    """Nothing is written where no one looks, or where nothing takes long."""
    with Progress("org/m", out):
        time.sleep(seconds)
    assert "" == out.getvalue()


def test_progress_writes_no_control_characters():
    """A name cannot command the terminal."""
    out = Terminal()
    with Progress("org/\x1b[2Jm", out):
        time.sleep(0.35)
    assert "\x1b[2J" not in out.getvalue()


def test_lines_go_on_after_a_fault(repo, capsys, monkeypatch):
    """Of many questions one that cannot be read stops nothing."""
    repo.add("org/long", {"m-Q8_0.gguf": long_gguf()})
    lines = "".join(json.dumps({"model": model}) + "\n" for model in ("org/none", "org/long:Q8_0", "org/m-GGUF"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert 0 == cli.main(["estimate", "-"])
    kinds = [json.loads(line).get("error", {}).get("kind") for line in capsys.readouterr().out.splitlines()]
    assert ["source", None, "source"] == kinds
