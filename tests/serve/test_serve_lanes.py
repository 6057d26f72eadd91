"""Questions whose answer is a search: they have a line of their own, and hold up no one else."""

import asyncio
import time

import pytest

pytest.importorskip("fastapi")

from serving import QUIET, Asker, asking
from tonnage.pages import HERE
from tonnage.serve import answers
from tonnage.serve.lanes import is_long

TOO_SMALL = "m=qwen3-32b&q=Q4_K_M&d=8GB"
ASKED = "/fragment?m=qwen3-0.6b&q=Q4_K_M&c=8192"
SECONDS = 1.0
"""that a search takes at least"""


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/fragment", TOO_SMALL, True),
        ("/", TOO_SMALL, True),
        ("/api/v1/estimate", TOO_SMALL, True),
        ("/compare", "a=m%3Dqwen3-32b%26d%3D8GB", True),
        ("/api/v1/plan", "m=qwen3-0.6b&d=8GB", True),
        ("/fragment", f"{TOO_SMALL}&n_cpu_moe=2", False),
        ("/fragment", "m=qwen3-0.6b&q=Q4_K_M&d=8GB", False),
        ("/fragment", "m=qwen3-32b&q=Q4_K_M", False),
        ("/fragment", "m=nothing&d=8GB", False),
        ("/compare", "", False),
        ("/m/qwen3-32b/Q4_K_M/", TOO_SMALL, False),
    ],
)
def test_what_is_a_search(path: str, query: str, expected: bool) -> None:
    """Where a device is too small and the engine may place anew, and verbs that look through many estimates."""
    assert expected is is_long(path, query, HERE)


def _slow_searches(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    real = answers.reply

    def reply(path, query, site):
        if "8GB" in query:
            time.sleep(seconds)
        return real(path, query, site)

    monkeypatch.setattr(answers, "reply", reply)


def test_others_do_not_wait_for_a_search(monkeypatch):
    """However many there are, what is no search is answered before the last of them has ended."""
    _slow_searches(monkeypatch, SECONDS)

    async def both(asker: Asker) -> tuple[float, list[int]]:
        searches = [asyncio.create_task(asker.ask(f"/fragment?{TOO_SMALL}&c={c}K", {}, "GET", "203.0.113.7")) for c in (4, 5, 6)]
        await asyncio.sleep(0.1)
        start = time.monotonic()
        await asker.ask(ASKED, {}, "GET", "203.0.113.7")
        took = time.monotonic() - start
        return took, [(await search).status for search in searches]

    with asking() as asker:
        asker.get(ASKED.replace("8192", "4096"))  # the model is read
        took, statuses = asker.loop.run_until_complete(both(asker))
    assert [200, 200, 200] == statuses
    assert took < 3 * SECONDS


def test_a_line_of_searches_that_is_too_long(monkeypatch):
    """More are refused, and counted by their limit; all others are still answered."""
    _slow_searches(monkeypatch, 0.2)

    async def many(asker: Asker) -> list[int]:
        asked = [f"/fragment?{TOO_SMALL}&c={c}K" for c in (4, 5, 6, 7)] + [ASKED]
        return [got.status for got in await asyncio.gather(*(asker.ask(one, {}, "GET", "203.0.113.7") for one in asked))]

    with asking(QUIET._replace(searches=2)) as asker:
        *searches, other = asker.loop.run_until_complete(many(asker))
        assert ([200, 200, 503, 503], 200) == (sorted(searches), other)
        assert 'tonnage_refused_total{limit="searches"} 2' in asker.get("/metrics").text


def test_a_search_that_takes_too_long_says_how_to_get_its_answer(monkeypatch):
    """By asking again: it is made meanwhile, and kept."""
    _slow_searches(monkeypatch, 0.3)
    with asking(QUIET._replace(seconds=0.2)) as asker:
        got = asker.get(f"/fragment?{TOO_SMALL}")
        assert (503, True) == (got.status, "ask for it again" in got.text)
        until = time.monotonic() + 30
        while asker.get(f"/fragment?{TOO_SMALL}").status != 200:
            assert time.monotonic() < until
