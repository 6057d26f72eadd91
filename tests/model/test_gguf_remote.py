"""Reading a remote header in few bytes: always right, and short where the tokenizer is known."""

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_writer import Typed, real_header, write
from tonnage.errors import CorruptError
from tonnage.frozen import replace
from tonnage.model import gguf, gguf_remote
from tonnage.model.types import Tensor

Seen = dict[gguf_remote.Vocabulary, int]
TENSORS = (
    Tensor("token_embd.weight", (256, 64), "q4_K"),
    Tensor("blk.0.attn_norm.weight", (256,), "f32"),
    Tensor("output.weight", (256, 64), "q6_K"),
)


def vocabulary_file(total_kv: int, tokens: int = 248320, pre: str = "qwen35", tail: dict[str, Any] | None = None) -> bytes:
    """A header whose metadata take about `total_kv` bytes, most of them a vocabulary."""
    base = {"general.architecture": "llama", "llama.block_count": Typed("u32", 1), "llama.context_length": Typed("u32", 64)}
    base |= {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre}
    each = (total_kv - 600) // tokens - 8
    words = ["x" * each] * tokens
    rest = total_kv - 600 - tokens * (8 + each)
    more = {"tokenizer.ggml.tokens": words, "tokenizer.chat_template": "y" * max(rest, 0), **(tail or {})}
    return write({**base, **more}, TENSORS)


def run(head: bytes, file_bytes: int | None = None, seen: Seen | None = None) -> tuple[gguf.Header, list[gguf_remote.Range]]:
    """Follow the plan over a file, and what it asked for."""
    size = file_bytes or gguf.parse(head).file_bytes_needed
    plan, asked = gguf_remote.plan(size, seen or {}), []
    offset, length = next(plan)
    while True:
        asked.append((offset, length))
        data = head[offset : offset + length]
        data += b"\xa5" * (min(length, size - offset) - len(data))
        try:
            offset, length = plan.send(data)
        except StopIteration as stop:
            return stop.value, asked


def test_a_known_tokenizer_is_jumped_over() -> None:
    """Two ranges and under 2 % of the header: the keys at the beginning, and the table."""
    head = vocabulary_file(10_943_600, tail={"general.file_type": Typed("u32", 15)})
    header, asked = run(head)

    assert gguf.parse(head).tensors == header.tensors
    assert gguf.parse(head).data_offset == header.data_offset
    assert 15 == header.metadata["general.file_type"]
    assert 2 == len(asked)
    assert sum(length for _, length in asked) < len(head) // 50


@pytest.mark.parametrize("kv_bytes", [10_700_000, 11_200_000])
def test_a_guess_that_is_wrong_is_found_out(kv_bytes: int) -> None:
    """A tokenizer of an unusual size is read through, and answered right."""
    head = vocabulary_file(kv_bytes)
    header, asked = run(head)

    assert gguf.parse(head) == header
    assert sum(length for _, length in asked) >= len(head)


def small_file(pre: str = "small", tokens: int = 3000, behind: dict[str, Any] | None = None, **before: Any) -> bytes:
    """A header as a converter makes it, its vocabulary about 100 kB long."""
    arrays = {
        "tokenizer.ggml.tokens": Typed("str", [f"{i:06}" for i in range(tokens)]),
        "tokenizer.ggml.token_type": Typed("i32", [1] * tokens),
        "tokenizer.ggml.merges": Typed("str", [f"{i:03} {i:03}" for i in range(tokens)]),
    }
    base = {"general.architecture": "llama", "llama.block_count": 1, **before, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre}
    return write({**base, **arrays, "tokenizer.ggml.eos_token_id": 2, **(behind or {})}, TENSORS)


def taught(head: bytes, off_by: int = 0) -> Seen:
    """What reading this file teaches, off by some bytes."""
    learned = gguf_remote.vocabulary(gguf.parse(head))
    assert learned
    return {learned[0]: learned[1] + off_by}


def same(head: bytes, header: gguf.Header) -> bool:
    """Whether the header is what reading through gives, but for the vocabulary."""
    true = gguf.parse(head)
    left_out = {key: header.metadata.get(key) for key in HIDDEN if key not in header.metadata}
    whole = {key: value for key, value in true.metadata.items() if key not in left_out}
    return dict(header.metadata) == whole and replace(true, metadata={}) == replace(header, metadata={})


HIDDEN = ("tokenizer.ggml.token_type", "tokenizer.ggml.scores", "tokenizer.ggml.merges")


def test_one_file_teaches_the_others() -> None:
    """A vocabulary that no table knows is jumped over once its length was seen."""
    first, second = small_file(), small_file(behind={"general.file_type": 15, "quantize.imatrix.file": "x" * 200})
    header, asked = run(second, seen=taught(first))

    assert same(second, header)
    assert 2 == len(asked)
    assert [("gpt2", "small", 3000)] == list(taught(first))
    assert gguf_remote.vocabulary(gguf.parse(write({"general.architecture": "llama"}, TENSORS))) is None


