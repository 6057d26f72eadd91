"""Reading a remote header in few bytes: always right, and short where the tokenizer is known."""

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_writer import Typed, real_header, write
from tonnage.errors import CorruptError
from tonnage.model import gguf, gguf_remote
from tonnage.model.types import Tensor

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


def run(head: bytes, file_bytes: int | None = None) -> tuple[gguf.Header, list[gguf_remote.Range]]:
    """Follow the plan over a file, and what it asked for."""
    size = file_bytes or gguf.parse(head).file_bytes_needed
    plan, asked = gguf_remote.plan(size), []
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
