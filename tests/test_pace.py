"""Speed and cost of whole questions."""

import json

import pytest

from tonnage.answer import Plan, Verdict
from tonnage.api import estimate
from tonnage.calculators.power import per_million_tokens
from tonnage.cli import main
from tonnage.engines.llamacpp.work import work
from tonnage.estimation import engine_of, judged
from tonnage.frozen import replace
from tonnage.pace import pace_of
from tonnage.question import Question
from tonnage.render import Style
from tonnage.source import open_question

LLAMA = "llama-3.1-8b-instruct"
MOE = "qwen3-30b-a3b"


def told(capsys, *words):
    """Exit code, output and errors of a command line."""
    code = main(words)
    out = capsys.readouterr()
    return code, out.out, out.err


def asked(model, **keys):
    """The work of a question."""
    question, opened, _ = open_question(Question(model=model, **keys))
    return work(question, opened)


def test_a_card_with_bandwidth_has_speed_and_cost():
    """Both are low, likely, high, and the speed is one that the card's memory can deliver."""
    found = estimate(LLAMA, device="RTX 4090", quant="Q4_K_M", price=0.30, power_limit=450, host_watts=0, psu=1)
    speed = found.speed["decode_tokens_per_second"]

    assert speed["low"] < speed["likely"] < speed["high"] <= 1008e9 / found.speed["bytes_read_per_token"]
    assert per_million_tokens(450, speed["likely"], 0.30) == pytest.approx(found.cost["per_million_output_tokens"]["likely"])
    assert 450 * 8 / 1000 * 0.30 == pytest.approx(found.cost["per_day"])
    assert "reading weights from RTX 4090" == found.speed["bound_by"]


@pytest.mark.parametrize("keys", [{}, {"device": "24GB"}, {"ram": "64GB"}, {"device": "8GB"}])
def test_where_no_bandwidth_is_known_there_is_no_speed(keys):
    """Nothing is guessed."""
    found = estimate(LLAMA, **keys)

    assert (None, None) == (found.speed, found.cost)


def test_ram_without_a_kit_is_told():
    """A known card whose experts lie in RAM of unknown rate says what is missing."""
    found = estimate(MOE, device="RTX 4090", ram="64GB", cpu_moe=True)

    assert found.speed is None
    assert ["No speed: RAM's rate is not known: say its kit, as in --ram '64GB DDR5-6000 x2'."] == [n for n in found.notes if "No speed" in n]


def test_what_does_not_fit_has_no_speed():
    """A card that is too small generates nothing."""
    found = estimate(LLAMA, device="RTX 3060 12GB", quant="F16", gpu_layers=-2)

    assert ("too big", None) == (found.verdict.word, found.speed)


def test_depth_slows():
    """Keys and values of the tokens before are read for each new one."""
    shallow, deep = (estimate(LLAMA, device="RTX 4090", depth=depth).speed for depth in (0, 32768))

    assert 32768 * 131072 == deep["bytes_read_per_token"] - shallow["bytes_read_per_token"]
    assert deep["decode_tokens_per_second"]["likely"] < shallow["decode_tokens_per_second"]["likely"]
    assert deep["time_to_first_token_seconds"]["likely"] > shallow["time_to_first_token_seconds"]["likely"]


def test_the_speed_of_a_plan_is_told():
    """Where the question itself does not fit, the speed is that of its plan's placement."""
    question, model, _ = open_question(Question(model=MOE, quant="Q4_K_M", device=("RTX 4090",), ram="DDR5-6000 x2"))
    planned = replace(judged(question, model), plan=Plan((), (), {"n_cpu_moe": 20}), verdict=Verdict("offload", ""))
    as_asked = replace(question, n_cpu_moe=20)
    told_alone = pace_of(as_asked, model, judged(as_asked, model), engine_of(question)).speed

    assert told_alone == pace_of(question, model, planned, engine_of(question)).speed
    assert "reading experts from RAM" == told_alone.bound_by


