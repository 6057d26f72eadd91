"""A question, and the one codec for its forms: command line, query string, JSON and Python keywords."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tonnage.errors import QuestionError, nearest
from tonnage.frozen import dataclass
from tonnage.keys import KEYS, OPTIONS, SPELLINGS
from tonnage.values import format_values, parse

_MAX_FIELDS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything that is asked; None is "not given". `keys.py` tells what each key means.

    The constructor takes values as they are; `from_dict(keywords)` reads and checks them.
    """

    model: str
    quant: str | None = None
    imatrix: bool | None = None
    rules: str | None = None
    output_type: str | None = None
    embedding_type: str | None = None
    mtp: bool | None = None
    mmproj: str | None = None
    draft: str | None = None
    lora: tuple[str, ...] | None = None
    approximate: bool | None = None
    context: int | str | None = None
    users: int | None = None
    depth: int | None = None
    engine: str | None = None
    engine_version: str | None = None
    backend: str | None = None
    device: tuple[str, ...] | None = None
    device_file: str | None = None
    in_use: tuple[int, ...] | None = None
    ram: str | None = None
    margin: int | None = None
    os: str | None = None
    display: bool | None = None
    wired_limit: int | None = None
    profile: str | None = None
    n_ctx: int | None = None
    slots: int | None = None
    kv_unified: bool | None = None
    batch: int | None = None
    ubatch: int | None = None
    flash_attn: str | None = None
    cache_type_k: str | None = None
    cache_type_v: str | None = None
    swa_full: bool | None = None
    kv_offload: bool | None = None
    op_offload: bool | None = None
    gpu_layers: int | None = None
    n_cpu_moe: int | None = None
    cpu_moe: bool | None = None
    override_tensor: str | None = None
    tensor_split: tuple[float, ...] | None = None
    main_gpu: int | None = None
    split_mode: str | None = None
    mmap: bool | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    data_parallel: int | None = None
    expert_parallel: int | None = None
    gpu_memory_utilization: float | None = None
    mem_fraction_static: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    kv_cache_dtype: str | None = None
    block_size: int | None = None
    prefix_caching: bool | None = None
    speculative: str | None = None
    available_kv: int | None = None
    train: str | None = None
    lora_rank: int | None = None
    optimizer: str | None = None
    sequence: int | None = None
    micro_batch: int | None = None
    checkpointing: bool | None = None
    shard: str | None = None
    train_dtype: str | None = None
    prompt: int | None = None
    acceptance: float | None = None
    disk: str | None = None
    internet: str | None = None
    price: float | None = None
    hours: float | None = None
    rent: float | None = None
    country: str | None = None
    token_price: float | None = None
    power_limit: float | None = None
    host_watts: float | None = None
    idle_watts: float | None = None
    psu: float | None = None


# --- reading ------------------------------------------------------------------------------------

Pair = tuple[str, Any]
"""a key's name and a value as it was written"""


def collect(pairs: Iterable[Pair]) -> dict[str, Any]:
    """The values of all keys that were given; a list's items are gathered, other keys stand once."""
    given: dict[str, Any] = {}
    for name, raw in pairs:
        key, value = KEYS[name], parse(KEYS[name], raw)
        if value is None:
            continue
        before = given.get(name)
        if before is None:
            given[name] = value
        elif key.is_list:
            given[name] = before + value
        elif before == value:
            continue
        elif key.join:
            given[name] = before + key.join + value
        else:
            raise QuestionError(f"{name} is given twice: {before} and {value}")
    return given


def of_pairs(pairs: Iterable[Pair]) -> Question:
    """The question that the pairs make."""
    given = collect(pairs)
    if "model" not in given:
        raise QuestionError("model is missing: a built-in name (see `tonnage models`), a path or a hub id")
    return Question(**given)


def from_dict(given: Mapping[str, Any]) -> Question:
    """A question of JSON or Python keywords, by our names or the engines' spellings."""
    if not isinstance(given, Mapping):
        raise QuestionError(f"a question must be a JSON object of keys and values, not {type(given).__name__}")
    return of_pairs(pairs_of_dict(given))


def pairs_of_dict(given: Mapping[str, Any]) -> list[Pair]:
    """Keys by any spelling -> keys by their names."""
    return [_pair(spelling, value) for spelling, value in given.items()]


