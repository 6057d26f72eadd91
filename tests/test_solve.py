"""Questions turned round: the most that fits is found, and the next step does not fit."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_cases
from tonnage.errors import NoFitError, QuestionError, UnsupportedError
from tonnage.estimation import judged
from tonnage.model import catalogue
from tonnage.question import from_argv, from_dict, to_dict
from tonnage.solve import best_quant, in_ram, largest, max_context, max_users

CASES = [
    ("llama3.1-8b", {"device": ["8GB"]}),
    ("llama3.1-8b", {"device": ["24GB"], "cache_type_k": "q8_0", "cache_type_v": "q8_0"}),
    ("gemma3-27b", {"device": ["2x 12GB"]}),
    ("qwen3-30b-a3b", {"device": ["24GB", "8GB"], "users": 3}),
    ("gpt-oss-20b", {"device": ["16GB"], "margin": 0}),
    ("deepseek-v3", {"device": ["24GB"], "cpu_moe": True}),
    ("qwen3.5-122b-a10b", {"device": ["cuda:79000MiB-free"], "slots": 1}),
]


def word(model: str, **given: Any) -> str:
    """The verdict of a question."""
    verdict = judged(from_dict({"model": model, **given}), llama_cases.model(model)).verdict
    assert verdict is not None
    return verdict.word


@pytest.mark.parametrize(("model", "given"), CASES, ids=str)
def test_the_largest_context_fits_and_the_next_does_not(model: str, given: dict[str, Any]) -> None:
    """A multiple of 256 tokens that keeps the margin; 256 more do not, or the model knows no more."""
    known = llama_cases.model(model)
    found = max_context(from_dict({"model": model, **given}), known)
    assert isinstance(found.value, int)
    given = {**given, "tensor_split": found.answer.question.get("tensor_split")}

    assert (0, "fits") == (found.value % 256, word(model, **given, context=found.value))
    assert found.value == known.context or word(model, **given, context=found.value + 256) != "fits"


@pytest.mark.parametrize(("model", "given"), [case for case in CASES if "users" not in case[1] and "slots" not in case[1]], ids=str)
def test_the_most_users_fit_and_one_more_does_not(model: str, given: dict[str, Any]) -> None:
    """Every one of them with its own context."""
    asked = {**given, "context": 8192}
    found = max_users(from_dict({"model": model, **asked}), llama_cases.model(model))
    assert isinstance(found.value, int)
    asked["tensor_split"] = found.answer.question.get("tensor_split")

    assert "fits" == word(model, **asked, users=found.value)
    assert found.value == 256 or word(model, **asked, users=found.value + 1) != "fits"


@pytest.mark.parametrize("device", ["8GB", "12GB", "24GB", "48GB"])
def test_the_best_quant_fits_and_the_next_does_not(device: str) -> None:
    """Of the recipes that fit none has more bits."""
    model = catalogue.model("qwen3-14b")
    asked = {"model": "qwen3-14b", "context": 16_384, "device": [device]}
    found = best_quant(from_dict(asked), model)
    others = [judged(from_dict({**asked, "quant": quant}), model) for quant in ("Q8_0", "Q6_K", "Q4_K_M", "Q2_K")]
    larger = [a for a in others if a.weights.tensor_bytes > found.answer.weights.tensor_bytes]

    assert found.answer.verdict is not None
    assert "fits" == found.answer.verdict.word
    assert [] == [a.weights.recipe for a in larger if a.verdict and a.verdict.word == "fits"]


@pytest.mark.parametrize(("name", "devices"), [("qwen3-8b", ["4GB", "12GB"]), ("qwen3-14b", ["RTX 3060 12GB", "6GB"])], ids=str)
def test_no_other_split_holds_a_longer_context(name: str, devices: list[str]) -> None:
    """Where layers are shared out by hand, none of all ways to do it has room for 256 tokens more; the engine's own has less."""
    model = catalogue.model(name)
    asked = {"model": name, "quant": "Q4_K_M", "device": devices}
    found = max_context(from_dict(asked), model)
    assert isinstance(found.value, int)
    assert isinstance(found.by_itself, int)

    assert found.by_itself < found.value
    splits = [(n, len(model.layers) + 1 - n) for n in range(len(model.layers) + 2)] if found.value < model.context else []
    words = {judged(from_dict({**asked, "context": found.value + 256, "tensor_split": split}), model).verdict for split in splits}
    assert not {verdict.word for verdict in words if verdict} & {"fits"}


