"""What tests of remote reading share: models to put on the imitation of the hub."""

import json

from gguf_writer import Typed, real_header, write
from hub import Hub, Sparse
from safetensors_writer import checkpoint
from safetensors_writer import write as write_safetensors
from tonnage.model import catalogue, gguf
from tonnage.remote import opening
from tonnage.remote.access import Access

QUICK = Access(connect_seconds=2.0, read_seconds=0.4, total_seconds=8.0, attempts=3, longest_wait_seconds=1.0)
"""the user's own access, less patient"""
PATIENT = Access(connect_seconds=20.0, read_seconds=20.0, total_seconds=60.0, attempts=3, longest_wait_seconds=1.0)
"""for tests that count requests: on a busy machine nothing is asked for twice"""


def forget_models(hub: Hub) -> None:
    """A new process: models in memory are gone, and requests are counted anew."""
    opening._cache.clear()
    hub.forget()


def gguf_file(name: str = "llama3.1-8b") -> Sparse:
    """A whole GGUF file, its data all zero."""
    head = real_header(name)
    return Sparse(head, gguf.parse(head).file_bytes_needed)


def long_gguf(vocabulary_bytes: int = 2_000_000) -> Sparse:
    """The same model behind a long vocabulary, which no plan knows."""
    plain = gguf.parse(real_header("llama3.1-8b"))
    metadata = {key: value for key, value in plain.metadata.items() if not isinstance(value, gguf.Skipped)}
    head = write({**metadata, "tokenizer.ggml.tokens": Typed("str", ["x" * 8] * (vocabulary_bytes // 16))}, plain.tensors)
    return Sparse(head, gguf.parse(head).file_bytes_needed)


def split_gguf(parts: int = 3) -> dict[str, Sparse]:
    """The model in several files, as llama-gguf-split names them: the first holds the metadata."""
    whole = gguf.parse(real_header("llama3.1-8b"))
    metadata = {key: value for key, value in whole.metadata.items() if not isinstance(value, gguf.Skipped)}
    size = -(-len(whole.tensors) // parts)
    found = {}
    for no in range(parts):
        split = {"split.no": Typed("u16", no), "split.count": Typed("u16", parts), "split.tensors.count": Typed("i32", len(whole.tensors))}
        head = write({**(metadata if no == 0 else {}), **split}, whole.tensors[no * size : (no + 1) * size])
        found[f"model-Q4_K_M-{no + 1:05d}-of-{parts:05d}.gguf"] = Sparse(head, gguf.parse(head).file_bytes_needed)
    return found


def config_bytes(name: str = "qwen3-0.6b") -> bytes:
    """The config.json of a built-in model."""
    return json.dumps(catalogue.row(name)["config"]).encode()


def safetensors_repo(shards: int = 2, name: str = "qwen3-0.6b") -> dict[str, bytes | Sparse]:
    """A repo of so many shards: config, index, and files that are all zero behind their headers."""
    rows = checkpoint(catalogue.model(name)).tensors
    files: dict[str, bytes | Sparse] = {"config.json": config_bytes(name), "README.md": b"# a model"}
    weight_map = {}
    for no in range(shards):
        part = rows[no * len(rows) // shards : (no + 1) * len(rows) // shards]
        path = f"model-{no + 1:05d}-of-{shards:05d}.safetensors" if shards > 1 else "model.safetensors"
        head = write_safetensors(part, {"format": "pt"})
        files[path] = Sparse(head, len(head) + sum(row.nbytes for row in part))
        weight_map |= {row.name: path for row in part}
    if shards > 1:
        files["model.safetensors.index.json"] = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}).encode()
    return files


def vocabulary_gguf(name: str = "qwen3.5-122b-a10b", pre: str = "qwen35", tokens: int = 248320, kv_bytes: int = 10_943_400) -> Sparse:
    """A file as a converter makes it: keys of the model, a vocabulary of this length, small keys behind it."""
    model = catalogue.model(name)
    keys = {f"{model.architecture}.{key}": list(value) if isinstance(value, tuple) else value for key, value in model.hparams.items()}
    before = {"general.architecture": model.architecture, **keys, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre}
    behind = {"tokenizer.ggml.eos_token_id": 2, "tokenizer.chat_template": "{% x %}" * 1200, "general.file_type": 15}
    each, spare = divmod(kv_bytes - len(write({**before, **_arrays([], 0), **behind})), tokens)
    arrays = _arrays([f"{i:x}" for i in range(tokens)], each - 20, spare)
    head = write({**before, **arrays, **behind}, model.tensors)
    return Sparse(head, gguf.parse(head).file_bytes_needed)


def _arrays(tokens: list[str], width: int, wider: int = 0) -> dict[str, Typed]:
    """A vocabulary whose token and merge have so many characters together, the first ones one more."""
    return {
        "tokenizer.ggml.tokens": Typed("str", [token.rjust(width // 3, ".") for token in tokens]),
        "tokenizer.ggml.token_type": Typed("i32", [1] * len(tokens)),
        "tokenizer.ggml.merges": Typed("str", [f"{token} {token}".rjust(width - width // 3 + (i < wider), ".") for i, token in enumerate(tokens)]),
    }
