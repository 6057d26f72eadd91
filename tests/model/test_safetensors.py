"""The reader of safetensors heads and indexes: what it reads, and what it refuses."""

import json
import struct
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from safetensors_writer import entry, head, write
from tonnage.errors import CorruptError, TruncatedError
from tonnage.model import jsonwalk, safetensors
from tonnage.model.safetensors import DTYPES, Header, Index, Stored, merge, parse, parse_index

A = Stored("a.weight", "BF16", (2, 3))
B = Stored("b", "F4", (3, 2))
C = Stored("é\n", "F32", ())


def parse_text(text: str, file_bytes: int | None = None) -> Header:
    """The header whose text is given."""
    return parse(head(text), file_bytes=file_bytes)


# --- sound files -------------------------------------------------------------------------------------


def test_tensors_and_sizes_are_as_written() -> None:
    """Names, dtypes, shapes and metadata come back; bytes are those of the data."""
    data = write([A, B, C], {"format": "pt"})
    header = parse(data, file_bytes=len(data) + 12 + 3 + 4)

    assert (A, B, C) == header.tensors
    assert {"format": "pt"} == header.metadata
    assert (len(data), 19, len(data) + 19) == (header.header_bytes, header.tensor_bytes, header.file_bytes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_has_its_bits(dtype: str) -> None:
    """Eight elements take as many bytes as one has bits; packed types take less than a byte each."""
    tensor = Stored("t", dtype, (2, 4))

    assert (tensor,) == parse(write([tensor])).tensors
    assert DTYPES[dtype] == tensor.nbytes


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"__metadata__":null}',
        '{"__metadata__":{},"a":' + entry() + "}",
        '{ "a" :\n{ "data_offsets" : [ 0 , 2 ] , "more" : "}{" , "dtype":"BF16", "shape":[ 1 ] } }',
        '{"b":' + entry(2, 4) + ',"a":' + entry(0, 2) + "}",
        '{"a":' + entry(0, 0, shape="[0,18446744073709551615]") + "}",
        '{"\\u0061\\"\\\\":' + entry() + "}",
    ],
)
def test_other_writers_are_read(text: str) -> None:
    """Blanks, another order of fields or tensors, unknown fields, empty tensors and escapes are all in order."""
    expected = [name for name in json.loads(text) if name != "__metadata__"]

    assert sorted(expected) == sorted(tensor.name for tensor in parse_text(text).tensors)


def test_tensors_are_in_the_order_of_their_data() -> None:
    """The table's order is of no consequence."""
    header = parse_text('{"b":' + entry(2, 4) + ',"a":' + entry(0, 2) + "}")

    assert ["a", "b"] == [tensor.name for tensor in header.tensors]


def test_long_metadata_are_walked_over() -> None:
    """A trainer's log may be long; only short texts are kept."""
    assert {"format": "pt"} == parse(write([A], {"log": "x\\" * 100_000, "format": "pt"})).metadata


# --- prefixes ----------------------------------------------------------------------------------------


def test_every_prefix_says_how_much_is_needed() -> None:
    """First the eight bytes of the length, then the whole header."""
    data = write([A, B])
    needs = []
    for cut in range(len(data)):
        with pytest.raises(TruncatedError) as caught:
            parse(data[:cut])
        needs.append(caught.value.need_bytes)

    assert [8] * 8 + [len(data)] * (len(data) - 8) == needs


# --- unsound files -----------------------------------------------------------------------------------

