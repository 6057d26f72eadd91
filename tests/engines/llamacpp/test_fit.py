"""What --fit decides: every kept run's context, layers and overrides, and what they then take."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import llama_cases
from tonnage.engines.llamacpp import answer
from tonnage.engines.llamacpp.fit import Fitted, fit, question_of
from tonnage.engines.llamacpp.fit.fitted import GaveUpError
from tonnage.engines.llamacpp.fit.shares import ATTENTION_UP, Share, flags_of
from tonnage.engines.llamacpp.fit.whole import quotient, step_towards, uint32
from tonnage.errors import QuestionError
from tonnage.frozen import replace
from tonnage.model import catalogue
from tonnage.model.types import Attached, Tensor
from tonnage.question import Question, from_dict
from tonnage.units import GIB, MIB

pytestmark = pytest.mark.slow

KEPT = llama_cases.read("fit-cases")
QUICK = ("llama3.1-8b", "gemma3-27b")
SLOTS4 = {"slots": 4, "kv_unified": True}


def named(rows: list[dict[str, Any]]) -> list[Any]:
    """Parameters called after what was asked; models with experts take longer, and most of theirs are slow."""
    words = ([row["model"], "+".join(row["gpus"]), row.get("flags"), row.get("margin_mib"), row.get("outputs")] for row in rows)
    names = [" ".join(str(word) for word in line if word) for line in words]
    quick = [row["model"] in QUICK or i % 12 == 0 for i, row in enumerate(rows)]
    return [pytest.param(row, id=name, marks=() if fast else pytest.mark.slow) for row, name, fast in zip(rows, names, quick, strict=True)]


def free_bytes(row: dict[str, Any]) -> list[int]:
    """Free memory of the row's GPUs."""
    return [KEPT["free_mib"][gpu] * MIB for gpu in row["gpus"]]


def asked(row: dict[str, Any]) -> Question:
    """The row's question, on its GPUs."""
    return llama_cases.question(row, device=[f"cuda:{KEPT['free_mib'][gpu]}MiB-free" for gpu in row["gpus"]])


def fitted(row: dict[str, Any]) -> Fitted:
    """What we say that --fit does."""
    margin = None if row["margin_mib"] is None else row["margin_mib"] * MIB
    return fit(asked(row), llama_cases.model(row["model"]), free_bytes(row), margin)


# --- what the engine chose ----------------------------------------------------------------------------


@pytest.mark.parametrize("row", named(KEPT["cases"]))
def test_context_layers_and_overrides_are_those_that_the_engine_chose(row: dict[str, Any]) -> None:
    """All that --fit sets, pattern by pattern; what it last measured; and what is really allocated for it."""
    chosen = fitted(row)
    split = None if row["tensor_split"] is None else tuple(row["tensor_split"])
    plan = answer(question_of(chosen, asked(row)), llama_cases.model(row["model"]))
    gpus = [f"CUDA{i}" for i in range(len(row["gpus"]))]

    assert (row["n_ctx"], row["gpu_layers"], split, row["override_tensor"]) == plan_of(chosen)
    assert chosen.used_bytes in (None, tuple(sum(row["buffers"][gpu][:3]) for gpu in gpus))
    assert llama_cases.by_device({name: [weights, cache, real] for name, (weights, cache, _, real) in row["buffers"].items()}) == (
        llama_cases.predicted(plan)
    )


def plan_of(chosen: Fitted) -> tuple[Any, ...]:
    """The flags that --fit sets."""
    return chosen.n_ctx, chosen.gpu_layers, chosen.tensor_split, chosen.override_tensor


@pytest.mark.parametrize("row", named(KEPT["counts"]))
def test_context_and_numbers_are_those_that_the_engine_chose(row: dict[str, Any]) -> None:
    """Also where a block of prediction makes --fit count one layer too few (GLM-4.5-Air: 47 of 48)."""
    chosen = fit(from_dict({"model": row["model"], **SLOTS4}), llama_cases.model(row["model"]), free_bytes(row))
    layers = len(llama_cases.model(row["model"]).layers) + 1
    overrides = len(chosen.override_tensor.split(",")) if chosen.override_tensor else 0

    assert (row["n_ctx"], row["gpu_layers"] or layers, row["overrides"]) == (chosen.n_ctx, chosen.gpu_layers or layers, overrides)


# --- its limits -----------------------------------------------------------------------------------------

SMALL = [6000 * MIB]
"""a GPU on which llama3.1-8b does not fit with 32,768 tokens"""


