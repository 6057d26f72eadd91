"""Every key of a question, once: what drives command line, query string, JSON, schema, help and completion.

The keys and their meaning are a contract (docs/cli.md lists them). Spellings of the engines:
llama.cpp build 11434 (common/arg.cpp), vLLM 0.30, SGLang 0.5.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tonnage.quant.types import TYPES

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
"""what llama.cpp's -ctk and -ctv take"""

_ON_OFF = {"1": "on", "true": "on", "enabled": "on", "0": "off", "false": "off", "disabled": "off", "-1": "auto"}


class Key(NamedTuple):
    """One key. Its long option is the name with `-` for `_`."""

    name: str
    kind: str
    """text, choice, tokens, count, number, size, switch; texts, sizes, numbers are lists"""
    help: str
    default: str
    """what is taken where it is not given, in words"""
    short: str = ""
    """the letter of the short option, and of the query string"""
    choices: tuple[str, ...] = ()
    """all that a `choice` may be; suggestions for a `text`"""
    words: Mapping[str, str | int | None] = {}
    """words that stand for a value; None is as good as not given"""
    minimum: int = 0
    aliases: tuple[str, ...] = ()
    """the engines' spellings that take a value"""
    flags: Mapping[str, str] = {}
    """the engines' spellings that take none, and the value they stand for"""
    join: str = ""
    """what joins the values of a `text` that may be repeated"""
    metavar: str = ""
    """what help shows for the value"""
    unit: str = ""
    """what may be written behind a `number`"""

    @property
    def option(self) -> str:
        """The long option."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_list(self) -> bool:
        """Whether several values may be given."""
        return self.kind in ("texts", "sizes", "numbers")


class Group(NamedTuple):
    """Keys that belong together, in the order in which help shows them."""

    title: str
    keys: tuple[Key, ...]


def _switch(name: str, text: str, default: str, on: str = "", off: str = "") -> Key:
    """A switch; `on` and `off` are the engines' spellings, separated by blanks."""
    flags = {**dict.fromkeys(on.split(), "true"), **dict.fromkeys(off.split(), "false")}
    return Key(name, "switch", text, default, flags=flags)


_LLAMA = "llama.cpp's"
_SERVER = "that version's"

