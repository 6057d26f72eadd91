"""The speed of engines other than llama.cpp, and of several requests at a time."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonnage.api import estimate
from tonnage.cli import main
from tonnage.engines.mlx.work import work as mlx_work
from tonnage.engines.vllm.work import work as vllm_work
from tonnage.hardware.devices import catalogue, find
from tonnage.hardware.groups import table
from tonnage.question import Question
from tonnage.source import open_question
from tonnage.speed.answer import speed_of
from tonnage.speed.batch import EIGHT_BIT, full_rate
from tonnage.speed.constants import engine_group
from tonnage.speed.sources import source_of
from tonnage.work import HOST, Place, Work

LLAMA, MOE, HYBRID = "llama-3.1-8b-instruct", "qwen3-30b-a3b", "qwen3.6-27b"
CARDS = [device for device in catalogue() if device.kind != "host" and device.bandwidth and source_of(device, "cuda", "", "").tflops]
ENGINES = ["", *table()["engines"]]
SIZES = st.integers(0, 10**11)
ASKED = Question(model="a")


def asked(work, model, **keys):
    """The work of a question by an engine's module."""
    question, opened, _ = open_question(Question(model=model, **keys))
    return work(question, opened)


def several(place, users, replicas=1, share=1.0, engine=""):
    """The work of so many users on one place."""
    return Work((place,), 0, share, (), False, 512, place.stored, True, True, None, engine, users, replicas)


# --- what a token reads ---------------------------------------------------------------------------


def test_a_token_reads_all_but_the_embedding():
    """Llama 3.1 8B in BF16: 8.03 of its 8.03 billion weights less the table of 128,256 rows that is looked up, and the cache."""
    one = asked(vllm_work, LLAMA, engine="vllm", depth=1000)

    assert one.places[0].parameters == 8_030_261_248 - 128_256 * 4096
    assert one.places[0].dense == 2 * one.places[0].parameters
    assert one.places[0].cache == 1000 * 131_072


def test_a_tied_embedding_is_read_as_the_head():
    """Qwen3 4B has no head of its own."""
    one = asked(mlx_work, "qwen3-4b", engine="mlx", quant="mlx-4bit")

    assert one.places[0].dense == one.places[0].stored


def test_ranks_share_what_is_read():
    """Two ranks read about half each, and all together as much as one."""
    one, two = (asked(vllm_work, MOE, engine="vllm", quant="awq", tensor_parallel=ranks, depth=1000) for ranks in (1, 2))

    assert (1, 2) == (one.places[0].ranks, two.places[0].ranks)
    assert one.bytes == pytest.approx(two.bytes, rel=0.02)  # routers and norms lie on both
    assert one.places[0].experts == pytest.approx(2 * two.places[0].experts, rel=0.01)


def test_stages_are_places():
    """A pipeline of two has its layers in two places, and the same bytes in both together."""
    one, two = (asked(vllm_work, LLAMA, engine="vllm", pipeline_parallel=stages, depth=1000) for stages in (1, 2))

    assert [(0, 16), (1, 16)] == [(place.device, place.layers) for place in two.places]
    assert one.bytes == two.bytes


def test_a_token_of_experts_reads_its_share():
    """Of 128 experts a token is sent to 8; the format does not change that."""
    one = asked(vllm_work, MOE, engine="vllm", quant="awq")

    assert one.expert_share == 8 / 128
    assert one.places[0].experts < one.places[0].stored / 12
    assert 3.0e9 < one.places[0].parameters < 3.4e9


def test_windows_end_and_states_do_not_grow():
    """A sliding layer's cache stops growing at its window; a hybrid's states are read whatever the depth."""
    near, far = (asked(vllm_work, "gemma-3-4b-it", engine="vllm", depth=depth, context=65536).places[0].cache for depth in (8192, 16384))
    first, second = (asked(vllm_work, HYBRID, engine="vllm", quant="awq", depth=depth).places[0].state for depth in (0, 8192))

    assert near < far < 2 * near
    assert 0 < first == second


