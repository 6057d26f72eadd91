"""Reading GGUF headers: real ones, and every kind of value and shape."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gguf_writer import KINDS, Typed, file_of, real_header, row, write
from tonnage.model import gguf
from tonnage.model.build import from_header
from tonnage.model.gguf import Skipped, parse
from tonnage.model.types import Tensor
from tonnage.quant.types import TYPES
from tonnage.units import pad

REAL = (
    ("llama3.1-8b", "llama", 291, 17888, 4912915936),
    ("qwen3.5-122b-a10b", "qwen35moe", 879, 56736, 74201796000),
    ("gemma3-27b", "gemma3", 808, 48896, 16540174720),
    ("gpt-oss-20b", "gpt-oss", 795, 48064, 12096630976),
    ("lfm2-1.2b", "lfm2", 150, 9728, 730886656),
)  # fmt: skip
A = Tensor("a.weight", (32, 3), "q8_0")  # 102 bytes, padded to 128
B = Tensor("b.weight", (5,), "f32")


# --- real headers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "architecture", "tensors", "data_offset", "file_bytes"), REAL)
def test_real_headers_give_the_files_size(name: str, architecture: str, tensors: int, data_offset: int, file_bytes: int) -> None:
    """The sizes are those that llama.cpp's own writer laid out."""
    header = parse(real_header(name), file_bytes=file_bytes)
    found = (header.architecture, len(header.tensors), header.data_offset, header.file_bytes_needed)

    assert (architecture, tensors, data_offset, file_bytes) == found


def test_values_of_a_real_header() -> None:
    """Scalars and per-layer arrays come with their values, tensors with shape and type."""
    header = parse(real_header("lfm2-1.2b"))

    assert 16 == header.metadata["lfm2.block_count"]
    assert (0, 0, 8, 0, 0, 8, 0, 0, 8, 0, 8, 0, 8, 0, 8, 0) == header.metadata["lfm2.attention.head_count_kv"]
    assert Tensor("token_embd.weight", (2048, 65536), "q6_K") == header.tensors[0]


@pytest.mark.parametrize("row", REAL, ids=lambda row: row[0])
def test_real_headers_become_models(row: tuple[str, str, int, int, int]) -> None:
    """What is read is all that a model needs."""
    header = parse(real_header(row[0]))
    model = from_header(header.metadata, header.tensors, row[0], "test", file_bytes=header.file_bytes_needed)

    assert (row[1], header.tensors, header.metadata[f"{row[1]}.block_count"]) == (model.architecture, model.tensors, len(model.layers))


@pytest.mark.parametrize("name", [row[0] for row in REAL])
def test_a_view_reads_like_bytes(name: str) -> None:
    """`bytes` and `memoryview` are the same to the reader."""
    data = real_header(name)

    assert parse(data) == parse(memoryview(data))


def test_bytes_behind_the_header_do_not_matter() -> None:
    """The reader never looks at tensor data."""
    data = real_header("lfm2-1.2b")

    assert parse(data) == parse(data + b"\xff" * 1000)


# --- values -----------------------------------------------------------------------------------------

SCALARS = (
    ("u8", 255), ("i8", -128), ("u16", 65535), ("i16", -32768), ("u32", 2**32 - 1), ("i32", -(2**31)), ("f32", 0.5),
    ("bool", True), ("bool", False), ("str", "naïve"), ("str", ""), ("u64", 2**64 - 1), ("i64", -(2**63)), ("f64", 0.1),
)  # fmt: skip


@pytest.mark.parametrize(("kind", "value"), SCALARS)
def test_scalars_keep_their_value(kind: str, value: object) -> None:
    """Each of the value types is read as written."""
    assert {"k": value} == parse(write({"k": Typed(kind, value)})).metadata


@pytest.mark.parametrize(("kind", "value"), [row for row in SCALARS if row[0] != "str"])
def test_short_arrays_of_numbers_are_kept(kind: str, value: object) -> None:
    """Up to 512 numbers, one per layer, are a tuple; more are skipped."""
    header = parse(write({"a": Typed(kind, [value] * 512), "b": Typed(kind, [value] * 513), "c": Typed(kind, [])}))

    assert {"a": (value,) * 512, "b": Skipped(kind, 513), "c": ()} == header.metadata


def test_texts_in_arrays_are_counted() -> None:
    """A vocabulary is known by its size, whatever its words."""
    words = ["a", "", "é" * 300, "b"]

    assert {"t": Skipped("str", 4), "u": Skipped("str", 0), "v": 1} == parse(write({"t": words, "u": Typed("str", []), "v": 1})).metadata


def test_very_long_texts_are_skipped() -> None:
    """A text of over 64 KiB is not built; what follows is read."""
    assert {"a": Skipped("text", 65_537), "b": "x" * 65_536} == parse(write({"a": "x" * 65_537, "b": "x" * 65_536})).metadata


