"""Seconds of one token: shares, bands, and what no memory can do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonnage.errors import QuestionError
from tonnage.hardware.devices import catalogue, find
from tonnage.hardware.groups import group_name, table
from tonnage.hardware.ram import Ram
from tonnage.question import Question
from tonnage.speed import limit, speculation
from tonnage.speed.answer import NotKnownError, speed_of
from tonnage.speed.sources import source_of
from tonnage.speed.token import LAYERS, shares
from tonnage.work import HOST, Draft, Place, Work

CARDS = [device for device in catalogue() if device.kind != "host" and device.bandwidth]
ASKED = Question(model="a")
RAM = Ram(64 * 2**30, None, "DDR5", 6000, 2, 96_000_000_000)


def place(device=0, dense=0, experts=0, cache=0, layers=0):
    """A place that holds what is given."""
    return Place(device, dense, experts, cache, 0, layers, (dense + experts) * 2, dense + 16 * experts)


def work(*places, share=1.0, draft=None):
    """The work of a token on the places."""
    return Work(places, 0, share, (), False, 512, sum(p.stored for p in places), True, True, draft)


SIZES = st.integers(0, 10**11)


@settings(deadline=None)
@given(st.sampled_from(CARDS), st.sampled_from(["cuda", "rocm", "metal", "vulkan"]), SIZES, SIZES, SIZES, st.integers(0, 200), st.booleans())
def test_no_speed_is_impossible(card, backend, dense, experts, cache, layers, moe):
    """Without speculation, tokens per second times the bytes of a token never exceed the bandwidth; not even the high end."""
    one = work(place(0, dense, experts, cache, layers), share=0.1 if moe else 1.0)
    if not one.bytes:
        return
    speed = speed_of(ASKED, one, [card], None, backend)

    assert 0 < speed.decode.low <= speed.decode.likely <= speed.decode.high
    assert speed.decode.high * one.bytes <= card.bandwidth * (1 + 1e-9)


@settings(deadline=None)
@given(SIZES, SIZES, st.integers(1, 10**11), st.floats(0, 1))
def test_no_mixed_speed_is_impossible(dense, experts, in_ram, missing):
    """With experts in RAM, two cards and paging, a token takes no less than all its reads at the full rate of their places."""
    cards = find("2x RTX 3090")
    one = work(place(0, dense, 0, 7), place(1, 0, experts, 9), place(HOST, 0, in_ram), share=0.1)
    speed = speed_of(ASKED, one, cards, RAM, "cuda", missing)
    least = (dense + experts + 16) / 936e9 + in_ram / 96e9 + missing * in_ram / 7e9

    assert 1 / speed.decode.high >= least * (1 - 1e-9)


@settings(deadline=None)
@given(st.sampled_from(CARDS), SIZES, SIZES, SIZES)
def test_more_bytes_are_never_faster(card, dense, cache, more):
    """A token that reads more takes longer."""
    few, many = (speed_of(ASKED, work(place(0, dense + n, 0, cache + n, 30)), [card], None, "vulkan") for n in (1, 1 + more))

    assert many.decode.likely <= few.decode.likely


def test_shares_are_the_whole():
    """The shares of a place add up to its bytes, and each layer costs something beside."""
    one = work(place(0, 10**9, 10**8, 10**7, 40), place(HOST, 0, 10**8), share=0.1)
    sources = {0: source_of(find("RTX 4090")[0], "cuda"), HOST: source_of(find("RTX 4090")[0], "cuda")}
    found = list(shares(one, sources))

    assert one.bytes == sum(share.nbytes for share in found)
    assert ["weights", "experts", "cache", LAYERS, "experts"] == [share.what for share in found]


def test_two_cards_in_layer_split_are_one_after_the_other():
    """Half of the model on each of two cards takes as long as all of it on one."""
    card = find("RTX 3090")[0]
    one = speed_of(ASKED, work(place(0, 2 * 10**10, 0, 2 * 10**9, 80)), [card], None, "cuda")
    two = speed_of(ASKED, work(place(0, 10**10, 0, 10**9, 40), place(1, 10**10, 0, 10**9, 40)), [card, card], None, "cuda")

    assert one.decode.likely == pytest.approx(two.decode.likely)
    assert one.bound_by.replace("RTX", "2x RTX") == two.bound_by


GROUPS = [
    ("RTX 4090", "cuda", "cuda"),
    ("H100 SXM", "cuda", "cuda-hbm-2024"),
    ("DGX Spark", "cuda", "cuda-gb10"),
    ("RX 7900 XTX", "rocm", "rocm"),
    ("RX 7900 XTX", "vulkan", "vulkan"),
    ("Strix Halo", "rocm", "apu-rocm"),
    ("Strix Halo", "vulkan", "apu-vulkan"),
    ("M4 Max 128", "metal", "metal"),
]


@pytest.mark.parametrize(("name", "backend", "group"), GROUPS)
def test_a_device_has_the_constants_of_its_kind(name, backend, group):
    """Backend, memory and chip tell the group."""
    assert group == group_name(find(name)[0], backend)


def test_every_device_has_constants():
    """Each device of the catalogue, with each of its backends, belongs to a group of the table."""
    assert {group_name(device, backend) for device in CARDS for backend in device.backends} <= table()["groups"].keys()


def test_what_is_not_known_is_not_guessed():
    """A card without bandwidth, and RAM without its kit, have no speed."""
    with pytest.raises(NotKnownError, match="bandwidth of 24GB is not known"):
        speed_of(ASKED, work(place(0, 10**9)), find("24GB"), None, "cuda")
    with pytest.raises(NotKnownError, match="say its kit"):
        speed_of(ASKED, work(place(HOST, 10**9)), find("RTX 4090"), Ram(2**36), "cuda")


# --- speculation ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("acceptance", "drafted", "expected"), [(0.0, 3, 1.0), (1.0, 3, 4.0), (0.5, 2, 1.75)])
def test_tokens_of_a_round(acceptance, drafted, expected):
    """A drafted token counts if all before it were accepted."""
    assert expected == speculation.tokens_of(acceptance, drafted)


@pytest.mark.parametrize(("share", "drafted", "expected"), [(1.0, 3, 1.0), (0.5, 1, 1.5), (0.25, 0, 1.0)])
def test_a_round_reads_more_experts(share, drafted, expected):
    """Tokens that are checked together share the experts that they have in common."""
    assert expected == speculation.more_experts(share, drafted)


def test_speculation_follows_the_acceptance():
    """What is accepted makes it faster, what is not slower than none; out of range is refused."""
    one = work(place(0, 10**10, layers=60), draft=Draft(3, 10**9, 1, 0))
    cards = find("RTX 3090")
    plain = speed_of(ASKED, one._replace(draft=None), cards, None, "cuda").decode.likely
    never, always = (speed_of(Question(model="a", acceptance=a), one, cards, None, "cuda").decode.likely for a in (0.0, 1.0))

    assert never < plain < always
    with pytest.raises(QuestionError, match=r"acceptance=1\.1"):
        speed_of(Question(model="a", acceptance=1.1), one, cards, None, "cuda")


# --- power limit ----------------------------------------------------------------------------------


def test_a_power_limit_slows_prompts_first():
    """At two thirds of its power the measured card generates at full speed, and reads prompts at 0.92."""
    assert (1.0, 0.915) == tuple(round(x, 3) for x in limit.slowed(400, 600))
    assert (1.0, 1.0) == limit.slowed(700, 600)
    assert 0.68 == round(limit.slowed(200, 600).decode, 2)


@settings(deadline=None)
@given(st.floats(1, 1000), st.floats(1, 1000))
def test_less_power_is_never_faster(a, b):
    """Speeds grow with the limit."""
    low, high = sorted((a, b))

    assert limit.slowed(low, 600).decode <= limit.slowed(high, 600).decode + 1e-3
    assert limit.slowed(low, 600).prefill <= limit.slowed(high, 600).prefill + 1e-9