@pytest.mark.parametrize(
    ("given", "gpus", "reason"),
    [
        ({"gpu_layers": 20}, 1, "n_gpu_layers already set by user to 20, abort"),
        ({"gpu_layers": -2}, 1, "n_gpu_layers already set by user to -2, abort"),
        ({"tensor_split": (1, 1)}, 2, "model_params::tensor_split already set by user, abort"),
        ({"override_tensor": "ffn_up=CPU"}, 1, "model_params::tensor_buft_overrides already set by user, abort"),
        ({"n_cpu_moe": 1}, 1, "model_params::tensor_buft_overrides already set by user, abort"),
        ({"split_mode": "tensor"}, 2, "llama_params_fit is not implemented for SPLIT_MODE_TENSOR, abort"),
    ],
)
def test_what_the_user_set_ends_the_search(given: dict[str, Any], gpus: int, reason: str) -> None:
    """The reason is llama.cpp's; the question stays as it was asked."""
    question = from_dict({"model": "llama3.1-8b", "n_ctx": 131_072, **given})
    chosen = fit(question, llama_cases.model("llama3.1-8b"), SMALL * gpus)

    assert (reason, False) == (chosen.reason, chosen.success)
    assert question == question_of(chosen, question)


def test_a_context_is_reduced_before_the_search_ends() -> None:
    """Layers that the user set do not keep --fit from cutting the context to the least."""
    question = from_dict({"model": "llama3.1-8b", "gpu_layers": -2})
    chosen = fit(question, llama_cases.model("llama3.1-8b"), [5000 * MIB])

    assert (4096, False) == (chosen.n_ctx, chosen.success)
    assert 4096 == question_of(chosen, question).n_ctx


def test_what_fits_is_left_alone_whatever_the_user_set() -> None:
    """Nothing is refused where nothing has to change."""
    question = from_dict({"model": "llama3.1-8b", "n_ctx": 8192, "gpu_layers": 20, "override_tensor": "ffn_up=CPU"})
    chosen = fit(question, llama_cases.model("llama3.1-8b"), [24 * GIB])

    assert (True, question) == (chosen.success, question_of(chosen, question))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, 131_072),
        ({"slots": 4}, 4 * 131_072),
        ({"context": 8192, "users": 2}, 16_384),
        ({"n_ctx": 0, "slots": 2}, 2 * 131_072),
    ],
)
def test_the_most_is_what_the_model_was_trained_for_in_every_stream(given: dict[str, Any], expected: int) -> None:
    """Where memory does not limit it; a context that is asked for stays."""
    chosen = fit(from_dict({"model": "llama3.1-8b", **given}), llama_cases.model("llama3.1-8b"), [400 * GIB])

    assert expected == chosen.n_ctx


def test_the_full_context_is_not_reduced_where_it_is_asked_for() -> None:
    """`-c 0` takes layers from the GPU instead of tokens."""
    chosen = fit(from_dict({"model": "llama3.1-8b", "n_ctx": 0, **SLOTS4}), llama_cases.model("llama3.1-8b"), SMALL)

    assert 131_072 == chosen.n_ctx
    assert chosen.gpu_layers is not None


def test_a_projector_raises_the_margin_of_its_device() -> None:
    """llama-server adds what the projector takes, and fewer layers fit beside it."""
    projector = Attached(projector=(Tensor("v.patch_embd.weight", (1000, 1_000_000), "f16"),))
    question, model = from_dict({"model": "llama3.1-8b", "n_ctx": 32_768}), llama_cases.model("llama3.1-8b")
    layers = [fit(question, model, [8 * GIB], attached=attached).gpu_layers or 0 for attached in (Attached(), projector)]

    assert sorted(layers, reverse=True) == layers
    assert layers[0] > layers[1]


def test_a_device_that_is_not_used_does_not_count() -> None:
    """With split mode none the main GPU alone is filled, as if there were no other."""
    model = llama_cases.model("llama3.1-8b")
    alone = fit(from_dict({"model": "llama3.1-8b", "n_ctx": 32_768}), model, [7 * GIB])
    main = fit(from_dict({"model": "llama3.1-8b", "n_ctx": 32_768, "split_mode": "none", "main_gpu": 1}), model, [80 * GIB, 7 * GIB])

    assert alone.gpu_layers is not None
    assert plan_of(alone) == plan_of(main)


def test_a_main_gpu_that_is_not_there_is_refused() -> None:
    """The error names the number."""
    with pytest.raises(QuestionError, match="main_gpu=2"):
        fit(from_dict({"model": "llama3.1-8b", "split_mode": "none", "main_gpu": 2}), llama_cases.model("llama3.1-8b"), [GIB, GIB])


def test_without_a_gpu_the_context_follows_the_host() -> None:
    """All of the host's memory counts; where not even the least context fits, --fit gives up."""
    question, model = from_dict({"model": "llama3.1-8b", "backend": "cpu"}), llama_cases.model("llama3.1-8b")
    found = {ram: fit(question, model, (), ram_bytes=ram) for ram in (64 * GIB, 16 * GIB, 4 * GIB)}

    assert [131_072, True] == [found[64 * GIB].n_ctx, found[64 * GIB].success]
    assert 4096 < found[16 * GIB].n_ctx < 131_072
    assert "was unable to fit model into system memory by reducing context, abort" == found[4 * GIB].reason
    assert fit(question, model, ()).n_ctx == 131_072


