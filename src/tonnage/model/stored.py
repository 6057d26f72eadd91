"""config.json and safetensors headers -> Model: what the files say goes before what the config says.

The tensors of the model are those of the GGUF that llama.cpp's converter makes of the checkpoint; the files tell
which optional parts it has (a second copy of a tied head, blocks of multi-token prediction, a vision tower),
how many rows the embedding has, and what all of it weighs as published.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tonnage.errors import UnsupportedError
from tonnage.frozen import replace
from tonnage.model import build, parameters
from tonnage.model.config import SPELLINGS, Config
from tonnage.model.safetensors import Header, Stored
from tonnage.model.types import Model, Published
from tonnage.quant.schemes import Scheme, recognise
from tonnage.units import GIB

CONVERTIBLE = ("fp8", "gptq", "compressed-tensors", "modelopt", "mxfp4")
"""quantised checkpoints that llama.cpp's converter reads (conversion/base.py, dequant_model, build 11434)"""

_COUNTED_BY_NAME = "qwen3_next"
"""the model_type whose silent config the converter completes from the tensors' names (conversion/qwen.py, opt_num_mtp_layers)"""
_VISION = re.compile(
    r"(^|\.)(visual|vision_tower|vision_model|vision_encoder|vision_embedder|vit|audio_tower|audio_model|multi_modal_projector|mm_projector|"
    r"patch_merger|vision_language_adapter|embed_vision|embed_audio|image_newline|speech_projector|mlp1)(\.|$)"
)
_MTP = re.compile(r"(^|\.)(mtp|mtp_block|nextn|mtp_layers)(\.|$)")
_BLOCK = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.([0-9]{1,6})\.")
_HEAD = re.compile(r"(^|\.)(lm_head|embed_out)\.(weight|qweight|weight_packed)$|^(output|head)\.weight$")
_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|tok_embeddings|wte|word_embeddings|embeddings|embed)\.weight$")
_AUXILIARY = re.compile(
    r"(weight_scale|weight_scale_inv|weight_scale_2|weight_global_scale|input_scale|input_global_scale|weight_shape|weight_zero_point|"
    r"weight_g_idx|qzeros|scales|g_idx|biases|SCB|weight_format|absmax|quant_map|nested_absmax|nested_quant_map|"
    r"quant_state\.bitsandbytes__(nf4|fp4)|[kv]_scale|\w+_scales|scale)$"
)
"""endings of what belongs to a quantised weight without being one"""
_BUFFERS = ("rotary_emb.inv_freq", "position_ids")
"""endings of what older checkpoints store although it can be reckoned"""
_PACKED = re.compile(r"(\.qweight|\.weight_packed|_blocks|\.weight)$")


def from_safetensors(raw: Mapping[str, Any], header: Header, name: str, source: str) -> Model:
    """The model of a repo: its config.json and the headers of all its shards, merged.

    Errors are those of `build.from_config`, which must know the architecture.
    """
    config = Config(raw)
    scheme, doubts = _scheme(raw)
    published = measure(config, header, scheme)
    upload = dict(_upload(config, header, published))
    model = build.from_config(raw, name, source, upload=upload, vision=published.vision, mtp=published.mtp)
    has_head = any(_HEAD.search(tensor.name) for tensor in header.tensors)
    model = model if has_head or not _embedding_rows(config, header) else _without_head(model)
    once = published.parameters - (model.parameters.embedding if config.is_tied and has_head else 0)
    return replace(
        model,
        parameters=model.parameters if doubts else replace(model.parameters, total=once),
        published=published,
        notes=(*model.notes, *doubts, *_notes(model, published, scheme, () if doubts else (once,))),
    )


def measure(config: Config, header: Header, scheme: Scheme | None = None) -> Published:
    """What the files hold, in sum."""
    count: Counter[str] = Counter()
    nbytes: Counter[str] = Counter()
    elements: Counter[str] = Counter()
    for tensor, part in zip(header.tensors, _parts(config, header.tensors), strict=True):
        count[tensor.dtype] += 1
        nbytes[tensor.dtype] += tensor.nbytes
        elements[part] += parameters_of(tensor, scheme)
    by_dtype = {dtype: (count[dtype], nbytes[dtype]) for dtype in sorted(nbytes, key=lambda d: -nbytes[d])}
    return Published(
        tensor_bytes=header.tensor_bytes,
        file_bytes=header.file_bytes,
        shards=header.shards,
        parameters=sum(elements.values()),
        vision=elements["vision"],
        mtp=elements["mtp"],
        by_dtype=by_dtype,
        format=scheme.format if scheme else "",
    )


