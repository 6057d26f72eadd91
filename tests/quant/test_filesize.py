"""Sizes of files: the format's own arithmetic, and what is known of tokenizers."""

from collections import Counter

import pytest

from gguf_writer import real_header
from tonnage.model import gguf
from tonnage.model.tokenizers import KNOWN, of_header, of_model
from tonnage.model.types import Tensor
from tonnage.quant import filesize
from tonnage.units import pad

MAGIC_VERSION_AND_COUNTS = 24
HEADERS = ("llama3.1-8b", "qwen3.5-122b-a10b", "gpt-oss-20b", "mamba2-2.7b", "deepseek-v3")


@pytest.mark.parametrize("name", HEADERS)
def test_table_and_data_are_those_of_real_headers(name: str) -> None:
    """Metadata and table end where the data begin, and the data end with the file."""
    header = gguf.parse(real_header(name))
    begin = pad(MAGIC_VERSION_AND_COUNTS + header.kv_bytes + filesize.table_bytes(header.tensors), filesize.ALIGNMENT)

    assert header.data_offset == begin
    assert header.file_bytes_needed == begin + filesize.data_bytes(header.tensors)


def test_a_file_is_metadata_table_and_data() -> None:
    """One tensor of 128,256 rows in a llama has Llama 3's tokenizer around it."""
    tensor = Tensor("token_embd.weight", (256, 128256), "q4_K")
    header = pad(7_822_900 + 24 + 17 + 16, 32)

    assert filesize.FileSize(header + 144 * 128256, 16_000) == filesize.predict("llama", [tensor])


@pytest.mark.parametrize(("architecture", "rows"), [("llama", 128255), ("apertus", 128256), ("llama", 32768)])
def test_unknown_tokenizers_have_no_size(architecture: str, rows: int) -> None:
    """Another count of tokens, another architecture, or a tokenizer of which no file's size was seen."""
    assert filesize.predict(architecture, [Tensor("token_embd.weight", (256, rows), "q4_K")]) is None


def test_a_model_without_an_embedding_has_no_size() -> None:
    """Nothing tells its tokenizer."""
    assert filesize.predict("llama", [Tensor("output.weight", (256, 128256), "q4_K")]) is None


def test_rows_name_one_tokenizer_each() -> None:
    """Neither a header nor a model finds two rows."""
    headers = Counter((row.name, row.tokens) for row in KNOWN)
    models = Counter((architecture, row.tokens) for row in KNOWN for architecture in row.architectures)

    assert {1} == set(headers.values()) | set(models.values())
    assert all(of_header(row.name, row.tokens) is row for row in KNOWN)
    assert all(of_model(architecture, row.tokens) is row for row in KNOWN for architecture in row.architectures)