def test_margins_are_one_or_one_for_each_device() -> None:
    """Another number of them is refused."""
    with pytest.raises(QuestionError, match=r"margin has 3 sizes for 2 devices"):
        fit(from_dict({"model": "llama3.1-8b"}), llama_cases.model("llama3.1-8b"), [GIB, GIB], [1, 2, 3])


def test_a_greater_margin_keeps_more_free() -> None:
    """The question's margin is -fitt; a device of its own margin is filled less than its twin."""
    question, model = from_dict({"model": "llama3.1-8b", "n_ctx": 131_072}), llama_cases.model("llama3.1-8b")
    by_question = fit(replace(question, margin=3 * GIB), model, [12 * GIB])
    split = fit(question, model, [10 * GIB, 10 * GIB], [GIB, 4 * GIB]).tensor_split

    assert fit(question, model, [12 * GIB], 3 * GIB) == by_question
    assert split is not None
    assert split[0] > split[1]


def test_the_steps_tell_what_was_tried() -> None:
    """One line a measurement, in MiB against what may be used."""
    chosen = fit(from_dict({"model": "llama3.1-8b", "n_ctx": 32_768, "slots": 1}), llama_cases.model("llama3.1-8b"), [7730 * MIB])

    assert "as asked, 32,768 tokens: 8,647 of 6,706 MiB" == chosen.steps[0]
    assert "CUDA0 25 layers: 6,661 of 6,706 MiB" in chosen.steps


@pytest.mark.parametrize("given", [{}, {"speculative": "mtp"}], ids=["plain", "drafting"])
def test_one_gpu_takes_what_fit_measured(given: dict[str, Any]) -> None:
    """A block of prediction is loaded, placed and counted with the model where it drafts, and --fit then counts all layers."""
    model = llama_cases.model("glm4.5-air")
    question = from_dict({"model": "glm4.5-air", "slots": 1, "device": ["cuda:48480MiB-free"], **given})
    chosen = fit(question, model, [48_480 * MIB])
    gpu = answer(question_of(chosen, question), model).devices[0]

    assert len(model.layers) + bool(given) == chosen.gpu_layers
    assert (gpu.total_bytes,) == chosen.used_bytes


def test_devices_filled_earlier_may_be_overrun() -> None:
    """Three blocks of prediction shift layers against patterns: filling the next device gives experts back to the one before."""
    model = catalogue.model("stepfun-ai/Step-3.5-Flash")
    free = [40 * GIB, 24 * GIB]
    chosen = fit(from_dict({"model": model.name}), model, free)

    assert 3 == model.n_nextn
    assert (True, len(model.layers) - 3 + 1) == (chosen.success, chosen.gpu_layers)
    assert chosen.used_bytes is not None
    assert chosen.used_bytes[0] > free[0]


# --- its numbers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dividend", "divisor", "expected"), [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3), (0, -5, 0)])
def test_division_goes_towards_zero(dividend: int, divisor: int, expected: int) -> None:
    """As C has it."""
    assert expected == quotient(dividend, divisor)


def test_division_by_zero_ends_the_search() -> None:
    """The processor ends llama.cpp there."""
    with pytest.raises(GaveUpError):
        quotient(1, 0)


def test_a_negative_step_becomes_the_longest() -> None:
    """A device that is too full before it gets a layer: the number wraps."""
    assert 2**32 - 1 == uint32(-1)
    assert 9 == step_towards(target=50, low=60, high=70, delta=10)


@settings(deadline=None)
@given(st.integers(0, 10**11), st.integers(0, 10**11), st.integers(0, 10**11), st.integers(2, 100))
def test_a_step_leaves_something_to_search(target: int, low: int, more: int, delta: int) -> None:
    """At least one layer, and one less than all."""
    assert 1 <= step_towards(target, low, low + 1 + more, delta) < delta


@pytest.mark.parametrize(
    ("shares", "blocks", "expected"),
    [
        ((Share(),), 4, (0, None, None)),
        ((Share(5),), 4, (5, None, None)),
        ((Share(3, 2),), 4, (3, None, r"blk\.3\.ffn_(up|down|gate_up|gate)_(ch|)exps=CPU,blk\.4\.ffn_(up|down|gate_up|gate)_(ch|)exps=CPU")),
        ((Share(2, 1, ATTENTION_UP, 1), Share(3)), 4, (5, (2, 3), r"blk\.1\.ffn_(gate|gate_up|down).*=CUDA1")),
        ((Share(5, 1, ATTENTION_UP, 1), Share(0, 2**32 - 1)), 4, (5, (5, 0), r"blk\.4\.ffn_(gate|gate_up|down).*=CUDA1")),
    ],
)
def test_shares_are_written_as_flags(shares: tuple[Share, ...], blocks: int, expected: tuple[object, ...]) -> None:
    """The last layers of a device are the partial ones; the output layer counts, so that the last pattern may match nothing."""
    assert expected == tuple(flags_of(shares, blocks))