def _pair(spelling: str, value: Any) -> Pair:
    name, alone = SPELLINGS.get(spelling) or SPELLINGS.get(spelling.lstrip("-").replace("-", "_")) or (None, None)
    if name is None:
        raise QuestionError(f"unknown key {spelling[:60]!r}", nearest(spelling[:60], KEYS))
    if alone is None or value is None:
        return name, value
    return name, _alone(spelling, alone, parse(KEYS["mmap"]._replace(name=spelling), value))


def _alone(spelling: str, value: str, wanted: bool) -> str | None:
    """What a spelling such as `no_mmap` says when it is true, and when it is false."""
    if wanted:
        return value
    return {"true": "false", "false": "true"}.get(value)


def from_query(query: str) -> Question:
    """A question of a query string, with or without its `?`; empty fields, as forms send them, are not given."""
    return of_pairs(pairs_of_fields(fields_of(query)))


def fields_of(query: str) -> list[tuple[str, str]]:
    """The fields of a query string, blank ones too."""
    from urllib.parse import parse_qsl

    try:
        return parse_qsl(query.removeprefix("?"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise QuestionError(f"a query string may have {_MAX_FIELDS} fields at most") from None


def pairs_of_fields(fields: Iterable[tuple[str, str]]) -> list[Pair]:
    """Fields by any spelling -> keys by their names."""
    return [_pair(spelling, _field(spelling, value)) for spelling, value in fields]


def _field(spelling: str, value: str) -> str | None:
    """A blank field counts for a switch alone: `&swa_full`."""
    name, alone = SPELLINGS.get(spelling, (None, None))
    return value if value or alone or (name and KEYS[name].kind == "switch") else None


def from_argv(words: Sequence[str]) -> Question:
    """A question of command-line words: the model, then options in any order."""
    pairs, positionals = scan(words, OPTIONS)
    if len(positionals) > 1:
        raise QuestionError(f"one model is asked about, but {len(positionals)} are given: {' '.join(positionals)}")
    return of_pairs([*(("model", word) for word in positionals), *pairs])


def scan(words: Sequence[str], options: Mapping[str, tuple[str, str | None]]) -> tuple[list[Pair], list[str]]:
    """Words of a command line -> (name, value) of options, and the words that are none.

    `options` maps an option to its name and to the value that it stands for alone (None: one follows).
    """
    pairs: list[Pair] = []
    positionals: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            positionals += rest
        elif word == "-" or not word.startswith("-"):
            positionals.append(word)
        else:
            pairs.append(_option(word, rest, options))
    return pairs, positionals


def _option(word: str, rest: Iterable[str], options: Mapping[str, tuple[str, str | None]]) -> Pair:
    option, equals, value = word.partition("=")
    name, alone = options.get(option, (None, None))
    if name is None:
        raise QuestionError(f"unknown option {option[:60]}", nearest(option[:60], options))
    if equals:
        return name, value if alone is None else _alone(option, alone, parse(KEYS["mmap"]._replace(name=option), value))
    if alone is not None:
        return name, alone
    following = next(iter(rest), None)
    if following is None:
        raise QuestionError(f"{option} needs a value")
    return name, following


# --- writing ------------------------------------------------------------------------------------


def given(question: Question) -> dict[str, Any]:
    """The keys that were given, in the table's order."""
    values = {name: getattr(question, name) for name in KEYS}
    return {name: value for name, value in values.items() if value is not None}


def to_dict(question: Question) -> dict[str, Any]:
    """The keys that were given, as JSON has them: numbers as they are, lists as lists."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given(question).items()}


def to_query(question: Question) -> str:
    """The canonical query string: short letters where there are some, the table's order."""
    from urllib.parse import quote, urlencode

    fields = [(KEYS[name].short or name, text) for name, value in given(question).items() for text in format_values(KEYS[name], value)]
    return urlencode(fields, quote_via=quote, safe="/:,")


def to_argv(question: Question) -> list[str]:
    """The canonical words of a command line."""
    values = given(question)
    model = values.pop("model")
    words = ["--model", model] if model.startswith("-") else [model]
    for name, value in values.items():
        key = KEYS[name]
        if key.kind == "switch":
            words.append(key.option if value else "--no-" + name.replace("_", "-"))
        else:
            words += [word for text in format_values(key, value) for word in (key.option, text)]
    return words
