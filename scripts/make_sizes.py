"""Write src/tonnage/data/sizes.json: every built-in model at one context, for pages that list many of them.

It is read where models are listed; a page about one model computes.
"""

import json
from pathlib import Path

from tonnage.estimation import judged
from tonnage.glance import LEAST, weights_by_recipe
from tonnage.model import catalogue
from tonnage.quant.recipes import usual
from tonnage.question import Question

TARGET = Path(__file__).parent.parent / "src/tonnage/data/sizes.json"
CONTEXT = 32768


def row(name: str) -> dict[str, object]:
    """A model's bytes on one GPU: all parts but the weights at the context, and the weights in each recipe."""
    model = catalogue.model(name)
    context = max(min(CONTEXT, model.context), LEAST)
    found = judged(Question(model=name, quant="Q4_K_M", context=context), model)
    by_recipe = {recipe: gpu for recipe, (_, _, gpu) in weights_by_recipe(Question(model=name), model).items()}
    rest = found.gpu_bytes - by_recipe["Q4_K_M"]
    return {"context": context, "rest": rest, "active": model.parameters.active, "usual": usual(t.type for t in model.tensors), "weights": by_recipe}


def text() -> str:
    """The table, a model a line."""
    names = [entry["name"] for entry in catalogue.index() if entry["architecture"]]
    return "{\n" + ",\n".join(f"{json.dumps(name)}:{json.dumps(row(name), separators=(',', ':'))}" for name in names) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