GROUPS = (
    Group("what is loaded", (
        Key("model", "text", "built-in name, hub id, id:QUANT, URL, ollama:name, or path of a GGUF file, a folder or a config.json", "required", "m",
            metavar="MODEL"),
        Key("quant", "text", "recipe or format of the weights; `file` is as stored", "file for a file, else the engine's usual one", "q",
            choices=("file", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_0", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "Q8_0", "IQ4_XS",
                     "BF16", "F16"), aliases=("--quantization",), metavar="QUANT"),
        _switch("imatrix", "the predicted file is made with an importance matrix", "false"),
        Key("rules", "choice", "generation of llama.cpp's rules for tensor types", "2026", choices=("2026", "2025")),
        Key("output_type", "choice", "type of the output tensor, against the recipe", "none", choices=tuple(TYPES),
            aliases=("--output-tensor-type",)),
        Key("embedding_type", "choice", "type of the embedding, against the recipe", "none", choices=tuple(TYPES),
            aliases=("--token-embedding-type",)),
        _switch("mtp", "the file holds the blocks of multi-token prediction", "as the converter does"),
        Key("mmproj", "text", "file of the vision projector: path, URL or org/repo/file", "none", aliases=("-mm",), metavar="FILE"),
        Key("draft", "text", "draft model for speculative decoding", "none", aliases=("-md", "--model-draft", "--spec-draft-model"), metavar="MODEL"),
        Key("lora", "texts", "adapter: path, URL or org/repo/file; may be repeated", "none", metavar="FILE"),
        _switch("approximate", "answer an unknown architecture with a bracket", "false"),
    )),
    Group("what is asked of it", (
        Key("context", "tokens", "tokens that one request may hold, or `native`", "32K, or native if smaller", "c", words={"native": "native"},
            minimum=1, aliases=("--max-model-len", "--context-length"), metavar="TOKENS"),
        Key("users", "count", "requests at the same time, each of which can hold the context", "1", "u", minimum=1),
        Key("depth", "tokens", "tokens already in the cache, for speed", "0", metavar="TOKENS"),
        Key("engine", "text", "program that loads the model", "llama.cpp", "e",
            choices=("llama.cpp", "vllm", "sglang", "transformers", "mlx", "exllamav3"), metavar="ENGINE"),
        Key("engine_version", "text", "version of the engine, such as b11434", "newest known", metavar="VERSION"),
        Key("backend", "choice", "what the engine computes with; cuda and cpu are proven", "from the device, else cuda",
            choices=("cuda", "rocm", "metal", "vulkan", "cpu")),
    )),
    Group("what it runs on", (
        Key("device", "texts", "RTX 4090, 2x 3090, m4 max 128, 24GB, cuda:23990MiB-free, or `this` machine; may be repeated",
            "no limit, one GPU", "d", metavar="DEVICE"),
        Key("device_file", "text", "TOML file of your own devices", "$TONNAGE_DEVICES, else devices.toml among your settings", metavar="FILE"),
        Key("in_use", "sizes", "memory already taken on each device", "0; for `this` what is measured", metavar="SIZE"),
        Key("ram", "text", "host memory: 64GB, with its kit 96GB DDR5-6000 x2, or the kit alone",
            "unlimited; for `this` what is measured", metavar="SIZE"),
        Key("margin", "size", "memory to leave free on each device", "the engine's own; llama.cpp 1GiB", metavar="SIZE"),
        Key("os", "choice", "operating system, for what a device can spare; macos15 is macOS 13 to 15", "macos for Apple's, else linux",
            choices=("linux", "windows", "macos", "macos15")),
        _switch("display", "a display hangs on the first device", "false"),
        Key("wired_limit", "size", "what the GPU may take of unified memory: iogpu.wired_limit_mb as sysctl shows it, or a size", "the system's",
            metavar="SIZE"),
    )),
    Group("llama.cpp", (
        Key("profile", "choice", "llama-server's defaults, or those of the command-line tools", "server", choices=("server", "tools")),
        Key("n_ctx", "tokens", "cells of all slots together, instead of context and users; 0 is the model's own", "context x users",
            aliases=("--ctx-size",), metavar="TOKENS"),
        Key("slots", "count", "sequences at a time", "users if more than 1, else server 4, tools 1", minimum=1, words={"auto": None, "-1": None},
            aliases=("-np", "--parallel")),
        _switch("kv_unified", "slots share one cache", "server: true unless slots is given", "-kvu", "-no-kvu"),
        Key("batch", "tokens", "logical batch", _LLAMA, minimum=1, aliases=("-b", "--batch-size"), metavar="TOKENS"),
        Key("ubatch", "tokens", "physical batch", _LLAMA, minimum=1, aliases=("-ub", "--ubatch-size"), metavar="TOKENS"),
        Key("flash_attn", "choice", "flash attention", "auto", choices=("on", "off", "auto"), words=_ON_OFF, aliases=("-fa",)),
        Key("cache_type_k", "choice", "type of cached keys", "f16", choices=CACHE_TYPES, aliases=("-ctk",)),
        Key("cache_type_v", "choice", "type of cached values", "f16", choices=CACHE_TYPES, aliases=("-ctv",)),
        _switch("swa_full", "sliding-window layers cache the whole context", "false"),
        _switch("kv_offload", "cache and state live on the GPU", "true", "-kvo", "-nkvo"),
        _switch("op_offload", "the GPU computes with weights that lie in host memory", "true"),
        Key("gpu_layers", "count", "layers on GPUs, counted from the back; all or auto", "auto", minimum=-2, words={"auto": -1, "all": -2},
            aliases=("-ngl", "--n-gpu-layers")),
        Key("n_cpu_moe", "count", "experts of the first N layers stay in host memory", "0", aliases=("-ncmoe",)),
        _switch("cpu_moe", "all experts stay in host memory", "false", "-cmoe"),
        Key("override_tensor", "text", "PATTERN=CPU or PATTERN=CUDA0, comma-separated or repeated", "none", aliases=("-ot",), join=",",
            metavar="PATTERN=BUFFER"),
        Key("tensor_split", "numbers", "share of each GPU, such as 3,1", "free memory", aliases=("-ts",), metavar="N,N"),
        Key("main_gpu", "count", "the GPU used where the split mode is none", "0", aliases=("-mg",)),
        Key("split_mode", "choice", "how several GPUs share the model", "layer", choices=("none", "layer", "row", "tensor"), aliases=("-sm",)),
        _switch("mmap", "weights are mapped from the file", "true"),
    )),
    Group("serving engines", (
        Key("tensor_parallel", "count", "ranks that share each layer", "all devices that are named", minimum=1,
            aliases=("--tensor-parallel-size", "-tp", "--tp-size", "--tp")),
        Key("pipeline_parallel", "count", "ranks that share the layers out", "1", minimum=1,
            aliases=("--pipeline-parallel-size", "-pp", "--pp-size")),
        Key("data_parallel", "count", "replicas of the attention", "1", minimum=1, aliases=("--data-parallel-size", "-dp", "--dp-size")),
        Key("expert_parallel", "count", "ranks that share the experts out; all is vLLM's switch", "1", minimum=-1, words={"all": -1},
            aliases=("--ep-size", "--ep"), flags={"--enable-expert-parallel": "all"}),
        Key("gpu_memory_utilization", "number", "vLLM: share of the device's memory that it takes", _SERVER),
        Key("mem_fraction_static", "number", "SGLang: share of the device's memory for weights and cache", _SERVER),
        Key("max_num_seqs", "count", "requests that are computed at a time", _SERVER, minimum=1, aliases=("--max-running-requests",)),
        Key("max_num_batched_tokens", "tokens", "tokens of one step", _SERVER, minimum=1, metavar="TOKENS"),
        Key("kv_cache_dtype", "text", "type of the cache; of MLX and ExLlamaV3 bits such as 8 or 4", "auto",
            choices=("auto", "fp8", "fp8_e4m3", "fp8_e5m2", "bfloat16", "8", "4"), metavar="TYPE"),
        Key("block_size", "count", "tokens of one block of the cache", _SERVER, minimum=1, aliases=("--page-size",)),
        Key("prefix_caching", "switch", "requests share the blocks of equal beginnings", _SERVER,
            flags={"--enable-prefix-caching": "true", "--no-enable-prefix-caching": "false", "--disable-radix-cache": "false"}),
        Key("speculative", "text", "kind of speculative decoding, such as mtp", "none", choices=("mtp", "eagle3", "ngram"),
            aliases=("--spec-type", "--speculative-config", "--speculative-algorithm"), metavar="KIND"),
        Key("available_kv", "size", "bytes left for the cache, instead of a device", "from device and utilisation", metavar="SIZE"),
    )),
    Group("fine-tuning", (
        Key("train", "choice", "what is trained", "none", choices=("full", "lora", "qlora")),
        Key("lora_rank", "count", "rank of the adapters", "8", minimum=1),
        Key("optimizer", "text", "optimizer, as Transformers calls it", "adamw", metavar="NAME"),
        Key("sequence", "tokens", "tokens of one training sample", "the context", minimum=1, metavar="TOKENS"),
        Key("micro_batch", "count", "samples of one step on one device", "1", minimum=1),
        _switch("checkpointing", "activations are computed again in the backward pass", "false"),
        Key("shard", "choice", "how states are shared out", "none", choices=("none", "zero1", "zero2", "zero3", "fsdp")),
        Key("train_dtype", "text", "type of the weights in training", "bf16", metavar="TYPE"),
    )),
    Group("speed", (
        Key("prompt", "tokens", "tokens of a prompt, for the time to the first token", "512", minimum=1, metavar="TOKENS"),
        Key("acceptance", "number", "share of drafted tokens that is accepted, for speculative decoding", "0.5 to 0.9, likely 0.7", unit="%"),
        Key("disk", "text", "where the file is read from: a link such as NVMe Gen4, or a rate such as 500MB/s", "NVMe PCIe 4.0 x4", metavar="LINK"),
        Key("internet", "text", "what the file is downloaded over: a link or a rate", "Cable/fibre 100 Mb/s", metavar="LINK"),
    )),
    Group("cost", (
        Key("price", "number", "price of a kilowatt-hour", "the country's", unit="/kWh", metavar="PRICE"),
        Key("hours", "number", "hours of use per day", "8", unit="h"),
        Key("rent", "number", "price of an hour of the machine, in place of electricity", "none", unit="/h", metavar="PRICE"),
        Key("country", "text", "whose price of electricity, by name or code", "world average", metavar="COUNTRY"),
        Key("token_price", "number", "price of a million tokens elsewhere, for the break-even", "none", metavar="PRICE"),
        Key("power_limit", "number", "watts that each device may draw", "the device's rating", unit="W", metavar="WATTS"),
        Key("host_watts", "number", "watts of the rest of the machine under load", "60 beside cards", unit="W", metavar="WATTS"),
        Key("idle_watts", "number", "watts of the machine outside of its hours", "0", unit="W", metavar="WATTS"),
        Key("psu", "number", "efficiency of the power supply", "0.9", unit="%"),
    )),
)  # fmt: skip