@pytest.mark.parametrize(("kind", "tokens", "guesses"), [("mtp", 1, False), ("ngram", 5, True)])
def test_drafts(kind, tokens, guesses):
    """The model's own head reads itself; text that is looked up reads nothing."""
    draft = asked(vllm_work, HYBRID, engine="vllm", quant="awq", speculative=kind).draft

    assert (tokens, guesses) == (draft.tokens, draft.guesses)
    assert (draft.bytes == 0) == guesses


# --- what cannot be -------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.sampled_from(CARDS), st.sampled_from(ENGINES), SIZES, SIZES, SIZES, SIZES, st.integers(0, 200), st.integers(1, 500), st.sampled_from([1, 2, 4])
)
def test_no_speed_of_any_engine_is_impossible(card, engine, dense, experts, cache, state, layers, users, ranks):
    """One request or many, on one card or on several at a time: what is read never exceeds the bandwidth, and arithmetic its rate."""
    place = Place(0, dense, experts, cache, state, layers, 2 * (dense + experts), dense + 16 * experts, ranks)
    if not place.bytes:
        return
    speed = speed_of(ASKED, several(place, users, share=1 / 16, engine=engine), [card] * ranks, None, "cuda")
    bandwidth = ranks * card.bandwidth * (1 + 1e-9)

    assert 0 < speed.decode.low <= speed.decode.likely <= speed.decode.high
    assert speed.decode.high * speed.work.bytes <= bandwidth
    if users > 1:
        found = speed.together
        assert found.each.low <= found.each.likely <= found.each.high <= speed.decode.high * (1 + 1e-9)
        assert found.bytes / found.step.low <= bandwidth
        assert found.total.high * full_rate(place, source_of(card, "cuda", "", engine)) <= EIGHT_BIT * (1 + 1e-9)


@settings(deadline=None)
@given(st.sampled_from(CARDS), st.integers(1, 10**10), SIZES, st.integers(1, 200))
def test_more_users_are_never_slower_together_than_apart(card, dense, cache, users):
    """A step of more sequences takes longer than one of fewer, and reads no more than each alone would."""
    place = Place(0, dense, 0, cache, 0, 30, dense, dense)
    one, more = (speed_of(ASKED, several(place, n, engine="vllm"), [card], None, "cuda").together for n in (users + 1, users + 2))

    assert one.step.likely <= more.step.likely
    assert more.bytes <= (users + 2) * place.bytes


# --- whole questions ------------------------------------------------------------------------------


def test_an_engine_without_runs_has_no_speed():
    """Transformers says so in a note, and a question for its speed is refused in a line."""
    found = estimate("qwen3-4b", engine="transformers", device="RTX 4090")

    assert found.speed is None
    assert ["No speed: no published runs of Transformers 5.23 are known, and those of other engines say nothing of it."] == [
        note for note in found.notes if "No speed" in note
    ]


WHOLE = [
    ("vllm", "awq", "RTX 4090"), ("sglang", "awq", "2x RTX 3090"), ("mlx", "mlx-4bit", "M4 Max 128"), ("exllamav3", "exl3-4.0bpw", "RTX 3090"),
    ("llama.cpp", "Q4_K_M", "RTX 4090"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "quant", "device"), WHOLE)
def test_every_engine_with_runs_has_speed(engine, quant, device):
    """Low, likely and high for one request, and for four at a time, which are faster together and slower each."""
    found = estimate("qwen3-8b", engine=engine, quant=quant, device=device, users=4, context=4096).speed
    one, four = found["decode_tokens_per_second"], found["together"]["tokens_per_second"]

    assert ("fitted", 4) == (found["basis"], found["together"]["users"])
    assert found["rows"] > 0
    assert one["low"] < one["likely"] < one["high"]
    assert one["likely"] < four["likely"] < 4 * one["likely"]
    assert found["together"]["tokens_per_second_each"]["likely"] == pytest.approx(four["likely"] / 4)


def test_replicas_share_the_users_out():
    """Four users on two replicas are two steps of two at the same time."""
    one = estimate("qwen3-8b", engine="vllm", quant="awq", device="RTX 4090", users=2, context=4096).speed["together"]
    two = estimate("qwen3-8b", engine="vllm", quant="awq", device="2x RTX 4090", data_parallel=2, users=4, context=4096).speed["together"]

    assert one["bytes_read_per_step"] == two["bytes_read_per_step"]
    assert 2 * one["tokens_per_second"]["likely"] == pytest.approx(two["tokens_per_second"]["likely"])


