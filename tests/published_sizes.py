"""Published files, as tests/data/published-sizes.json lists them, and the sizes that we predict for them."""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tonnage.answer import WeightsAnswer
from tonnage.engines.llamacpp.stored import recipe_of, weights_answer
from tonnage.errors import UnsupportedError
from tonnage.model import build, catalogue, tokenizers
from tonnage.model.types import Model
from tonnage.quant import uploaders
from tonnage.quant.recipes import parse
from tonnage.question import from_dict
from tonnage.units import GIB

DATA = Path(__file__).parent / "data"


class Published(NamedTuple):
    """One file of a catalogue; `bytes` or `gib` is None, as the catalogue rounds."""

    file: str
    model: str
    uploader: str
    recipe: str
    standard: bool
    imatrix: bool
    bytes: int | None
    gib: float | None
    date: str

    def __str__(self) -> str:
        return f"{self.file} {self.date}".rstrip()

    @property
    def mix(self) -> str:
        """The file's recipe as its uploader's."""
        return f"{self.uploader}/{self.recipe}"


@cache
def _content() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DATA / "published-sizes.json").read_text(encoding="utf-8"))
    return content


def files() -> list[Published]:
    """Every file."""
    return [
        Published(
            *(row[key] for key in ("file", "model", "uploader", "recipe", "standard")),
            row.get("imatrix", False), row.get("bytes"), row.get("gib"), row.get("date", ""),
        )
        for row in _content()["files"]
    ]  # fmt: skip


def exceptions() -> dict[str, dict[str, Any]]:
    """str(file) -> by how many bytes it is larger than predicted, and the reason, for the files that lie outside of their band."""
    found: dict[str, dict[str, Any]] = json.loads((DATA / "published-exceptions.json").read_text(encoding="utf-8"))
    return found


@cache
def model(name: str) -> Model:
    """A built-in model, or one whose config stands in the list itself."""
    config = _content()["configs"].get(name)
    return build.from_config(config, name, "published-sizes.json") if config else catalogue.model(name)


def predicted(file: Published, quant: str) -> WeightsAnswer:
    """What the product says of this file, made when it was made."""
    question = from_dict({"model": file.model, "quant": quant, "imatrix": file.imatrix, **_content()["made_with"]})
    return weights_answer(model(file.model), recipe_of(question, model(file.model)), question.mtp)


def plain(file: Published) -> WeightsAnswer:
    """As a plain run of llama-quantize."""
    return predicted(file, file.recipe.removeprefix("i1-"))


def agrees(file: Published, ours: WeightsAnswer) -> bool:
    """The published number lies in the band, or is the predicted one rounded likewise."""
    if file.bytes is None:
        return file.gib in {round(size / GIB, 1) for size in _between(ours)}
    assert ours.file_bytes is not None
    assert ours.file_error is not None
    return ours.file_error.low <= file.bytes - ours.file_bytes <= ours.file_error.high


def _between(ours: WeightsAnswer) -> tuple[int, int]:
    """The file's size; where its tokenizer is not known, without metadata and with the largest known."""
    if ours.file_bytes is not None:
        return ours.file_bytes, ours.file_bytes
    return ours.tensor_bytes, ours.tensor_bytes + max(known.kv_bytes for known in tokenizers.KNOWN)


def status(file: Published) -> str:
    """What the table of mixes says of the uploader's file: exact, inferred, unknown, or no row."""
    rows = (row for row in uploaders.PUBLISHED if row.uploader == file.uploader and file.recipe in row.names)
    architecture = model(file.model).architecture
    return next((row.status for row in rows if not row.architectures or architecture in row.architectures), "no row")


def mixed(file: Published) -> WeightsAnswer | None:
    """As the mix that its uploader is known for; None where its content is not known."""
    try:
        uploaders.find(parse(file.mix), model(file.model).architecture)
        return predicted(file, file.mix)
    except UnsupportedError:
        return None