TWO = '{"a":' + entry(0, 2) + ',"b":%s}'
REFUSED = [
    ("", "no JSON object"),
    ("[]", "no JSON object"),
    (" {}", "no JSON object"),
    ("{} {}", "goes on behind"),
    ('{"a":1}', "describes tensor 'a'"),
    ("{", "a name is expected"),
    ('{"a":' + entry(), "is expected"),
    ('{"a":' + entry() + ",}", "a name is expected"),
    ('{"a":' + entry() + ',"a":' + entry(2, 4) + "}", "'a' is there twice"),
    ('{"\\u0061":' + entry() + ',"a":' + entry(2, 4) + "}", "'a' is there twice"),
    ('{"__metadata__":{},"__metadata__":{}}', "'__metadata__' twice"),
    ('{"__metadata__":{"a":"1","a":"2"}}', "key 'a' twice"),
    ('{"__metadata__":{"a":1}}', "a text is expected"),
    ('{"__metadata__":[]}', "is expected"),
    ('{"a":' + entry(dtype="BF17") + "}", "unknown dtype 'BF17'"),
    ('{"a":{"dtype":"BF16","shape":[1],"shape":[1],"data_offsets":[0,2]}}', "unsound description"),
    ('{"a":{"dtype":"BF16","shape":[1]}}', "unsound data_offsets"),
    ('{"a":{"shape":[1],"data_offsets":[0,2]}}', "unsound dtype"),
    ('{"a":{"dtype":"BF16","data_offsets":[0,2],"shape":[1.0]}}', "unsound shape"),
    ('{"a":{"dtype":"BF16","data_offsets":[0,2],"shape":[true]}}', "unsound shape"),
    ('{"a":{"dtype":"BF16","data_offsets":[0,2],"shape":[-1]}}', "unsound shape or offset"),
    ('{"a":' + entry(shape="[1,]") + ',"b":' + entry(2, 4) + "}", "unsound"),
    ('{"a":' + entry(shape="[01]") + ',"b":' + entry(2, 4) + "}", "unsound"),
    ('{"a":' + entry(shape="[" + "1," * 600 + "1]") + ',"b":' + entry(2, 4) + "}", "unsound"),
    ('{"a":' + entry(shape="[4294967296,4294967296]") + "}", "more than 2^64 bits"),
    ('{"a":' + entry(shape="[18446744073709551616]") + "}", "unsound shape or offset"),
    ('{"a":' + entry(0, 3) + "}", "takes 16 bits as BF16, its offsets give it 3 bytes"),
    ('{"a":' + entry(2, 0) + "}", "its offsets give it -2 bytes"),
    ('{"a":' + entry(0, 1, dtype="F4", shape="[1]") + "}", "takes 4 bits"),
    ('{"a":' + entry(1, 3) + "}", "leaves a hole"),
    (TWO % entry(3, 5), "leaves a hole"),
    (TWO % entry(1, 3), "overlaps another"),
    (TWO % entry(0, 2), "overlaps another"),
    ('{"a\x01":' + entry() + "}", "a name is expected"),
    ('{"\\ud800":' + entry() + "}", "half a letter"),
    ('{"' + "n" * 5000 + '":' + entry() + "}", "over the limit of 4,096"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_unsound_headers_are_refused(text: str, why: str) -> None:
    """As by the format's own reader; the message names the place."""
    with pytest.raises(CorruptError) as caught:
        parse_text(text)

    assert why in str(caught.value)


def test_text_must_be_utf8() -> None:
    """A name in another encoding is refused."""
    with pytest.raises(CorruptError, match="no UTF-8"):
        parse(head(b'{"\xff":' + entry().encode() + b"}"))


@pytest.mark.parametrize(
    ("data", "file_bytes", "why"),
    [
        (b"", 0, "begins with eight bytes"),
        (struct.pack("<Q", 2**63) + b"{", None, "9,223,372,036,854,775,808 bytes, over the format's limit"),
        (struct.pack("<Q", 100_000_001) + b"{", None, "over the format's limit"),
        (struct.pack("<Q", 100) + b"[", None, "no JSON object"),
        (struct.pack("<Q", 100), 50, "the file has 50; download it again"),
        (write([A]), len(write([A])) + 11, "describes 92 bytes, the file has 91; download it again"),
        (write([A]), len(write([A])) + 13, "data that no tensor owns"),
    ],
)
def test_the_file_must_be_as_long_as_its_header_says(data: bytes, file_bytes: int | None, why: str) -> None:
    """Shorter, it was cut; longer, the format forbids it; a length beyond the limit ends at once."""
    with pytest.raises(CorruptError) as caught:
        parse(data, file_bytes=file_bytes)

    assert not isinstance(caught.value, TruncatedError)
    assert why in str(caught.value)


MEGABYTE = 1 << 20
BOMBS = {
    "nested lists": b'{"a":' + b"[" * MEGABYTE,
    "nested objects": b'{"a":' + b'{"a":' * (MEGABYTE // 5),
    "long shape": b'{"a":{"dtype":"U8","shape":[' + b"0," * MEGABYTE + b'0],"data_offsets":[0,0]}}',
    "long number": b'{"a":{"dtype":"U8","shape":[' + b"9" * MEGABYTE + b'],"data_offsets":[0,0]}}',
    "escapes": b'{"' + b"\\n" * MEGABYTE + b'":1}',
    "metadata": b'{"__metadata__":{' + b",".join(b'"%d":"v"' % i for i in range(100_000)) + b"}}",
    "texts in a tensor": b'{"a":{' + b'""' * MEGABYTE + b"}}",
    "open text": b'{"a' + b"x" * MEGABYTE,
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_headers_cost_little(name: str) -> None:
    """No nesting, list, number or text makes the reader build it: under a second and three times its size."""
    data = head(BOMBS[name])
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(CorruptError):
        parse(data)
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert seconds < 1
    assert peak < 3 * len(data) + 4 * MEGABYTE


@pytest.mark.parametrize("limit", ["tensors", "metadata"])
def test_there_is_a_limit_to_everything(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors and metadata beyond what a real file has are refused."""
    monkeypatch.setattr(safetensors, f"MAX_{limit.upper()}", 2)
    many = [Stored(str(i), "U8", ()) for i in range(3)]
    data = write(many) if limit == "tensors" else write([], {str(i): "" for i in range(3)})

    with pytest.raises(CorruptError, match="more than 2"):
        parse(data)


# --- indexes and shards ------------------------------------------------------------------------------


def index_of(weight_map: object, **more: object) -> Index:
    """The index of a made-up repo."""
    return parse_index(json.dumps({**more, "weight_map": weight_map}).encode())


def test_an_index_tells_shards() -> None:
    """The names of the shards, each once; the claimed size is read, and never used."""
    index = index_of({"a": "2.safetensors", "b": "1.safetensors", "c": "1.safetensors"}, metadata={"total_size": 19_338_405_888, "x": [{}]})

    assert ("1.safetensors", "2.safetensors") == index.shards
    assert 19_338_405_888 == index.total_size


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "{ is expected"),
        (b"{}", "no 'weight_map'"),
        (b'{"weight_map":{}}', "no 'weight_map'"),
        (b'{"weight_map":{"a":1}}', "the name of a shard is expected"),
        (b'{"weight_map":{"a":"x.bin"}}', "no .safetensors file of its folder"),
        (b'{"weight_map":{"a":"../x.safetensors"}}', "no .safetensors file of its folder"),
        (b'{"weight_map":{"a":"/x.safetensors"}}', "no .safetensors file of its folder"),
        (b'{"weight_map":{"a":"b/../x.safetensors"}}', "no .safetensors file of its folder"),
        (b'{"weight_map":{"a":"http://host/x.safetensors"}}', "no .safetensors file of its folder"),
        (b'{"weight_map":{"a":"c:\\\\x.safetensors"}}', "no .safetensors file of its folder"),
        (b'{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}', "tensor 'a' twice"),
        (b'{"weight_map":{"a":"x.safetensors"},"weight_map":{}}', "'weight_map' twice"),
        (b'{"metadata":' + b"[" * 100_000, "more than 65,536 bytes"),
        (b'{"metadata":{"a":' + b"1" * 70_000 + b"}}", "more than 65,536 bytes"),
        (b'{"metadata":]}', "a value is expected"),
    ],
)
def test_unsound_indexes_are_refused(data: bytes, why: str) -> None:
    """A shard's name may not lead out of the repo; nothing hostile is built."""
    with pytest.raises(CorruptError) as caught:
        parse_index(data)

    assert why in str(caught.value)


def test_shards_are_summed() -> None:
    """Tensors, header and data of all shards together."""
    one, two = parse(write([A])), parse(write([B, C]))
    both = merge({"1.safetensors": one, "2.safetensors": two}, index_of({A.name: "1.safetensors", B.name: "2.safetensors"}))

    assert ((A, B, C), 19, 2) == (both.tensors, both.tensor_bytes, both.shards)
    assert one.file_bytes + two.file_bytes == both.file_bytes


@pytest.mark.parametrize(
    ("shards", "index", "why"),
    [
        ({}, None, "at least one file"),
        ({"1.safetensors": [A], "2.safetensors": [A]}, None, "in two shards"),
        ({"1.safetensors": [A]}, {A.name: "1.safetensors", "b": "2.safetensors"}, "1 of 2 safetensors shards are missing: 2.safetensors"),
        ({"1.safetensors": [A]}, {"b": "1.safetensors"}, "puts 'b' into 1.safetensors, which does not hold it"),
    ],
)
def test_shards_must_be_of_one_model(shards: dict[str, list[Stored]], index: dict[str, str] | None, why: str) -> None:
    """Every tensor is in one shard, and where the index says."""
    with pytest.raises(CorruptError) as caught:
        merge({name: parse(write(tensors)) for name, tensors in shards.items()}, index_of(index) if index else None)

    assert why in str(caught.value)


# --- made-up files -----------------------------------------------------------------------------------

names = st.text(max_size=20).filter(lambda name: name != "__metadata__" and "\ud800" not in name)
shapes = st.lists(st.integers(0, 2**16), max_size=3).map(tuple)
tables = st.dictionaries(names, st.tuples(st.sampled_from(["U8", "BF16", "F32", "I64"]), shapes), max_size=6)


@given(tables, st.booleans())
def test_whatever_is_written_is_read(table: dict[str, tuple[str, tuple[int, ...]]], ascii_only: bool) -> None:
    """Writer and reader agree about every name and shape."""
    tensors = [Stored(name, dtype, shape) for name, (dtype, shape) in table.items()]

    assert sorted(tensors) == sorted(parse(write(tensors)).tensors)


@settings(max_examples=100)
@given(st.binary(max_size=64), st.integers(8, 200), st.integers(0, 3))
def test_damage_is_refused_or_read(noise: bytes, at: int, cut: int) -> None:
    """Bytes overwritten anywhere lead to a header or to CorruptError, to nothing else."""
    sound = write([A, B, C], {"format": "pt"})
    data = (sound[:at] + noise + sound[at + len(noise) :])[: len(sound) - cut]
    try:
        outcome: Header | CorruptError = parse(data)
    except CorruptError as error:
        outcome = error

    assert len(sound) == outcome.header_bytes if isinstance(outcome, Header) else "\n" not in str(outcome)


def test_limits_are_the_formats_own() -> None:
    """100 MB of header, as safetensors' MAX_HEADER_SIZE says; texts are kept far below it."""
    assert 100_000_000 == safetensors.MAX_HEADER_BYTES
    assert jsonwalk.MAX_TEXT_BYTES < jsonwalk.MAX_SKIPPED_BYTES