def test_text_that_is_no_utf8_stays_readable() -> None:
    """llama.cpp takes any bytes as text, so they may not fail here."""
    assert {"k": "a\\xff"} == parse(write({"k": Typed("str", b"a\xff")})).metadata


@pytest.mark.parametrize("kind", ["model", "mmproj", "adapter", "imatrix"])
def test_files_that_are_no_models_parse(kind: str) -> None:
    """Projectors and LoRA adapters are GGUF files as well, with their keys unchanged."""
    metadata = {"general.type": kind, "clip.has_vision_encoder": True, "adapter.type": "lora", "adapter.lora.alpha": 16.0}

    assert metadata == parse(write(metadata, [A])).metadata


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_are_read_alike(version: int) -> None:
    """Version 3 only added the other byte order."""
    header = parse(write({"general.architecture": "x"}, [A], version=version))

    assert (version, "x", (A,)) == (header.version, header.architecture, header.tensors)


@pytest.mark.parametrize("alignment", [1, 8, 32, 64, 4096])
def test_data_follow_the_alignment(alignment: int) -> None:
    """`general.alignment` moves the data and pads each tensor."""
    header = parse(data := write({}, [A, B], alignment=alignment), file_bytes=10**6)
    expected = (alignment, pad(len(data), alignment), pad(102, alignment) + pad(20, alignment))

    assert expected == (header.alignment, header.data_offset, header.tensor_bytes)


def test_a_file_without_tensors_has_no_padding() -> None:
    """A vocabulary file ends where its metadata end."""
    data = write({"k": 1})
    header = parse(data, file_bytes=len(data))

    assert (len(data), 0, len(data)) == (header.data_offset, header.tensor_bytes, header.file_bytes_needed)


@pytest.mark.parametrize("name", TYPES)
def test_every_tensor_type_is_known(name: str) -> None:
    """The table's sizes are those of the types."""
    tensor = Tensor("t", (512, 2), name)

    assert tensor.nbytes == parse(write({}, [tensor], alignment=1)).tensor_bytes


@pytest.mark.parametrize(("shape", "expected"), [((), (1,)), ((0,), (0,)), ((4, 0, 3), (4, 0, 3)), ((1, 2, 3, 4), (1, 2, 3, 4))])
def test_shapes_of_up_to_four_dimensions(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """A tensor without dimensions is one value; an empty one is allowed."""
    assert expected == parse(file_of(row("t", shape, 0, 0), tensors=1)).tensors[0].shape


def test_every_value_type_is_covered() -> None:
    """The tests' writer and the reader know the same thirteen types."""
    assert {kind: code for kind, (code, _) in KINDS.items()} == {kind: code for code, kind in enumerate(gguf._NAMES)}


# --- properties -------------------------------------------------------------------------------------

RANGES = {"u8": (0, 255), "i8": (-128, 127), "u16": (0, 65535), "i16": (-32768, 32767), "u32": (0, 2**32 - 1), "i32": (-(2**31), 2**31 - 1)}
RANGES |= {"u64": (0, 2**64 - 1), "i64": (-(2**63), 2**63 - 1)}
ITEMS = {kind: st.integers(*bounds) for kind, bounds in RANGES.items()} | {
    "f32": st.floats(width=32, allow_nan=False),
    "f64": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "str": st.text(st.characters(codec="utf-8"), max_size=20),
}
VALUES = st.one_of(
    *(st.builds(Typed, st.just(kind), item) for kind, item in ITEMS.items()),
    *(st.builds(Typed, st.just(kind), st.lists(item, max_size=9)) for kind, item in ITEMS.items()),
)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=15)
METADATA = st.dictionaries(NAMES, VALUES, max_size=8)
TENSORS = st.lists(
    st.builds(
        lambda name, blocks, rows, kind: Tensor(name, (blocks * TYPES[kind].elements, *rows), kind),
        NAMES,
        st.integers(0, 9),
        st.lists(st.integers(0, 9), max_size=3),
        st.sampled_from(sorted(TYPES)),
    ),
    max_size=8,
    unique_by=lambda tensor: tensor.name,
)


def plain(value: Typed) -> object:
    """How the reader gives what was written as `value`."""
    if not isinstance(value.value, list):
        return value.value
    return Skipped("str", len(value.value)) if value.kind == "str" else tuple(value.value)


@settings(deadline=None)
@given(METADATA, TENSORS, st.sampled_from([1, 8, 32, 256]))
def test_what_is_written_is_read(metadata: dict[str, Typed], tensors: list[Tensor], alignment: int) -> None:
    """Any metadata and tensor table come back, and the file's size is the one needed."""
    data = write(metadata, tensors, alignment=alignment, data=True)
    header = parse(data, file_bytes=len(data))
    expected = {key: plain(value) for key, value in metadata.items()} | ({} if alignment == 32 else {"general.alignment": alignment})

    assert (expected, tuple(tensors), len(data)) == (header.metadata, header.tensors, header.file_bytes_needed)
