"""Writes the seeds of the fuzzers: one small file for each thing that a header can hold.

usage: python fuzz/make_corpus.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import safetensors_writer as st  # noqa: E402
from gguf_writer import KINDS, Typed, preamble, write  # noqa: E402
from tonnage.model.safetensors import DTYPES, Stored  # noqa: E402
from tonnage.model.types import Tensor  # noqa: E402
from tonnage.quant.types import TYPES  # noqa: E402

NUMBERS = [kind for kind in KINDS if kind not in ("str", "arr")]
SPLIT = {"split.no": Typed("u16", 0), "split.count": Typed("u16", 2), "split.tensors.count": Typed("i32", 2)}
TENSORS = [Tensor("token_embd.weight", (256, 2), "q4_K"), Tensor("blk.0.attn_q.weight", (32, 2, 2, 1), "q8_0"), Tensor("b", (3,), "f32")]
SEEDS = {
    "empty": write({}),
    "scalars": write({kind: Typed(kind, 1) for kind in NUMBERS} | {"text": "é"}),
    "arrays": write({kind: Typed(kind, [1, 0]) for kind in NUMBERS} | {"texts": ["a", "", "bc"]}),
    "tensors": write({"general.architecture": "llama"}, TENSORS),
    "types": write({}, [Tensor(name, (256,), name) for name in TYPES]),
    "aligned": write({}, TENSORS, alignment=64, version=2),
    "split": write(SPLIT, TENSORS[:1]),
    "counts": preamble(2**20, 2**16),
    "version-1": preamble(0, 0, 1),
}
STORED = [Stored("model.embed_tokens.weight", "BF16", (4, 2)), Stored("é", "F32", ()), Stored("lm_head.weight", "F8_E4M3", (2, 0))]
SAFETENSORS = {
    "empty": st.write([]),
    "tensors": st.write(STORED, {"format": "pt", "log": "\n" * 5000}),
    "dtypes": st.write([Stored(dtype, dtype, (8,)) for dtype in DTYPES]),
    "other-order": st.head('{"a":{"shape":[1],"more":"}{","data_offsets":[0,2],"dtype":"BF16"}}'),
    "hole": st.head('{"a":' + st.entry(2, 4) + "}"),
    "length": st.head("{", length=2**63),
    "text": st.write(STORED)[8:],
    "index": b'{"metadata":{"total_size":1.0,"x":[{}]},"weight_map":{"a":"1.safetensors","b\\u0041":"d/2.safetensors"}}',
}
VOCABULARY = {
    "general.architecture": "llama",
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": Typed("str", ["ab"] * 30),
    "tokenizer.ggml.token_type": Typed("i32", [1] * 30),
    "tokenizer.ggml.merges": Typed("str", ["a b"] * 20),
}


def guessed(behind: dict[str, object], off_by: int = 0) -> bytes:
    """A file with a vocabulary and these keys behind it, after a guess that is off by some bytes."""
    head = write({**VOCABULARY, **behind}, TENSORS[:1])
    return (len(head) - 60 + off_by).to_bytes(2, "little") + head


REMOTE = {
    "right": guessed({"general.file_type": 15}),
    "early": guessed({"general.file_type": 15}, -50),
    "late": guessed({"general.file_type": 15}, 50),
    "template": guessed({"tokenizer.chat_template": "{% x %}" * 40, "llama.late": 7}),
    "late-template": guessed({"llama.late": 7, "tokenizer.chat_template": "{% x %}" * 40}),
    "odd": guessed({"Odd Key": 7, "general.file_type": 15}),
    "small": b"\0\1" + SEEDS["tensors"],
}


def main() -> None:
    """Write every seed."""
    for kind, seeds in (("gguf", SEEDS), ("safetensors", SAFETENSORS), ("gguf_remote", REMOTE)):
        folder = ROOT / "fuzz" / "corpus" / kind
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in seeds.items():
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
