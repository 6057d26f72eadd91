"""Writes the seeds of the GGUF fuzzer: one small file for each thing that a header can hold.

usage: python fuzz/make_corpus.py
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from gguf_writer import KINDS, Typed, preamble, write  # noqa: E402
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


def main() -> None:
    """Write every seed."""
    folder = ROOT / "fuzz" / "corpus" / "gguf"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in SEEDS.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
