"""Models that are split over several GGUF files."""

import pytest

from gguf_writer import Typed, real_header, write
from tonnage.errors import CorruptError
from tonnage.model.gguf import Header, merge, parse, shard_names
from tonnage.model.types import Tensor

A = Tensor("a.weight", (32, 3), "q8_0")  # 102 bytes, padded to 128
B = Tensor("b.weight", (5,), "f32")


def shard(no: int, count: int = 3, total: int = 3, **more: object) -> Header:
    """The header of shard `no`, counted from 0, holding one tensor."""
    keys = {"split.no": Typed("u16", no), "split.count": Typed("u16", count), "split.tensors.count": Typed("i32", total)}
    first = {"general.architecture": "x", "x.block_count": 2} if no == 0 else {}
    return parse(write({**first, **keys, **more}, [Tensor(f"t{no}", (8,), "f32")]))


def test_shards_make_one_model() -> None:
    """Given in any order: metadata of the first, tensors of all in order, sizes summed."""
    shards = [shard(no) for no in range(3)]
    merged = merge([shards[2], shards[0], shards[1]])

    assert (shards[0].metadata, ["t0", "t1", "t2"], 3) == (merged.metadata, [t.name for t in merged.tensors], merged.shards)
    assert sum(s.file_bytes_needed for s in shards) == merged.file_bytes_needed
    assert ("x", 96) == (merged.architecture, merged.tensor_bytes)


def test_one_file_is_its_own_model() -> None:
    """A file that is not split stays as it is, also when it says to be the only shard."""
    whole, only = parse(real_header("lfm2-1.2b")), shard(0, count=1, total=1)

    assert [whole, only] == [merge([whole]), merge([only])]


SPLITS = (
    ("none", list, "needs at least one file"),
    ("middle missing", lambda: [shard(0), shard(2)], "shard 2 of 3 is missing"),
    ("only the second", lambda: [shard(1)], "shard 1 of 3 is missing"),
    ("twice", lambda: [shard(0), shard(1), shard(1)], "shard 3 of 3 is missing"),
    ("too many", lambda: [shard(0), shard(1), shard(2), shard(3)], "has 3 shards, but 4 were given"),
    ("other model", lambda: [shard(0), shard(1, count=2)], "differ in 'split.count': 2, 3"),
    ("not split", lambda: [parse(write({}, [A])), parse(write({}, [B]))], "has 1 shards, but 2 were given"),
    ("hostile count", lambda: [shard(0, count=65_535)], "shard 2 of 65535 is missing"),
    ("tensor count", lambda: [shard(0, total=4), shard(1), shard(2)], "hold 3 tensors, but 'split.tensors.count' is 4"),
    ("no count", lambda: [shard(0, **{"split.no": "zero"})], "'split.no' must be a count but is 'zero'"),
    ("negative", lambda: [shard(0, **{"split.count": Typed("i32", -1)})], "'split.count' must be a count but is -1"),
)


@pytest.mark.parametrize(("headers", "expected"), [pytest.param(*row[1:], id=row[0]) for row in SPLITS])
def test_incomplete_splits_are_refused(headers: object, expected: str) -> None:
    """The message says which shard or count is wrong."""
    with pytest.raises(CorruptError) as caught:
        merge(headers())  # type: ignore[operator]

    assert expected in str(caught.value)


def test_a_tensor_in_two_shards_is_refused() -> None:
    """llama.cpp refuses it as well."""
    keys = {"split.count": 2, "split.tensors.count": 2}
    with pytest.raises(CorruptError, match=r"'a.weight' is in two shards"):
        merge([parse(write({"split.no": no, **keys}, [A])) for no in range(2)])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m-00002-of-00003.gguf", ("m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf")),
        ("dir/m-q4-00001-of-00001.gguf", ("dir/m-q4-00001-of-00001.gguf",)),
        ("m.gguf", ("m.gguf",)),
        ("m-1-of-3.gguf", ("m-1-of-3.gguf",)),
        ("m-00004-of-00003.gguf", ("m-00004-of-00003.gguf",)),
        ("m-00000-of-00003.gguf", ("m-00000-of-00003.gguf",)),
        ("-00001-of-00002.gguf", ("-00001-of-00002.gguf",)),
    ],
)
def test_shards_are_named_by_number(name: str, expected: tuple[str, ...]) -> None:
    """One shard's name gives all; what is no shard's name gives itself."""
    assert expected == shard_names(name)