def test_a_sentencepiece_vocabulary_is_known() -> None:
    """Its pre-tokenizer is `default`, which tells nothing: the model `llama` and the number of tokens do."""
    tokens, each = 32000, 720_000 // 32000
    arrays = {
        "tokenizer.ggml.tokens": Typed("str", ["x" * (each - 16)] * tokens),
        "tokenizer.ggml.scores": Typed("f32", [0.0] * tokens),
        "tokenizer.ggml.token_type": Typed("i32", [1] * tokens),
    }
    base = {"general.architecture": "llama", "tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": "default"}
    head = write({**base, **arrays, "tokenizer.ggml.bos_token_id": 1, "tokenizer.chat_template": "z" * 9000}, TENSORS)
    header, asked = run(head)

    assert same(head, header)
    assert 2 == len(asked)


@pytest.mark.parametrize(
    "behind",
    [
        {"llama.rope.freq_base": 5e5, "tokenizer.chat_template": "t" * 60_000},
        {"tokenizer.chat_template": "t" * 60_000, "llama.rope.freq_base": 5e5},
        {"tokenizer.chat_template": "t" * 30_000, "llama.x": Typed("u32", list(range(300))), "Odd Key": 7, "general.file_type": 15},
    ],
    ids=["before a template", "behind a template", "behind an odd key"],
)
def test_no_key_behind_the_vocabulary_is_missed(behind: dict[str, Any]) -> None:
    """A hyperparameter may stand there: keys are followed back until only the vocabulary is unread, else all is read."""
    head = small_file(behind=behind)
    header, _ = run(head, seen=taught(head))

    assert same(head, header)


def test_more_keys_than_are_followed() -> None:
    """Where hundreds of keys stand behind the vocabulary, all is read through: the work of following is bounded."""
    head = small_file(behind={f"x.key{i}": i for i in range(300)})
    header, asked = run(head, seen=taught(head))

    assert gguf.parse(head) == header
    assert sum(length for _, length in asked) >= len(head)


def test_another_alignment_behind_the_vocabulary_is_seen() -> None:
    """What is said late holds for the tensors all the same."""
    tokens = Typed("str", ["x" * 20] * 3000)
    head = write({"general.architecture": "llama", "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens}, TENSORS[:1], alignment=64)
    header, _ = run(head, seen={("gpt2", "", 3000): gguf.parse(head).kv_bytes + 24})

    assert 64 == header.alignment
    assert gguf.parse(head) == header


def test_an_unknown_vocabulary_takes_about_one_range() -> None:
    """Its number of tokens tells about how long it is: never more bytes than ranges of 4 MiB take."""
    head = vocabulary_file(10_940_000, pre="new")
    header, asked = run(head)

    assert gguf.parse(head) == header
    assert 2 == len(asked)


KEYS = st.from_regex(r"[a-z]{1,5}\.[a-z_.]{1,9}", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1200, 3000),
    st.integers(-40_000, 40_000),
    st.dictionaries(KEYS, st.one_of(st.integers(0, 9), st.text(max_size=9), st.booleans()), max_size=6),
    st.integers(0, 50_000),
    st.booleans(),
)
def test_a_guess_is_right_or_found_out(tokens: int, off_by: int, keys: dict[str, Any], template: int, first: bool) -> None:
    """Whatever stands behind the vocabulary, and however wrong the guess: the header is what reading through gives."""
    long = {"tokenizer.chat_template": "{% x %}" * (template // 7)}
    head = small_file(tokens=tokens, behind={**long, **keys} if first else {**keys, **long})
    header, _ = run(head, seen=taught(head, off_by))

    assert same(head, header)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_ends_in_a_clean_error(data: st.DataObject) -> None:
    """Bytes changed anywhere are refused, or read as reading through reads them; those of the vocabulary are not looked at."""
    head = bytearray(small_file(tokens=1500))
    size, seen = gguf.parse(bytes(head)).file_bytes_needed, taught(bytes(head))
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(head) - 1), st.integers(0, 255)), min_size=1, max_size=3)):
        head[at] = byte
    try:
        gguf.parse(bytes(head), file_bytes=size)
    except CorruptError:
        with contextlib.suppress(CorruptError):
            run(bytes(head), size, seen)
    else:
        assert same(bytes(head), run(bytes(head), size, seen)[0])


def test_names_of_tensors_in_a_chat_template_do_not_deceive() -> None:
    """What looks like a table is one only if its offsets follow and its data end with the file."""
    bait = len(b"token_embd.weight").to_bytes(8, "little") + b"token_embd.weight" + b"\x02\0\0\0" + b"\0" * 40
    head = vocabulary_file(10_943_600, tail={"tokenizer.bait": Typed("str", bait.decode("latin-1"))})
    header, _ = run(head)

    assert gguf.parse(head).tensors == header.tensors


def test_a_small_header_takes_one_range_or_is_read_once() -> None:
    """Real headers without a vocabulary come out as `parse` has them, no byte asked for twice."""
    for name in ("lfm2-1.2b", "qwen3.5-122b-a10b"):
        head = real_header(name)
        header, asked = run(head)

        assert gguf.parse(head) == header
        assert all(a + n == b for (a, n), (b, _) in itertools.pairwise(asked))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.integers(24, 5000))
def test_garbage_ends_in_a_clean_error(noise: bytes, size: int) -> None:
    """Any bytes behind a sound beginning end in CorruptError, or in a header."""
    head = (b"GGUF" + (3).to_bytes(4, "little") + noise).ljust(size, b"\0")
    with contextlib.suppress(CorruptError):
        run(head, size)
