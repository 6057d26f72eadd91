"""The built-in models: every row can be found, read and built, or says why it cannot."""

import json
import zipfile
from pathlib import Path

import pytest

import tonnage.data
from tonnage.errors import SourceError, UnsupportedError
from tonnage.model import catalogue
from tonnage.model.config import Config

INDEX = catalogue.index()
BUILT = [row for row in INDEX if row["architecture"]]
REFUSED = [row for row in INDEX if not row["architecture"]]


def ids(rows: list[dict[str, object]]) -> list[str]:
    """The short names, as test ids."""
    return [str(row["name"]) for row in rows]


def test_names_are_unambiguous() -> None:
    """No two models share a short name, an alias or a hub id."""
    words = [word.lower() for row in INDEX for word in {row["name"], row["hf_id"], *row["aliases"]}]

    assert len(set(words)) == len(words)


def test_index_lists_every_file() -> None:
    """The index and the folder of rows hold the same models."""
    folder = Path(tonnage.data.__file__).parent / "models"

    assert sorted(row["hf_id"].replace("/", "--") + ".json" for row in INDEX) == sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("row", INDEX, ids=ids(INDEX))
def test_row_tells_where_it_comes_from(row: dict[str, str]) -> None:
    """Every row has a config, its source and how it was verified; license and date may be unknown, but are said to be."""
    found = catalogue.row(row["name"])

    assert row["hf_id"] == found["hf_id"]
    assert [] == [key for key in ("source", "verified", "config", "params") if not found[key]]
    assert {"license", "release", "release_note"} <= set(found)


@pytest.mark.parametrize(
    ("name", "hf_id"),
    [
        ("qwen3.5-122b-a10b", "Qwen/Qwen3.5-122B-A10B"),
        ("Qwen3.5-122B-A10B", "Qwen/Qwen3.5-122B-A10B"),
        ("qwen/qwen3.5-122b-a10b", "Qwen/Qwen3.5-122B-A10B"),
        ("llama-3.3-70b", "meta-llama/Llama-3.3-70B-Instruct"),
        ("mixtral-8x7b", "mistralai/Mixtral-8x7B-Instruct-v0.1"),
        ("llama-4-scout", "meta-llama/Llama-4-Scout-17B-16E-Instruct"),
        ("nemotron-3-super-120b-a12b", "nvidia/NVIDIA-Nemotron-3-Super-120B-A12B-BF16"),
        ("qwen3-4b", "Qwen/Qwen3-4B"),
    ],
)
def test_models_are_found_by_any_of_their_names(name: str, hf_id: str) -> None:
    """Short name, hub id and alias lead to the same row, in any case."""
    assert hf_id == catalogue.row(name)["hf_id"]


def test_find_says_nothing_of_unknown_names() -> None:
    """`find` is asked whether a word is a model at all."""
    assert catalogue.find("qwen9-1t") is None


def test_unknown_names_are_refused_with_the_nearest() -> None:
    """A slip of the pen gets the right name back."""
    with pytest.raises(SourceError) as refused:
        catalogue.row("qwen3.5-122b-a10")

    assert "qwen3.5-122b-a10b" in refused.value.nearest


@pytest.mark.parametrize("row", BUILT, ids=ids(BUILT))
def test_model_is_as_the_index_says(row: dict[str, object]) -> None:
    """The index repeats architecture, context and total of the model that the row builds; every block is a layer."""
    model = catalogue.model(str(row["name"]))

    assert (row["architecture"], row["context"], row["total"]) == (model.architecture, model.context, model.parameters.total)
    assert model.hparams["block_count"] == len(model.layers)
    assert {t.block for t in model.tensors} - {None} <= set(range(len(model.layers)))


@pytest.mark.parametrize("row", BUILT, ids=ids(BUILT))
def test_context_is_never_above_the_config(row: dict[str, object]) -> None:
    """Nemotron-H and Granite-H files say 1,048,576, whatever the config says: the smaller counts."""
    trained = Config(catalogue.row(str(row["name"]))["config"]).get("n_ctx_train")

    assert trained == row["context"]


@pytest.mark.parametrize("row", BUILT, ids=ids(BUILT))
def test_tensor_names_are_unique(row: dict[str, object]) -> None:
    """A tensor table has no name twice."""
    names = [t.name for t in catalogue.model(str(row["name"])).tensors]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_models_without_rules_say_why(row: dict[str, str]) -> None:
    """A model that no GGUF can exist of is known, and refused with the reason."""
    with pytest.raises(UnsupportedError, match="no GGUF exists"):
        catalogue.model(row["name"])


def test_models_without_rules_are_these() -> None:
    """llama.cpp b11434 has no converter for them."""
    expected = {"kolibri-1", "lfm3-1.7b", "mistral-large-4-1t-a52b", "inkling", "llama-3.2-11b-vision-instruct", "deepseek-v4.1-flash"}

    assert expected == {row["name"] for row in REFUSED}


@pytest.mark.parametrize(("name", "stored"), [("qwen3-0.6b", True), ("granite-4.2-30b", True), ("qwen3-4b", False)])
def test_tied_heads_are_stored_as_the_upload_stores_them(name: str, stored: bool) -> None:
    """The converter keeps an `output.weight` that the checkpoint holds, although the config ties it."""
    assert stored == any(t.name == "output.weight" for t in catalogue.model(name).tensors)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("nemotron-3.5-lightning-30b-a3b", 0), ("qwen3-coder-next", 0), ("qwen3-next-80b-a3b", 1)],
)
def test_mtp_blocks_are_those_of_the_upload(name: str, blocks: int) -> None:
    """Some configs name a block that was not published, some do not name one that was."""
    assert blocks == catalogue.model(name).n_nextn


def test_tables_are_read_from_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's loader reads the tables, wherever the package lies."""
    import importlib
    import sys

    archive = tmp_path / "tonnage.zip"
    package = Path(tonnage.data.__file__).parent
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(package / "__init__.py", "zipped_tables/__init__.py")
        zipped.write(package / "models.json", "zipped_tables/models.json")
    monkeypatch.syspath_prepend(str(archive))
    tables = importlib.import_module("zipped_tables")
    sys.modules.pop("zipped_tables")

    assert json.loads((package / "models.json").read_bytes()) == tables.load_json("models.json")
