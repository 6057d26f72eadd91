"""Rebuild src/tonnage/data/models/ and its index from a folder of model files.

    python scripts/make_catalogue.py FOLDER

Each file of FOLDER is a JSON object with hf_id, source, verified, license, release, params and config, as
docs/adding.md tells. All of it is kept; `upload` (config fields as the published tensors have them) and
`left_out` (parameters that the converter drops) are added where they are known.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "src/tonnage/data"
sys.path.insert(0, str(DATA.parents[1]))

from tonnage.model import build  # noqa: E402
from tonnage.model.config import SPELLINGS, Config  # noqa: E402

NO_BUILDER = {
    "Aleph-Alpha/Kolibri-1": "llama.cpp b11434 has no converter for kolibri1: no GGUF exists",
    "LiquidAI/LFM3-1.7B": "llama.cpp b11434 has no converter for lfm3: no GGUF exists",
    "mistralai/Mistral-Large-4-1T-A52B": "llama.cpp b11434 has no converter for it: no GGUF exists",
    "thinkingmachines/Inkling": "llama.cpp b11434 has no converter for inkling_mm_model: no GGUF exists",
    "meta-llama/Llama-3.2-11B-Vision-Instruct": "llama.cpp b11434 has no converter for mllama: no GGUF exists",
    "deepseek-ai/DeepSeek-V4.1-Flash": "llama.cpp b11434 has no converter for deepseek_v4_1: no GGUF exists",
}
# What a config cannot tell of its upload: the published total holds one MTP block, none, or one without copies.
UPLOADS = {
    "Qwen/Qwen3-Next-80B-A3B-Instruct": {"mtp_num_hidden_layers": 1},
    "Qwen/Qwen3-Coder-Next": {"mtp_num_hidden_layers": 0},
    "tencent/Hy3": {"num_nextn_predict_layers": 1},
    "zai-org/GLM-4.6": {"_name_or_path": "zai-org/GLM-4.6"},
}
# Parameters that are published but that llama.cpp's converter leaves out, where `params` do not name them:
# the MTP block (for V4 with its scales), and the vision tower of Kimi-K3 by subtraction.
_DEEPSEEK_V3_MTP = {"mtp": 13_463_426_304}
LEFT_OUT = {
    "deepseek-ai/DeepSeek-R1": _DEEPSEEK_V3_MTP,
    "deepseek-ai/DeepSeek-R1-0528": _DEEPSEEK_V3_MTP,
    "deepseek-ai/DeepSeek-V3": _DEEPSEEK_V3_MTP,
    "deepseek-ai/DeepSeek-V3-0324": _DEEPSEEK_V3_MTP,
    "deepseek-ai/DeepSeek-V3.1": _DEEPSEEK_V3_MTP,
    "deepseek-ai/DeepSeek-V4-Flash": {"mtp": 6_610_048_891},
    "deepseek-ai/DeepSeek-V4-Pro": {"mtp": 25_840_145_979},
    "tencent/Hy4-preview": {"mtp": 10_053_583_936},
    "baidu/ERNIE-4.5-21B-A3B-PT": {"mtp": 123_217_920},
    "zai-org/GLM-5.3-Flash": {"mtp": 7_536_130_080},
    "moonshotai/Kimi-K3": {"vision": 447_361_184},
}
SUFFIXES = re.compile(r"-(instruct|it|bf16|rl|[012]\d{3}|\d\d-20\d\d|17b-\d+e|(?<=b-)v0\.\d|(?<=b-instruct-)v0\.\d)(?=-|$)")
PREFIXES = re.compile(r"^(meta-llama-|nvidia-|c4ai-|ai21-)")


def main(folder: str) -> None:
    rows = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    (DATA / "models").mkdir(parents=True, exist_ok=True)
    for row in rows:
        more = {"upload": upload(row), "left_out": LEFT_OUT.get(row["hf_id"])}
        row |= {key: value for key, value in more.items() if value}
        row["source"] = re.sub(r" during this \w+", "", row["source"])
        write(DATA / "models" / file_name(row["hf_id"]), row)
    aliases = aliases_of([short_name(row["hf_id"]) for row in rows])
    index = [index_row(row, aliases[short_name(row["hf_id"])]) for row in rows]
    lines = ",\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in index)
    (DATA / "models.json").write_text(f"[\n{lines}\n]\n")


def write(path: Path, row: Any) -> None:
    path.write_text(json.dumps(row, separators=(",", ":"), ensure_ascii=False) + "\n")


def file_name(hf_id: str) -> str:
    return hf_id.replace("/", "--") + ".json"


def short_name(hf_id: str) -> str:
    return hf_id.rpartition("/")[2].lower()


def upload(row: dict[str, Any]) -> dict[str, Any]:
    """Config fields as the published tensors have them, read off the published count.

    A tied head that is stored twice makes the count larger by one embedding; a checkpoint without the
    multi-token-prediction block that its config names has no parameters beyond those counted.
    """
    params, config = row["params"], Config(row["config"])
    beyond = params.get("mtp_and_other")
    fields: dict[str, Any] = {}
    if params.get("tied") and beyond and beyond == params["embedding"]:
        fields["tie_word_embeddings"] = False
    if beyond == 0 and config.get("n_nextn"):
        fields |= {spelling: 0 for spelling in SPELLINGS["n_nextn"] if spelling in config}
    return fields | UPLOADS.get(row["hf_id"], {})


def aliases_of(names: list[str]) -> dict[str, list[str]]:
    """Shorter forms of each name that no other model could mean."""
    forms = {name: shorter(name) - {name} for name in names}
    taken = Counter(form for candidates in forms.values() for form in candidates) + Counter(names)
    return {name: sorted(form for form in candidates if taken[form] == 1) for name, candidates in forms.items()}


def shorter(name: str) -> set[str]:
    """`name` without its maker's prefix, without the words that all chat models bear, without its date."""
    bare = PREFIXES.sub("", name)
    chat = re.sub(r"-(instruct|it|bf16)(?=-|$)", "", bare)
    return {bare, chat, SUFFIXES.sub("", bare)}


def index_row(row: dict[str, Any], aliases: list[str]) -> dict[str, Any]:
    hf_id, params = row["hf_id"], row["params"]
    entry = {"hf_id": hf_id, "name": short_name(hf_id), "aliases": aliases}
    if hf_id in NO_BUILDER:
        context = Config(row["config"]).get("n_ctx_train")
        return entry | {"architecture": None, "why": NO_BUILDER[hf_id], "context": context, "total": params["hf_total"] or params["total_counted"]}
    model = build.from_row(row)
    return entry | {"architecture": model.architecture, "context": model.context, "total": model.parameters.total}


if __name__ == "__main__":
    main(sys.argv[1])