def test_what_windows_pages_out_has_no_speed():
    """Nobody measured how slow shared memory is."""
    found = estimate(LLAMA, device="RTX 3060 12GB", quant="F16", gpu_layers=-2, os="windows")

    assert ("spills", None) == (found.verdict.word, found.speed)


def test_ram_that_is_short_pages():
    """Mapped weights that RAM cannot hold are read from the disk."""
    keys = {"device": "RTX 4090", "cpu_moe": True, "quant": "Q8_0"}
    enough, short = (estimate(MOE, ram=f"{size}GB DDR5-6000 x2", **keys) for size in (64, 16))

    assert ("fits", "pages") == (enough.verdict.word, short.verdict.word)
    assert short.speed["decode_tokens_per_second"]["likely"] < enough.speed["decode_tokens_per_second"]["likely"] / 2
    assert "reading missing weights from disk" == short.speed["bound_by"]


def test_work_is_what_the_engine_reads():
    """Every place's bytes, blocks and parameters: experts in RAM are the share that a token is sent to."""
    whole, split = asked(MOE, quant="Q4_K_M"), asked(MOE, quant="Q4_K_M", cpu_moe=True)

    assert [place.device for place in whole.places] == [0]
    assert [-1, 0] == [place.device for place in split.places]
    assert whole.bytes == split.bytes
    assert whole.expert_share == 8 / 128
    assert 48 == sum(place.layers for place in split.places)
    assert split.places[0].stored * 8 // 128 == pytest.approx(split.places[0].experts, rel=1e-6)
    assert 3.0e9 < sum(place.parameters for place in split.places) < 3.4e9


def test_attention_of_a_window_ends():
    """Layers that see a window multiply no more than its tokens, the others all."""
    kinds = {kind.window: kind for kind in asked("gemma-3-27b-it").attention}

    assert {0, 1024} == set(kinds)
    assert kinds[1024].products(10**6) == kinds[1024].products(1024)
    assert kinds[0].products(2000) == 2 * kinds[0].products(1000)


def test_the_models_own_head_drafts():
    """With a block of prediction, its tensors and the output are read for each drafted token."""
    draft = asked("qwen3.6-27b", quant="Q4_K_M", speculative="mtp").draft

    assert 3 == draft.tokens
    assert 10**9 < draft.bytes < 2 * 10**9
    assert asked("qwen3.6-27b", quant="Q4_K_M").draft is None


def test_a_smaller_model_drafts():
    """All its weights are read for each drafted token; with an acceptance it makes a large model faster, and never without."""
    keys = {"device": "2x RTX 3090", "quant": "Q4_K_M", "context": 4096}
    plain = estimate("qwen3-32b", **keys)
    drafted, never = (estimate("qwen3-32b", draft="qwen3-0.6b", acceptance=share, **keys) for share in (0.8, 0))
    plain_speed, with_draft, without = (found.speed["decode_tokens_per_second"]["likely"] for found in (plain, drafted, never))

    assert without < plain_speed < with_draft
    assert "-md Qwen3-0.6B-Q4_K_M.gguf --spec-type draft-simple" in drafted.command["llama.cpp"]
    assert any("drafts: all its layers on GPUs" in note for note in drafted.notes)


COMMANDS = [
    (("speed", LLAMA, "-d", "RTX 4090"), "tokens/s"),
    (("speed", LLAMA, "-d", "RTX 4090", "--depth", "8K"), "8,192"),
    (("speed", LLAMA, "--backend", "cpu", "--ram", "DDR5-6000 x2"), "RAM: nine of ten measured runs lie"),
    (("speed", MOE, "-d", "2x RTX 3090", "--ram", "DDR5-6000 x2", "--cpu-moe"), "experts on eight machines"),
    (("speed", MOE, "-d", "RTX 4090", "-q", "Q8_0", "--ram", "16GB DDR5-6000 x2", "--cpu-moe"), "an order of magnitude"),
    (("cost", LLAMA, "-d", "RTX 4090", "--price", "0.30/kWh", "--hours", "8"), "a million tokens generated"),
    (("cost", LLAMA, "-d", "RTX 4090", "--country", "Germany", "--token-price", "0.05"), "the machine is dearer"),
    (("cost", LLAMA, "-d", "24GB,bandwidth=936", "--rent", "0.79/h"), "rent as given"),
    (("cost", LLAMA, "-d", "2x RTX 3090", "--power-limit", "250W"), "Power limit"),
    (("reads", LLAMA, "-d", "RTX 4090", "--depth", "8K"), "bound by reading weights from RTX 4090"),
    (("reads", "--size", "1GB"), "HDD"),
]


