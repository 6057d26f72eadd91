"""Tabs of a page: the same question of every engine, and the commands that launch it."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("jinja2")

import tonnage
from tonnage.estimation import ENGINES
from tonnage.pages import HERE, reply
from tonnage.pages.engines import TITLES, asked_of, loads, quants, tabs
from tonnage.question import from_query

LLAMA = "m=qwen3-0.6b&q=Q4_K_M&c=8192&slots=2&cache_type_k=q8_0"


def _links(html: str) -> list[tuple[str, str]]:
    nav = re.search(r'<nav class="tabs" aria-label="Engine">(.*?)</nav>', html)
    assert nav
    return [(unescape(href), words) for href, words in re.findall(r'<a href="([^"]+)"[^>]*>([^<]+)</a>', nav[1])]


def _programs(html: str) -> dict[str, str]:
    found = re.findall(r'<label for="run\d+">([^<]+)</label>\s*<div><pre[^>]*>([^<]*)</pre><button type="button" class="copy js">', html)
    return {unescape(name): unescape(command) for name, command in found}


def test_every_engine_has_a_title() -> None:
    """No engine is added without a tab."""
    assert list(ENGINES) == list(TITLES)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_tab_answers_the_same_question(engine: str) -> None:
    """From any engine's page each tab leads to an answer about the same model and context, and the current one is marked."""
    html = reply("/", LLAMA if engine == "llama.cpp" else f"m=qwen3-0.6b&c=8192&e={engine}").body
    links = _links(html)

    assert list(TITLES.values()) == [words for _, words in links]
    assert [TITLES[engine]] == re.findall(r'aria-current="true">([^<]+)</a>', html)
    for href, words in links:
        path, query = urlsplit(href).path, urlsplit(href).query
        assert ["qwen3-0.6b"] == parse_qs(query)["m"]
        assert ["8K"] == parse_qs(query)["c"]
        assert 200 == reply(path, query).status, words


def test_a_tab_drops_what_its_engine_does_not_know() -> None:
    """Recipes, slots and cache types are llama.cpp's; ranks are the servers'; the device is everyone's."""
    llama = from_query(f"{LLAMA}&d=2x RTX 3090")
    vllm = from_query("m=qwen3-0.6b&e=vllm&q=fp8&tensor_parallel=2&gpu_memory_utilization=0.8&d=2x RTX 3090")

    assert from_query("m=qwen3-0.6b&c=8192&e=vllm&d=2x RTX 3090") == asked_of(llama, "vllm")
    assert from_query("m=qwen3-0.6b&e=sglang&q=fp8&tensor_parallel=2&d=2x RTX 3090") == asked_of(vllm, "sglang")
    assert from_query("m=qwen3-0.6b&d=2x RTX 3090") == asked_of(vllm, "llama.cpp")
    assert vllm == asked_of(vllm, "vllm")


def test_an_engine_that_cannot_answer_says_why_between_the_tabs() -> None:
    """MLX on another maker's card: one line, and the way to every other engine."""
    found = reply("/", "m=qwen3-0.6b&e=mlx&d=RTX 4090")

    assert 400 == found.status
    assert re.search(r'<p class="lead">[^<]*MLX is answered for Apple[^<]*</p>', found.body)
    assert 6 == len(_links(found.body))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_form_offers_what_the_engine_loads(engine: str) -> None:
    """Every quant of the list is one that the engine takes."""
    asked = from_query(f"m=qwen3-0.6b&e={engine}")

    assert quants(asked)
    assert [] == [name for name in quants(asked) if not loads(engine, name)]


def test_a_question_that_is_none_has_no_tabs() -> None:
    """An address that is no question is refused without them."""
    assert "aria-label=\"Engine\"" not in reply("/", "m=x&contxt=3").body
    assert "aria-label=\"Engine\"" not in reply("/nowhere").body
    assert "aria-label=\"Engine\"" not in reply("/", "m=nope&e=vllm").body


@pytest.mark.parametrize(
    ("query", "programs"),
    [
        ("m=qwen3-0.6b&q=Q4_K_M&d=RTX 4090", ["llama-server", "Ollama", "LM Studio"]),
        ("m=qwen3-0.6b&q=Q4_K_M&gpu_layers=3", ["llama-server"]),
        ("m=qwen3-32b&q=Q4_K_M&d=16GB&ram=64GB&c=8K", ["llama-server", "llama-server, as planned", "Ollama", "LM Studio"]),
        ("m=qwen3-0.6b&profile=tools", ["llama-cli", "Ollama", "LM Studio"]),
        ("m=qwen3-0.6b&e=vllm", ["vLLM"]),
        ("m=qwen3-0.6b&e=sglang", ["SGLang"]),
        ("m=qwen3-0.6b&e=transformers", ["Transformers"]),
        ("m=qwen3-0.6b&e=mlx", ["MLX"]),
        ("m=qwen3-0.6b&e=exllamav3", ["ExLlamaV3"]),
    ],
)
def test_every_program_has_its_command(query: str, programs: list[str]) -> None:
    """One tab a program, each with a command and a button to copy it; the first is the answer's own."""
    found = _programs(reply("/", query).body)

    assert programs == list(found)
    assert next(iter(tonnage.estimate(from_query(query)).command.values())) == found[programs[0]]


def test_programs_around_llama_cpp_get_the_layers_that_fit() -> None:
    """Everything where it fits, and fewer layers where it does not."""
    whole = _programs(reply("/", "m=qwen3-32b&q=Q4_K_M&d=48GB&c=8K").body)
    part = _programs(reply("/", "m=qwen3-32b&q=Q4_K_M&d=16GB&ram=64GB&c=8K").body)
    layers = [int(re.search(r"num_gpu (\d+)", found["Ollama"])[1]) for found in (whole, part)]  # type: ignore[index]

    assert 65 == layers[0]
    assert 0 < layers[1] < 65
    assert whole["LM Studio"].endswith("--context-length 8192 --gpu max")


def test_tabs_keep_the_base_of_the_site() -> None:
    """Below a folder, tabs stay there."""
    assert all(tab.href.startswith("/t/?") for tab in tabs(from_query(LLAMA), HERE._replace(base="/t")))
