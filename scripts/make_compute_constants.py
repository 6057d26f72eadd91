"""Write data/llamacpp_compute.json from a folder of measured runs.

Usage: make_compute_constants.py ORACLE_DIR, which holds catalog-compute.json, catalog/*.json and
llama-cases.json (runs of llama.cpp build 11434 on one emulated CUDA device and on the CPU).
"""

import json
import pathlib
import sys

from tonnage.engines.llamacpp.compute.constants import shape_key
from tonnage.model.hparams import Hparams

OUT = pathlib.Path(__file__).parent.parent / "src/tonnage/data/llamacpp_compute.json"
KINDS = ("cuda_w", "cuda_w_4slots", "cuda_w_attn_quant_kv", "cuda_w_fa_off", "cpu_w", "cpu_w_4slots", "cpu_w_quant_kv", "cpu_w_fa_off")


def main(oracle: pathlib.Path) -> None:
    """Rows by shape; a model's real configuration wins over a hand-made header of the same shape."""
    rows: dict[str, dict[str, object]] = {}
    for name, model in json.loads((oracle / "llama-cases.json").read_text())["models"].items():
        architecture = model["metadata"]["general.architecture"]
        w = dict(model["compute_width"])
        if w.get("cuda_w_fa_off"):
            w["cpu_w_fa_off"] = w["cuda_w_fa_off"] + model["metadata"][f"{architecture}.embedding_length"]
        rows[shape_key(architecture, Hparams.of(architecture, model["metadata"]))] = _row(name, w)
    for name, w in json.loads((oracle / "catalog-compute.json").read_text()).items():
        metadata = json.loads((oracle / "catalog" / (name.replace("/", "--") + ".json")).read_text())["metadata"]
        rows[shape_key(w["arch"], Hparams.of(w["arch"], metadata))] = _row(name, w)
    about = "live floats per token at the peak of the compute buffer, ubatch 512, measured on llama.cpp b11434; no value means not measured"
    OUT.write_text(json.dumps({"about": about, "rows": rows}, separators=(",", ":")) + "\n")
    print(len(rows), "rows,", OUT.stat().st_size, "bytes")


def _row(name: str, w: dict[str, float]) -> dict[str, object]:
    return {"from": name, **{k: w[k] for k in KINDS if w.get(k) and w[k] > 0}}


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
