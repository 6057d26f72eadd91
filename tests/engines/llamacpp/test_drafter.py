"""A second model that drafts, in the same memory as the first."""

import pytest

from tonnage.answer import Estimate
from tonnage.engines.llamacpp import answer
from tonnage.engines.llamacpp.plan import plan, task_of
from tonnage.engines.llamacpp.plan.against import fitted
from tonnage.engines.llamacpp.settings import resolve
from tonnage.errors import QuestionError
from tonnage.estimation import estimate
from tonnage.question import Question, from_dict
from tonnage.source import open_question

ASKED = {"model": "gemma-3-27b-it", "quant": "Q4_K_M", "context": "32K", "slots": 1}


def with_draft(draft: str | None = "gemma-3-1b-it:Q8_0", **more: object) -> Estimate:
    """The answer with a draft."""
    return answer(*open_question(from_dict({**ASKED, "device": ["24GB"], "draft": draft, **more})))


def drafted(found: Estimate, device: int) -> int:
    """Bytes of the draft on a device."""
    return sum(part.bytes for part in found.devices[device].parts if part.part == "draft")


def alone(**more: object) -> Estimate:
    """The draft as a model of its own."""
    return answer(*open_question(from_dict({"model": "gemma-3-1b-it", "quant": "Q8_0", "context": "32K", "slots": 1, "device": ["24GB"], **more})))


@pytest.mark.parametrize("more", [{}, {"slots": 4}, {"batch": 1024, "ubatch": 256}, {"swa_full": True}], ids=str)
def test_a_draft_takes_what_it_takes_alone(more: dict[str, object]) -> None:
    """On one GPU: weights, cache, compute and logits with the cells, slots and batches of the first model."""
    parts = ("weights", "kv", "compute", "output")
    expected = [sum(part.bytes for part in device.parts if part.part in parts) for device in alone(**more).devices]

    found = with_draft(**more)

    assert expected == [drafted(found, 0), drafted(found, 1)]


def test_a_draft_keeps_f16_and_the_gpu_whatever_is_asked_of_the_model() -> None:
    """-ctk, -ctv, -ngl and -ot are the first model's; the draft has options of its own."""
    expected = drafted(with_draft(), 0)

    assert expected == drafted(with_draft(cache_type_k="q8_0", cache_type_v="q8_0", gpu_layers=20, override_tensor=r"blk\.3\.ffn_up=CPU"), 0)


def test_the_first_model_computes_logits_of_all_drafted_tokens() -> None:
    """Three are drafted: four rows a slot, which its own buffers hold."""
    question, model, attached = open_question(from_dict({**ASKED, "device": ["24GB"], "profile": "server", "draft": "gemma-3-1b-it"}))
    plain = answer(from_dict({**ASKED, "device": ["24GB"]}), model)
    found = answer(question, model, attached)
    four, one = ([part.bytes for part in a.devices[0].parts if part.part == "compute"] for a in (found, plain))

    assert four >= one
    assert 4 == resolve(question, model).outputs
    assert 1 == resolve(from_dict(ASKED), model).outputs


def test_the_command_loads_the_draft_and_lets_it_draft() -> None:
    """Without --spec-type llama.cpp loads the second model and leaves it idle."""
    assert "-md gemma-3-1b-it-Q8_0.gguf --spec-type draft-simple" in with_draft().command["llama.cpp"]


def test_a_second_model_and_the_models_own_block_do_not_draft_together() -> None:
    """The one or the other."""
    with pytest.raises(QuestionError, match="give one"):
        with_draft(speculative="mtp")


def test_a_draft_of_another_vocabulary_is_told() -> None:
    """llama.cpp refuses vocabularies more than 128 tokens apart."""
    told = with_draft("qwen3-0.6b").notes

    assert any("llama.cpp refuses this draft" in note for note in told)
    assert not any("refuses this draft" in note for note in with_draft().notes)


def test_on_several_gpus_a_draft_is_split_by_what_the_model_leaves_free() -> None:
    """It is loaded behind the first model."""
    found = with_draft(device=["24GB", "24GB"], tensor_split=[9, 1])

    assert min(drafted(found, 0), drafted(found, 1)) > 0
    split = with_draft(device=["48GB", "24GB"])
    assert drafted(split, 0) > drafted(split, 1)


def test_plans_and_fit_count_the_draft() -> None:
    """Neither fills the memory that the draft takes."""
    given: dict[str, object] = {**ASKED, "context": "64K", "slots": 4, "kv_unified": True, "device": ["24GB"], "draft": "gemma-3-1b-it"}
    opened = open_question(from_dict(given))
    planned = plan(*opened)

    assert planned is not None
    assert drafted(planned.checked.estimate, 0) > 0
    assert planned.checked.fits(planned.task.machine)
    decided, theirs = fitted(task_of(*opened), keep_context=True)
    bare, _ = fitted(task_of(*open_question(from_dict({**given, "draft": None}))), keep_context=True)
    assert drafted(theirs.estimate, 0) > 0
    assert decided.gpu_layers is not None
    assert bare.gpu_layers is None


def test_the_estimate_says_that_speed_is_told_without_the_draft() -> None:
    """The rate of a pair of models has no rule."""
    question = Question(model="gemma-3-27b-it", quant="Q4_K_M", context=8192, device=("RTX 4090",), draft="gemma-3-1b-it")

    assert any("all its layers on GPUs" in note for note in estimate(*open_question(question)).notes)