@pytest.mark.parametrize(("words", "text"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_speed_cost_and_reads_answer(capsys, words, text):
    """Each prints a table of 80 columns at most, and rows as JSON under the question."""
    words = [word.replace("24GB,", "memory=24GB,") for word in words]
    code, out, err = told(capsys, *words)

    assert (0, "") == (code, err)
    assert text in out.replace("\n  ", " ")
    assert [] == [line for line in out.splitlines() if len(line) > 80]
    answer = json.loads(told(capsys, *words, "--json")[1])
    assert {"schema", "question", "rows"} <= answer.keys()
    assert answer["rows"]


REFUSED = [
    (("speed", LLAMA), "no device is named"),
    (("speed", LLAMA, "-d", "24GB"), "the bandwidth of 24GB is not known"),
    (("speed", LLAMA, "-q", "F16", "-d", "RTX 3060 12GB", "-ngl", "all"), "it does not run"),
    (("speed", LLAMA, "-d", "RTX 4090", "--disk", "tape"), "link='tape'"),
    (("speed", LLAMA, "-d", "RTX 4090", "-c", "8K", "--depth", "16K"), "a request holds 8,192 tokens"),
    (("speed", LLAMA, "-d", "RTX 4090", "--ram", "64GB DDR5-3000 x2"), "3000 is the clock in MHz"),
    (("cost", LLAMA, "-d", "RTX 4090", "--country", "Atlantis"), "country='Atlantis'"),
    (("cost", LLAMA, "-d", "RTX 4090", "--hours", "25"), "a day has 24"),
    (("cost", LLAMA, "--backend", "cpu", "--ram", "DDR5-6000 x2"), "the power of the machine is not known"),
    (("cost", LLAMA, "-d", "RTX 4090", "--power-limit", "0"), "power_limit=0"),
    (("reads", "-c", "8K"), "usage: tonnage reads"),
]


@pytest.mark.parametrize(("words", "text"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_bad_questions_are_refused_in_a_line(capsys, words, text):
    """Exit code 2, one line on standard error."""
    code, out, err = told(capsys, *words)

    assert (2, "") == (code, out)
    assert text in err
    assert 1 == err.count("\n")


def test_bars_keep_to_the_terminal(monkeypatch, capsys):
    """On a terminal each share of time is drawn, within its 80 columns."""
    monkeypatch.setattr("tonnage.verbs.terminal.style_of", lambda call: Style(False, True, 80))
    monkeypatch.setattr("tonnage.verbs.reads.style_of", lambda call: Style(False, True, 80))
    _, out, _ = told(capsys, "reads", MOE, "-d", "2x RTX PRO 6000 Blackwell Workstation", "--ram", "16GB DDR5-6000 x2", "--cpu-moe", "-q", "Q8_0")

    assert "█" in out
    assert [] == [line for line in out.splitlines() if len(line) > 80]


def test_the_table_has_a_line_of_each(capsys):
    """The estimate tells speed and cost, low to high, with what bounds them."""
    _, out, _ = told(capsys, "estimate", LLAMA, "-d", "RTX 4090")
    lines = out.splitlines()

    assert 1 == sum(line.startswith("speed: ") and " tokens/s" in line for line in lines)
    assert 1 == sum(line.startswith("cost: ") and "per million tokens" in line for line in lines)