def parameters_of(tensor: Stored, scheme: Scheme | None) -> int:
    """Parameters that a stored tensor holds: packed weights one by one, none for scales and the like."""
    if tensor.name.endswith(_BUFFERS):
        return 0
    if scheme is None:
        return tensor.elements
    if _AUXILIARY.search(tensor.name):
        return 0
    if tensor.dtype in ("I32", "U32") and _PACKED.search(tensor.name):
        bits = _bits(tensor.name, scheme)
        return tensor.elements * 32 // bits if bits else tensor.elements
    if tensor.dtype in ("U8", "I8") and scheme.bits == 4 and _PACKED.search(tensor.name):
        return 2 * tensor.elements
    return tensor.elements


def _bits(name: str, scheme: Scheme) -> int:
    """Bits of a weight; MLX has its own for some modules."""
    own = (scheme.modules or {}).get(name.rpartition(".")[0])
    bits = own.get("bits", scheme.bits) if isinstance(own, Mapping) else scheme.bits
    return bits if isinstance(bits, int) and bits > 0 else scheme.bits


def _parts(config: Config, tensors: Iterable[Stored]) -> Iterator[str]:
    """For every tensor the part of the model that it belongs to: text, head, vision or mtp."""
    trunk = int(config.get("n_layer", 0)) or 1 << 30
    for tensor in tensors:
        block = _BLOCK.search(tensor.name)
        if _VISION.search(tensor.name):
            yield "vision"
        elif _MTP.search(tensor.name) or (block and int(block[1]) >= trunk):
            yield "mtp"
        else:
            yield "head" if _HEAD.search(tensor.name) else "text"


# --- what the files say against the config ----------------------------------------------------------


def _upload(config: Config, header: Header, published: Published) -> Iterator[tuple[str, Any]]:
    """Fields of the config as the published tensors have them."""
    if config.is_tied and any(_HEAD.search(tensor.name) for tensor in header.tensors):
        yield "tie_word_embeddings", False
    if not published.mtp:
        yield _spelling(config, "n_nextn"), 0
    elif not config.get("n_nextn") and _COUNTED_BY_NAME in config.model_types:
        yield SPELLINGS["n_nextn"][0], _mtp_blocks(config, header)
    rows = _embedding_rows(config, header)
    if rows and rows != config.get("n_vocab"):
        yield _spelling(config, "n_vocab"), rows


def _mtp_blocks(config: Config, header: Header) -> int:
    """Blocks of multi-token prediction, by the numbers in their names."""
    names = (t.name for t, part in zip(header.tensors, _parts(config, header.tensors), strict=True) if part == "mtp")
    return len({found[1] for name in names if (found := _BLOCK.search(name))}) or 1


def _spelling(config: Config, key: str) -> str:
    """How this config writes `key`."""
    return next((s for s in SPELLINGS[key] if config.get(s) is not None), SPELLINGS[key][0])


def _embedding_rows(config: Config, header: Header) -> int:
    """Rows of the text model's embedding; 0 where it is not found, or is packed."""
    width = config.get("n_embd")
    for tensor in header.tensors:
        if len(tensor.shape) == 2 and tensor.shape[1] == width and _EMBEDDING.search(tensor.name) and not _VISION.search(tensor.name):
            return tensor.shape[0]
    return 0


def _without_head(model: Model) -> Model:
    """The model without a second copy of its tied head, where a family expects one that these files do not hold."""
    kept = tuple(t for t in model.tensors if t.name != "output.weight")
    if len(kept) == len(model.tensors):
        return model
    counted = parameters.count(kept, model.layers, vision=model.parameters.vision, mtp=model.parameters.mtp)
    notes = tuple(note for note in model.notes if "output.weight" not in note)
    return replace(model, tensors=kept, parameters=counted, notes=notes)


def _scheme(config: Mapping[str, Any]) -> tuple[Scheme | None, tuple[str, ...]]:
    """The scheme, or none and the reason why it is not known; sizes as stored are exact without it."""
    try:
        return recognise(config), ()
    except UnsupportedError as error:
        return None, (f"{error}; parameters of packed tensors are not told apart",)


def _notes(model: Model, published: Published, scheme: Scheme | None, counted: tuple[int, ...]) -> Iterator[str]:
    yield _files(published)
    if scheme and scheme.method not in CONVERTIBLE:
        yield f"llama.cpp's converter does not read {scheme.method} checkpoints: the GGUF would be made from the original weights."
    for once in counted:
        described = model.parameters.total
        if once != described:
            yield f"The files hold {once:,} parameters, config.json describes {described:,} ({once - described:+,}); the files count."


def _files(published: Published) -> str:
    """What the files hold, as they are."""
    kinds = ", ".join(f"{dtype} {nbytes / GIB:.2f} GiB" for dtype, (_, nbytes) in published.by_dtype.items())
    files = f"{published.shards} files" if published.shards > 1 else "one file"
    count = sum(tensors for tensors, _ in published.by_dtype.values())
    quantised = f" quantised as {published.format}" if published.format else ""
    return f"The published safetensors{quantised}: {count:,} tensors in {files}, {published.tensor_bytes:,} bytes ({kinds})."