def test_the_best_quant_may_need_layers_shared_out_by_hand() -> None:
    """By free memory alone a small card gets more layers than it holds."""
    model = catalogue.model("qwen3-32b")
    found = best_quant(from_dict({"model": "qwen3-32b", "context": 32_768, "device": ["RTX 3090", "8GB"]}), model)
    assert found.answer.verdict is not None

    assert ("Q4_K_M", "Q3_K_M", "fits") == (found.value, found.by_itself, found.answer.verdict.word)
    assert found.split.startswith("-ts ")


def test_what_does_not_fit_says_what_would() -> None:
    """Experts or layers in RAM, with how much of it; nothing of the kind where there is no RAM for it."""
    model = catalogue.model("qwen3.5-122b-a10b")
    asked = {"model": "qwen3.5-122b-a10b", "quant": "Q4_K_M", "device": ["RTX 5090"]}

    with pytest.raises(NoFitError, match=r"with -ncmoe \d+ \(\d+ GiB of RAM\) 262,144 tokens fit"):
        max_context(from_dict(asked), model)
    with pytest.raises(NoFitError, match=r"margin of 1.00 GiB$"):
        max_context(from_dict({**asked, "ram": "32GB"}), model)
    with pytest.raises(NoFitError, match=r"-ncmoe \d+ .* one fits"):
        max_users(from_dict({**asked, "context": 32_768}), model)
    with pytest.raises(NoFitError, match=r"experts of \d+ layers in RAM .* fit"):
        max_context(from_dict({**asked, "device": ["16GB", "12GB"]}), model)


@pytest.mark.parametrize(("name", "device"), [("qwen3.5-122b-a10b", "RTX 5090"), ("qwen3-32b", "3090"), ("qwen3.5-122b-a10b", "Strix Halo 128GB")])
def test_what_is_said_to_lie_in_ram_makes_it_fit(name: str, device: str) -> None:
    """The flag, asked as a question."""
    model = catalogue.model(name)
    question = from_dict({"model": name, "quant": "Q4_K_M", "context": 40_960, "device": [device]})
    flag = in_ram(question, model).split(" (")[0]
    verdict = judged(from_dict({**to_dict(question), **given_by(flag)}), model).verdict

    assert verdict is not None
    assert verdict.word in ("fits", "tight")


def given_by(flag: str) -> dict[str, Any]:
    """The keys that a flag sets."""
    return {key: value for key, value in to_dict(from_argv(["model", *flag.split()])).items() if key != "model"}


def test_nothing_that_fits_is_an_error_of_its_own() -> None:
    """It says what is short; a question without devices, or about a file's quant, is another matter."""
    model = llama_cases.model("deepseek-v3")

    with pytest.raises(NoFitError, match="short"):
        max_context(from_dict({"model": "deepseek-v3", "device": ["24GB"]}), model)
    with pytest.raises(QuestionError, match="no device"):
        max_context(from_dict({"model": "deepseek-v3"}), model)
    with pytest.raises(UnsupportedError, match="one quant"):
        best_quant(from_dict({"model": "deepseek-v3", "device": ["24GB"]}), model)


@settings(deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=200), st.integers(-10_000, 100_000))
def test_the_search_finds_where_a_falling_row_turns_negative(steps: list[int], start: int) -> None:
    """Whatever its shape, and in fewer steps than a walk through it."""
    row = [start - sum(steps[:i]) for i in range(len(steps))]
    asked: list[int] = []

    def spare(n: int) -> int:
        asked.append(n)
        return row[n]

    assert sum(value >= 0 for value in row) - 1 == largest(spare, 0, len(row) - 1)
    assert len(asked) <= 8 + 9


@pytest.mark.parametrize(
    ("engine", "device", "expected"),
    [("vllm", "H100 SXM 80GB", "fp8-channel"), ("mlx", "Apple M4 Max 64GB (40-core GPU)", "mlx-8bit"), ("exllamav3", "RTX 4090", "exl3-3.0bpw")],
)
def test_the_best_quant_is_one_that_the_engine_loads(engine: str, device: str, expected: str) -> None:
    """Formats of safetensors for engines that read these, bits for ExLlamaV3."""
    question = from_dict({"model": "qwen3-32b", "engine": engine, "context": "32K", "device": device})

    assert expected == best_quant(question, catalogue.model("qwen3-32b")).value


def test_the_best_quant_of_a_checkpoint_that_is_small_already_is_its_own() -> None:
    """Recipes of llama-quantize store gpt-oss larger than it is published."""
    question = from_dict({"model": "gpt-oss-120b", "context": "32K", "device": "RTX PRO 6000 Blackwell Workstation"})

    assert "MXFP4_MOE" == best_quant(question, catalogue.model("gpt-oss-120b")).value