KEYS: Mapping[str, Key] = {key.name: key for group in GROUPS for key in group.keys}


def _plain(spelling: str) -> str:
    """A spelling as query string and JSON have it: no dashes before, `_` within."""
    return spelling.lstrip("-").replace("-", "_")


def _spellings() -> dict[str, tuple[str, str | None]]:
    """Plain spelling -> key, and the value that the spelling alone stands for."""
    found: dict[str, tuple[str, str | None]] = {}
    for key in KEYS.values():
        found[key.name] = (key.name, None)
        found |= {_plain(alias): (key.name, None) for alias in (key.short, *key.aliases) if alias}
        found |= {_plain(flag): (key.name, value) for flag, value in key.flags.items()}
        if key.kind == "switch":
            found.setdefault("no_" + key.name, (key.name, "false"))
    return found


SPELLINGS: Mapping[str, tuple[str, str | None]] = _spellings()
"""everything that a key may be called in a query string or in JSON"""


def _options() -> dict[str, tuple[str, str | None]]:
    """The same for the command line, dashes and all."""
    found: dict[str, tuple[str, str | None]] = {}
    for key in KEYS.values():
        alone = "true" if key.kind == "switch" else None
        short = ("-" + key.short,) if key.short else ()
        found |= dict.fromkeys((key.option, *short, *key.aliases), (key.name, alone))
        found |= {flag: (key.name, value) for flag, value in key.flags.items()}
        if key.kind == "switch":
            found.setdefault("--no-" + key.name.replace("_", "-"), (key.name, "false"))
    return found


OPTIONS: Mapping[str, tuple[str, str | None]] = _options()
"""option -> key, and the value it stands for alone; None where a value follows"""