def test_weights_in_ram_have_no_speed_together():
    """How fast a CPU multiplies for several at a time is not known, and a note says so."""
    found = estimate(MOE, device="RTX 4090", ram="64GB DDR5-6000 x2", cpu_moe=True, users=4, context=4096)

    assert found.speed["together"] is None
    assert any(note.startswith("No speed of 4 at a time") for note in found.speed["notes"])


def test_a_cpu_says_why_it_has_no_speed_of_prompts():
    """Nothing is guessed from its name."""
    found = estimate(LLAMA, backend="cpu", ram="DDR5-6000 x2").speed

    assert found["prefill_tokens_per_second"] is None
    assert any(note.startswith("No speed of prompts: how fast a CPU multiplies") for note in found["notes"])


def test_cost_is_that_of_all_users():
    """Four at a time make a token cheaper, and the day the same."""
    one, four = (estimate("qwen3-8b", engine="vllm", quant="awq", device="RTX 4090", users=users, context=4096).cost for users in (1, 4))

    assert four["per_million_output_tokens"]["likely"] < 0.5 * one["per_million_output_tokens"]["likely"]
    assert one["per_day"] == four["per_day"]


COMMANDS = [
    (("speed", LLAMA, "-e", "vllm", "-d", "RTX 4090", "-c", "4K", "-u", "8"), "together"),
    (("speed", HYBRID, "-e", "vllm", "-q", "awq", "-d", "2x RTX 3090", "-c", "8K", "--speculative", "ngram"), "how much of the text"),
    (("speed", LLAMA, "-e", "mlx", "-d", "M4 Max 128"), "few runs of MLX-LM are known"),
    (("speed", HYBRID, "-e", "exllamav3", "-d", "RTX 3090", "-c", "8K"), "ExLlamaV3: fitted to 10 published runs"),
    (("speed", LLAMA, "-q", "Q4_K_M", "-d", "RTX 4090", "-c", "8K", "-np", "4"), "4 at a time"),
    (("cost", LLAMA, "-e", "sglang", "-d", "RTX 4090", "-u", "4", "-c", "2K"), "4 requests at a time"),
    (("reads", MOE, "-e", "vllm", "-q", "awq", "-d", "RTX 4090", "-c", "8K", "-u", "4"), "A step of 4"),
]


@pytest.mark.parametrize(("words", "text"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_commands_answer_for_every_engine(capsys, words, text):
    """In 80 columns, without an error."""
    assert 0 == main(words)
    out = capsys.readouterr().out

    assert text in out.replace("\n  ", " ")
    assert [] == [line for line in out.splitlines() if len(line) > 80]


def test_a_speed_of_an_unknown_engine_is_refused_in_a_line(capsys):
    """Exit code 2, nothing on standard output."""
    assert 2 == main(("speed", LLAMA, "-e", "transformers", "-d", "RTX 4090"))
    told = capsys.readouterr()

    assert ("", 1) == (told.out, told.err.count("\n"))


@pytest.mark.parametrize("engine", table()["engines"])
def test_constants_of_engines_promise_nothing_impossible(engine):
    """None is faster than the full rate, and each names the group that it is drawn to."""
    group = engine_group(engine)

    assert min(group.decode.weights, group.decode.cache, *group.prefill) >= 1
    assert min(group.decode.dense_us, group.decode.moe_us, group.exchange_us, *group.batch) >= 0
    assert group.kin in table()["groups"]
    assert group.band.low <= 0.5 < 1.6 <= group.band.high


def test_the_slowest_rank_decides():
    """Two cards that share every layer wait for the one with the lower bandwidth."""
    place = Place(0, 10**9, 0, 0, 0, 30, 10**9, 10**9, 2)
    cards = [*find("RTX 4090"), *find("RTX 3060 12GB")]
    mixed, slow = (speed_of(ASKED, several(place, 1, engine="vllm"), devices, None, "cuda").decode for devices in (cards, cards[1:] * 2))

    assert mixed == slow
    assert HOST not in {p.device for p in (place,)}
