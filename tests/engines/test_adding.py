"""An engine and an architecture are added, one file each; everything else answers for them as it stands."""

import sys
from types import ModuleType

import pytest

from tonnage import estimation
from tonnage.errors import TonnageError
from tonnage.estimation import estimate
from tonnage.model import archs, build, catalogue
from tonnage.model.archs import parts
from tonnage.model.pieces import OUT, pieces
from tonnage.model.types import Checkpoint
from tonnage.question import Question

CONFIG = {
    "model_type": "newborn", "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 128,
    "intermediate_size": 4096, "vocab_size": 32000, "max_position_embeddings": 8192, "sliding_window": 512,
}  # fmt: skip


def family():
    """A module as the folder of families holds them: a windowed decoder with a projection of a name that nobody knows."""

    def convert(config):
        d, q = config.n_embd, config.n_head * config.k_dim
        attention = [*parts.gqa(d, config.n_head, config.kv_heads, config.k_dim), parts.matrix("attn_mirror", d, q)]
        block = [parts.norm("attn_norm", d), *attention, parts.norm("ffn_norm", d), *parts.gated_ffn(d, config.n_ff)]
        hparams = parts.base_hparams(config, attention__sliding_window=config.window)
        return Checkpoint("newborn", hparams, parts.stack(config, [block] * config.n_layer))

    module = ModuleType("tonnage.model.archs.newborn")
    module.convert = convert
    module.layers = lambda hp: parts.attention_layers(hp, parts.windows(hp, 2))
    module.CUTS = {"attn_mirror": OUT}
    return module


@pytest.fixture
def newborn(monkeypatch):
    """The model of the added family."""
    monkeypatch.setitem(sys.modules, "tonnage.model.archs.newborn", family())
    monkeypatch.setattr(archs, "FAMILIES", (*archs.FAMILIES, archs.Family("newborn", ("newborn",), ("newborn",))))
    return build.from_config(CONFIG, "newborn", "newborn")


@pytest.mark.parametrize("engine", estimation.ENGINES)
def test_every_engine_answers_for_an_added_architecture(newborn, engine):
    """Weights and cache, without a word about it in any engine."""
    quant = "BF16" if engine in ("llama.cpp", "mlx") else None
    told = estimate(Question(model="newborn", engine=engine, quant=quant, context=4096), newborn)
    names = {part.part: part.bytes for device in told.devices for part in device.parts}

    assert names["weights"] > 0
    assert names["kv"] > 0


def test_an_added_tensor_is_cut_as_its_family_says(newborn):
    """Two ranks hold half of it each."""
    one, two = (estimate(Question(model="newborn", engine="vllm", tensor_parallel=n), newborn).weights.per_rank_bytes for n in (1, 2))
    mirror = [piece for piece in pieces(newborn) if piece.stem == "attn_mirror"]
    copied = sum(2 * piece.elements for piece in pieces(newborn) if piece.side == "whole")

    assert 4 == len(mirror)
    assert {OUT} == {piece.side for piece in mirror}
    assert 2 * two[0] - one[0] == copied


@pytest.fixture
def added(monkeypatch):
    """The table of engines with one more row."""
    monkeypatch.setattr(estimation, "ENGINES", {**estimation.ENGINES, "added": "added_engine"})


@pytest.mark.parametrize("entry", catalogue.index(), ids=lambda row: row["name"])
def test_an_added_engine_answers_for_every_model(added, entry):
    """All families of the catalogue, without a word about it in any of them."""
    if entry["architecture"] is None:
        pytest.skip("no engine has rules for it")
    model = catalogue.model(entry["name"])
    told = estimate(Question(model=entry["name"], engine="added"), model)

    assert all(part.bytes >= 0 for part in told.devices[0].parts)
    assert told.devices[0].parts[0].bytes > 2 * 0.99 * model.parameters.text


@pytest.mark.parametrize("engine", [name for name in estimation.ENGINES if name != "llama.cpp"])
@pytest.mark.parametrize("entry", catalogue.index(), ids=lambda row: row["name"])
def test_every_engine_answers_for_every_model_or_says_why_not(engine, entry):
    """One line of reason, never a fault."""
    if entry["architecture"] is None:
        pytest.skip("no engine has rules for it")
    model, why = catalogue.model(entry["name"]), ""
    try:
        told = estimate(Question(model=entry["name"], engine=engine, context=4096), model)
    except TonnageError as error:
        why = str(error)

    assert "\n" not in why
    assert why or told.total_bytes > model.parameters.text * 0.4
