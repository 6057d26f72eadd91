"""What the metadata of a GGUF take: nearly all of it is the tokenizer, so they are constant per vocabulary.

Sources: sizes of published files less their tensor table and tensor data (tests/data/published-sizes.json). Files of one
vocabulary lie within some thousand bytes of each other: chat templates and names differ.
"""

from typing import NamedTuple

_QWEN = ("qwen2", "qwen2vl", "qwen3", "qwen3moe", "qwen3next", "qwen3vl", "qwen3vlmoe")
_PADDING_TOKEN = 8 + len("[PAD151936]") + 4
"""length, text and type of a token that only fills up the vocabulary (conversion/base.py)"""


class Vocabulary(NamedTuple):
    """A tokenizer as a header names it, and the bytes of all metadata in files that hold it."""

    name: str
    """tokenizer.ggml.pre, or tokenizer.ggml.model where that is `default` or missing"""
    tokens: int
    kv_bytes: int
    """from the beginning of the file to its tensor table"""
    architectures: tuple[str, ...] = ()
    """those whose files of this many tokens hold this tokenizer; empty where too few sizes were seen to predict others"""


KNOWN = (
    Vocabulary("qwen2", 151936, 5_934_300, _QWEN),
    Vocabulary("qwen2", 152064, 5_934_300 + (152064 - 151936) * _PADDING_TOKEN, _QWEN),
    Vocabulary("qwen35", 248320, 10_943_400, ("qwen35", "qwen35moe")),
    Vocabulary("llama-bpe", 128256, 7_822_900, ("llama", "deci")),
    Vocabulary("tekken", 131072, 8_392_000, ("mistral3",)),
    Vocabulary("gpt-4o", 201088, 12_980_300, ("gpt-oss",)),
    Vocabulary("llama", 262144, 6_513_100, ("gemma3",)),
    Vocabulary("llama", 262208, 6_514_900, ("gemma3",)),
    Vocabulary("llama", 256000, 6_029_400, ("gemma2",)),
    # the two ends are Mistral 7B v0.1 and WizardLM 13B
    Vocabulary("llama", 32000, 720_700, ("llama",)),
    Vocabulary("llama", 32003, 724_000, ("llama",)),
    Vocabulary("llama", 32768, 760_000),
    Vocabulary("glm4", 154880, 9_420_000),
)

_BYTES_PER_TOKEN = {"gpt2": 44, "llama": 23}
"""by tokenizer.ggml.model; those of KNOWN take 39 to 65 and 22 to 25"""


def of_header(name: object, tokens: int) -> Vocabulary | None:
    """The vocabulary that a header names; None where it is not known."""
    return next((known for known in KNOWN if (known.name, known.tokens) == (name, tokens)), None)


def kv_bytes(model: str, pre: str, tokens: int) -> int | None:
    """How far it is to the tensor table behind this vocabulary; a sentencepiece model has the pre-tokenizer `default`."""
    known = of_header(pre, tokens) or of_header(model, tokens)
    return known.kv_bytes if known else None


def about_bytes(model: str, tokens: int) -> int:
    """Of the metadata behind an unknown vocabulary: a token's text, type, and merge or score, rather too few."""
    return _BYTES_PER_TOKEN.get(model, 16) * tokens


def of_model(architecture: str, tokens: int) -> Vocabulary | None:
    """The vocabulary of a model of this architecture with so many rows of embedding; None where it is not known."""
    return next((known for known in KNOWN if architecture in known.architectures and known.tokens == tokens), None)
