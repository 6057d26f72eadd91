"""Whatever a source holds -> Model: the only place where configs and GGUF headers meet."""

from collections.abc import Mapping, Sequence
from typing import Any

from tonnage.errors import CorruptError
from tonnage.frozen import replace
from tonnage.model import parameters
from tonnage.model.archs import family_of_architecture, family_of_config
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Dense, Experts, Layer, Model, Tensor


def from_config(
    raw: Mapping[str, Any],
    name: str,
    source: str,
    *,
    upload: Mapping[str, Any] | None = None,
    vision: int = 0,
    mtp: int = 0,
    notes: tuple[str, ...] = (),
) -> Model:
    """The model that llama.cpp's converter would make of a config.json.

    `upload` are fields as the published tensors have them where the config says otherwise; `vision` and
    `mtp` are published counts of parts that the converter leaves out.
    """
    config = Config(overlaid(raw, upload or {}))
    checkpoint = family_of_config(config.model_types).convert(config)
    hparams = Hparams(checkpoint.hparams)
    layers = _layers(checkpoint.architecture, hparams, checkpoint.tensors)
    twice = Config(raw).is_tied and any(t.name == "output.weight" for t in checkpoint.tensors)
    return Model(
        name=name,
        architecture=checkpoint.architecture,
        hparams=hparams,
        tensors=checkpoint.tensors,
        layers=layers,
        parameters=parameters.count(checkpoint.tensors, layers, tied=twice, vision=vision, mtp=mtp),
        context=_context(config.get("n_ctx_train"), hparams),
        basis="config",
        source=source,
        notes=(*notes, *checkpoint.notes, *((_TWICE,) if twice else ())),
        config=raw,
    )


_TWICE = "Embedding and head are tied, but the published checkpoint stores both, and so does a GGUF of it."


def from_row(row: Mapping[str, Any]) -> Model:
    """The model of a row of the catalogue."""
    left_out = row.get("left_out", {})
    mtp = left_out.get("mtp", 0)
    return from_config(
        row["config"],
        row["hf_id"],
        f"catalogue: {row['hf_id']}",
        upload=row.get("upload"),
        vision=row["params"].get("vision_audio") or left_out.get("vision", 0),
        mtp=mtp,
        notes=(f"llama.cpp's converter leaves the multi-token-prediction block out ({mtp:,} parameters)",) if mtp else (),
    )


def from_header(
    metadata: Mapping[str, Any],
    tensors: Sequence[Tensor],
    name: str,
    source: str,
    *,
    file_bytes: int = 0,
    notes: Sequence[str] = (),
) -> Model:
    """The model of a GGUF header, tensors as stored."""
    architecture = metadata.get("general.architecture")
    if not isinstance(architecture, str):
        raise CorruptError("the GGUF metadata lack general.architecture")
    hparams = Hparams.of(architecture, metadata)
    table = tuple(tensors)
    try:
        layers = _layers(architecture, hparams, table)
        counts, context = parameters.count(table, layers), _context(None, hparams)
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError) as error:
        # a family reads what its files hold; a file that holds something else is at fault
        raise CorruptError(f"the metadata of this {architecture} file make no sense ({error!r:.80})") from None
    return Model(
        name=name,
        architecture=architecture,
        hparams=hparams,
        tensors=table,
        layers=layers,
        parameters=counts,
        context=context,
        basis="file",
        source=source,
        file_bytes=file_bytes,
        notes=tuple(notes),
    )


def overlaid(raw: Mapping[str, Any], fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """`raw` with `fields` put over the part that describes the text model."""
    text = raw.get("text_config")
    if isinstance(text, Mapping):
        return {**raw, "text_config": {**text, **fields}}
    return {**raw, **fields}


def _layers(architecture: str, hparams: Hparams, tensors: Sequence[Tensor]) -> tuple[Layer, ...]:
    """The family's layers; a block without stacked experts is dense, whatever the metadata say (Jamba's loader)."""
    layers: tuple[Layer, ...] = family_of_architecture(architecture).layers(hparams)
    if not hparams.get("expert_count"):
        return layers
    with_experts = {t.block for t in tensors if "_exps." in t.name}

    def as_stored(i: int, layer: Layer) -> Layer:
        if isinstance(layer.ffn, Experts) and i not in with_experts:
            return replace(layer, ffn=Dense(layer.ffn.width))
        return layer

    return tuple(as_stored(i, layer) for i, layer in enumerate(layers))


def _context(trained: int | None, hparams: Hparams) -> int:
    """The smaller of config and file: converters of hybrids without position embedding write 1,048,576."""
    known = [int(n) for n in (trained, hparams.get("context_length")) if n]
    if not known:
        raise CorruptError("neither config nor GGUF metadata tell the context that the model was trained for")
    return min(known)
