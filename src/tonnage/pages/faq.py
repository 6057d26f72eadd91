"""What stands below an answer: questions that people ask, answered by more estimates, pairs of cards, related pages, receipts."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tonnage import data
from tonnage.answer import Estimate
from tonnage.errors import TonnageError
from tonnage.estimation import engine_of, judged, planned
from tonnage.frozen import replace
from tonnage.model import catalogue
from tonnage.model.types import Experts
from tonnage.pace import with_pace
from tonnage.render import numbers, prose
from tonnage.verdict import slack

if TYPE_CHECKING:
    from tonnage.pages.scene import Scene

PEERS = (
    "llama-4-scout-17b-16e-instruct", "gpt-oss-120b", "glm-4.5-air", "llama-3.3-70b-instruct", "gpt-oss-20b", "gemma-3-27b-it",
    "llama-3.1-8b-instruct", "mistral-small-3.2-24b-instruct-2506", "deepseek-v3.1", "kimi-k2-instruct", "qwen3-32b", "gemma-3-12b-it",
    "gemma-3-4b-it", "llama-3.2-3b-instruct",
)  # fmt: skip
"""models that others are held against"""
PAIRS = (
    "2x RTX 3090",
    "2x RTX 5090",
    "2x L40S",
    "2x A100 SXM 80GB",
    "2x H100 SXM 80GB",
    "2x H200 SXM 141GB",
    "8x H100 SXM 80GB",
    "8x H200 SXM 141GB",
)
_ELSEWHERE: dict[str, Any] = dict.fromkeys((
    "n_ctx", "device", "ram", "in_use", "backend", "n_cpu_moe", "cpu_moe", "gpu_layers", "override_tensor", "tensor_split", "mmproj", "lora", "draft",
))  # fmt: skip
"""what is not asked of another model"""
_PLACED: dict[str, Any] = dict.fromkeys(("device", "ram", "in_use", "backend", "gpu_layers", "n_cpu_moe", "override_tensor", "tensor_split"))
"""what a question says of its machine"""
OFFLOAD_CARD, OFFLOAD_RAM = "RTX 4090", "128GB DDR5-6000 x2"


def answers(scene: "Scene") -> Iterator[prose.Answered]:
    """The questions that can be answered for this model."""
    for other in _peers(scene):
        if found := _same(scene, other):
            yield prose.versus(*found)
    sibling = _sibling(scene)
    if sibling and (found := _same(scene, sibling)):
        yield prose.dense_instead(*found)
    told = prose.recurrent(scene.glance.plain)
    if told:
        yield told
    if _has_experts(scene):
        yield prose.experts_in_ram(scene.glance.plain, _all_in_ram(scene), _planned(scene), f"one {OFFLOAD_CARD}")


def _has_experts(scene: "Scene") -> bool:
    return any(isinstance(layer.ffn, Experts) for layer in scene.opened.model.layers)


def _entry(scene: "Scene") -> dict[str, Any] | None:
    row = catalogue.find(scene.question.model)
    return next((entry for entry in catalogue.index() if row and entry["hf_id"] == row["hf_id"]), None)


def _peers(scene: "Scene") -> list[str]:
    """The three models of other publishers that are nearest in size."""
    own = scene.opened.model
    publisher, total = own.name.partition("/")[0], max(own.parameters.text, 1)
    entries = [entry for entry in catalogue.index() if entry["name"] in PEERS and entry["hf_id"].partition("/")[0] != publisher]
    near = sorted(entries, key=lambda entry: max(entry["total"] / total, total / entry["total"]))
    return [entry["name"] for entry in near[:3]]


def _sibling(scene: "Scene") -> str:
    """The model of the same series that is dense where this one is a mixture of experts, or the other way round: the nearest in size."""
    entry = _entry(scene)
    if entry is None:
        return ""
    stem, total = series(entry["name"]), entry["total"]
    mine = _is_mixture(entry["name"])
    others = [other for other in catalogue.index() if other["architecture"] and series(other["name"]) == stem and _is_mixture(other["name"]) != mine]
    return min((other["name"] for other in others), key=lambda name: _ratio(name, total), default="")


def _ratio(name: str, total: int) -> float:
    other: int = next(entry["total"] for entry in catalogue.index() if entry["name"] == name)
    return max(other / total, total / other)


def series(name: str) -> str:
    """What stands before the size in a name: `qwen3.5`."""
    return re.split(r"-(?=[ae]?\d+(\.\d+)?[bm]\b)", name, maxsplit=1)[0]


def _is_mixture(name: str) -> bool:
    return bool(re.search(r"-a\d+(\.\d+)?b\b", name))


def _same(scene: "Scene", name: str) -> tuple[Estimate, Estimate] | None:
    """This model and another at the same recipe and context: the one asked about, or all that both were trained for."""
    try:
        model = catalogue.model(name)
        context = min(int(scene.glance.plain.question["context"]), model.context)
        asked = replace(scene.question, **_ELSEWHERE, context=context, quant=scene.question.quant or scene.glance.plain.weights.recipe)
        return judged(asked, scene.opened.model), judged(replace(asked, model=name), model)
    except TonnageError:
        return None


def _all_in_ram(scene: "Scene") -> Estimate:
    return judged(replace(scene.question, **_PLACED, cpu_moe=True), scene.opened.model, scene.opened.attached)


def _planned(scene: "Scene") -> Estimate | None:
    """The same on a card that people have, with experts in as much RAM as that takes."""
    asked = replace(scene.question, **{**_PLACED, "cpu_moe": None, "device": (OFFLOAD_CARD,), "ram": OFFLOAD_RAM})
    try:
        found = planned(asked, scene.opened.model, scene.opened.attached, others=False)
        return with_pace(asked, scene.opened.model, found, engine_of(asked))
    except TonnageError:
        return None


def pairs(scene: "Scene") -> Sequence[tuple[str, str]]:
    """The two smallest sets of cards that hold it, where no card for a desktop does."""
    if scene.glance.plain.gpu_bytes < 22 * 2**30:
        return ()
    found: list[tuple[str, str]] = []
    for names in PAIRS:
        count, _, card = names.partition("x ")
        answer = judged(replace(scene.question, **{**_PLACED, "cpu_moe": None, "device": (names,)}), scene.opened.model, scene.opened.attached)
        spare = slack(answer.devices, int(answer.question.get("margin") or 0)) or 0
        if spare >= 0:
            took = sum(device.total_bytes for device in answer.devices if device.kind != "host")
            found.append((f"{count} x {card}", f"{numbers.gib(took)} GiB over all cards, {numbers.gib(spare)} GiB to spare on the fullest"))
        if len(found) == 2:
            break
    return found


def related(scene: "Scene") -> Iterator[tuple[str, str, str]]:
    """(address, title, words) of pages near this one: the same model in other recipes, its siblings."""
    entry = _entry(scene)
    if entry is None:
        return
    own = scene.estimate.weights.recipe
    for row in scene.glance.recipes:
        if row.name != own and row.name in ("Q8_0", "Q4_K_M", "Q2_K"):
            yield (
                scene.site.link(f"/m/{entry['name']}/{row.name}/"),
                f"{entry['name']} at {row.name}",
                f"{numbers.gib(row.gpu_bytes)} GiB at this context",
            )
    stem = series(entry["name"])
    for other in catalogue.index():
        if other["architecture"] and other["name"] != entry["name"] and series(other["name"]) == stem:
            yield scene.site.link(f"/m/{other['name']}/Q4_K_M/"), f"{other['name']} at Q4_K_M", f"{numbers.parameters(other['total'])} parameters"


def receipts(scene: "Scene") -> dict[str, Any] | None:
    """What the engine itself reported for models of this architecture, and how much of it was met to the byte."""
    table = data.load_json("accuracy.json")
    return next((group[scene.opened.model.architecture] for group in table.values() if scene.opened.model.architecture in group), None)
