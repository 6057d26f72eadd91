"""safetensors: the bytes of a file's head, or of a repo's index -> tensor table. The tensors' data are never read.

A file is the header's length (u64), the header (one JSON object), and the data. The rules are those of the
format's own reader (safetensors 0.8, src/tensor.rs): a header of 100 MB at most that begins with `{`, no name
twice, data without holes or overlap up to the file's last byte. The header is walked with patterns instead of
being built by a JSON reader, so that no nesting and no long list in it can take time or memory. Stricter than the
format's reader it is where no writer goes: blanks before the header, and objects in fields that nobody knows.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tonnage.errors import CorruptError, TruncatedError
from tonnage.frozen import dataclass
from tonnage.model.jsonwalk import FLAT, INT, MAX_TEXT_BYTES, STRING, TEXT, WS, Walk

MAX_HEADER_BYTES = 100_000_000  # MAX_HEADER_SIZE of the format
MAX_INDEX_BYTES = 100_000_000
MAX_TENSORS = 1 << 18  # of one file; the largest shards hold some 10,000
MAX_INDEXED = 1 << 20
MAX_METADATA = 4096
MAX_SHAPE_BYTES = 1024
_MAX_U64 = 2**64 - 1

DTYPES = {
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
}  # fmt: skip
"""dtype -> bits of one element; those below 8 are packed, several to a byte"""

_METADATA = "__metadata__"
_LENGTH = struct.Struct("<Q")


class Stored(NamedTuple):
    """One stored array. `shape` is in the file's order: of a matrix (out, in)."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of values; of formats that pack several into one element, of those elements."""
        count = 1
        for n in self.shape:
            count *= n
        return count

    @property
    def nbytes(self) -> int:
        """Bytes of the data."""
        return self.elements * DTYPES[self.dtype] // 8


@dataclass(frozen=True, slots=True)
class Header:
    """What a safetensors file says before its data; after `merge`, the sum of all shards."""

    metadata: Mapping[str, str]
    """the texts of `__metadata__` of at most MAX_TEXT_BYTES"""
    tensors: tuple[Stored, ...]
    """in the order of their data"""
    header_bytes: int
    """with the eight of the length"""
    tensor_bytes: int
    shards: int = 1

    @property
    def file_bytes(self) -> int:
        """Size of the complete file, or of all shards together."""
        return self.header_bytes + self.tensor_bytes


@dataclass(frozen=True, slots=True)
class Index:
    """A model.safetensors.index.json: which shard holds which tensor.

    `total_size` is what its metadata claim; real ones are wrong, so that nothing is reckoned with it.
    """

    weight_map: Mapping[str, str]
    total_size: int | None = None

    @property
    def shards(self) -> tuple[str, ...]:
        """The names of all shards, sorted."""
        return tuple(sorted(set(self.weight_map.values())))


def parse(data: bytes, *, file_bytes: int | None = None) -> Header:
    """The header of the file that begins with `data` and is `file_bytes` long.

    TruncatedError where `data` ends too early; CorruptError where the file is no sound safetensors file or,
    its size known, is shorter or longer than its header says.
    """
    size = header_bytes(data, file_bytes=file_bytes)
    if len(data) < size:
        raise TruncatedError("safetensors", len(data), size)
    walk = Walk(data, 8, size, "safetensors header")
    metadata, rows = _read_table(walk)
    walk.end_of_text()
    tensors, tensor_bytes = _in_order(rows)
    header = Header(metadata, tensors, size, tensor_bytes)
    if file_bytes is not None and header.file_bytes != file_bytes:
        hint = "download it again" if header.file_bytes > file_bytes else "the format forbids data that no tensor owns"
        raise CorruptError(f"the safetensors header describes {header.file_bytes:,} bytes, the file has {file_bytes:,}; {hint}")
    return header


def header_bytes(data: bytes, *, file_bytes: int | None = None) -> int:
    """Length and header together, as the first eight bytes say: how much of the file `parse` needs."""
    if len(data) < 8:
        if file_bytes is not None and file_bytes <= len(data):
            raise CorruptError(f"a safetensors file begins with eight bytes of length, this one has {file_bytes} in all")
        raise TruncatedError("safetensors", len(data), 8)
    (length,) = _LENGTH.unpack_from(data)
    if length > MAX_HEADER_BYTES:
        raise CorruptError(f"the safetensors header claims {length:,} bytes, over the format's limit of {MAX_HEADER_BYTES:,}: the file is damaged")
    if length < 2 or data[8:9] not in (b"", b"{"):
        raise CorruptError("not a safetensors file: its header is no JSON object")
    if file_bytes is not None and 8 + length > file_bytes:
        raise CorruptError(f"the safetensors header needs {8 + length:,} bytes, the file has {file_bytes:,}; download it again")
    return int(8 + length)


# --- the text of a header ------------------------------------------------------------------------

_ENTRY = (
    rb'\{%(s)s"dtype"%(s)s:%(s)s"([A-Z0-9_]{1,16})"%(s)s,%(s)s"shape"%(s)s:%(s)s\[([0-9, \t\n\r]*+)\]%(s)s,%(s)s"data_offsets"%(s)s:%(s)s'
    rb"\[%(s)s%(i)s%(s)s,%(s)s%(i)s%(s)s\]%(s)s\}" % {b"s": WS, b"i": INT}
)
"""a tensor as the format's own writer orders its fields"""
_ROW = re.compile(WS + TEXT + WS + rb":" + WS + _ENTRY + WS + rb",")
"""name and tensor, where more is to follow: what nearly all of a header is made of"""
_SHAPE = re.compile(WS + rb"(?:(?:0|[1-9][0-9]{0,19}+)(?:%(s)s,%(s)s(?:0|[1-9][0-9]{0,19}+))*+)?+%(s)s" % {b"s": WS})

_Row = tuple[int, int, Stored]
"""first byte in the data, the byte behind the last, and the tensor"""


def _read_table(walk: Walk) -> tuple[Mapping[str, str], list[_Row]]:
    """The metadata, and every tensor in the header's order."""
    metadata: Mapping[str, str] | None = None
    rows: dict[str, _Row] = {}
    for name in walk.members(lambda: _read_run(walk, rows)):
        if name != _METADATA:
            _add(rows, name, _row(name, *_fields(name, walk.match(FLAT, f"an object that describes tensor {name!r}")[0])))
        elif metadata is None:
            metadata = _read_metadata(walk)
        else:
            raise CorruptError("the safetensors header has '__metadata__' twice")
    return metadata or {}, list(rows.values())


def _read_run(walk: Walk, rows: dict[str, _Row]) -> None:
    """Tensors as the format's own writer writes them, up to the first that is the last or is written otherwise."""
    match, data, end = _ROW.match, walk.data, walk.end
    shapes: dict[bytes, tuple[int, ...]] = {}
    while found := match(data, walk.at, end):
        raw_name, dtype, raw_shape, begin, behind = found.groups()
        name, shape = walk.text(raw_name), shapes.get(raw_shape)
        if shape is None:
            shape = _shape(name, raw_shape)
            shapes = {**shapes, raw_shape: shape} if len(shapes) < 64 else {}
        if name == _METADATA:
            return
        _add(rows, name, _row(name, dtype.decode(), shape, int(begin), int(behind)))
        walk.at = found.end()


def _add(rows: dict[str, _Row], name: str, row: _Row) -> None:
    if name in rows:
        raise CorruptError(f"safetensors tensor {name!r} is there twice")
    if len(rows) == MAX_TENSORS:
        raise CorruptError(f"the safetensors header has more than {MAX_TENSORS:,} tensors: the file is damaged")
    rows[name] = row


def _read_metadata(walk: Walk) -> Mapping[str, str]:
    """Texts by name; long ones, such as a trainer's log, are walked over."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    if walk.data[walk.at : walk.at + 4] == b"null":
        walk.at += 4
        return found
    for key in walk.members():
        if key in seen or len(seen) == MAX_METADATA:
            what = f"key {key!r} twice" if key in seen else f"more than {MAX_METADATA:,} keys"
            raise CorruptError(f"the metadata of the safetensors header have {what}")
        seen.add(key)
        value = walk.match(STRING, "a text")
        if value.end(1) - value.start(1) <= MAX_TEXT_BYTES:
            found[key] = walk.text(value[1])
    return found


def _shape(name: str, text: bytes) -> tuple[int, ...]:
    if len(text) > MAX_SHAPE_BYTES or not _SHAPE.fullmatch(text):
        raise _unsound(name, "shape", text[:40])
    return tuple(map(int, text.split(b","))) if text.strip() else ()


def _fields(name: str, text: bytes) -> tuple[str, tuple[int, ...], int, int]:
    """The fields of a tensor in any order, with others among them."""
    import json

    if len(text) > MAX_TEXT_BYTES:
        raise _unsound(name, "description", text[:40])
    try:
        fields = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise _unsound(name, "description", text[:40]) from None
    dtype, shape, offsets = (fields.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str):
        raise _unsound(name, "dtype", dtype)
    for what, value in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(value, list) or any(type(n) is not int for n in value) or (what == "data_offsets" and len(value) != 2):
            raise _unsound(name, what, value)
    return dtype, tuple(shape), *offsets


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _unsound(name: str, what: str, value: object) -> CorruptError:
    return CorruptError(f"safetensors tensor {name!r} has an unsound {what}: {str(value)[:60]}")


def _row(name: str, dtype: str, shape: tuple[int, ...], begin: int, end: int) -> _Row:
    """The tensor, once its dtype is known and its shape fits its bytes."""
    bits = DTYPES.get(dtype)
    if bits is None:
        raise CorruptError(f"safetensors tensor {name!r} has unknown dtype {dtype[:20]!r}: the file is damaged, or newer than safetensors 0.8")
    if min(begin, end, *shape) < 0 or max(begin, end, *shape) > _MAX_U64:
        raise _unsound(name, "shape or offset", (*shape, begin, end))
    for n in shape:
        bits *= n
        if bits > _MAX_U64:
            raise CorruptError(f"safetensors tensor {name!r} of shape {shape} has more than 2^64 bits")
    if bits % 8 or end - begin != bits // 8:
        raise CorruptError(f"safetensors tensor {name!r} of shape {shape} takes {bits:,} bits as {dtype}, its offsets give it {end - begin:,} bytes")
    return begin, end, Stored(name, dtype, shape)


def _in_order(rows: list[_Row]) -> tuple[tuple[Stored, ...], int]:
    """The tensors as their data lie, and the bytes of all: each must begin where the one before ends."""
    rows.sort(key=lambda row: row[:2])
    total = 0
    for begin, end, tensor in rows:
        if begin != total:
            what = "leaves a hole" if begin > total else "overlaps another"
            raise CorruptError(f"safetensors tensor {tensor.name!r} {what}: its data begin at {begin:,}, expected {total:,}")
        total = end
    return tuple(tensor for _, _, tensor in rows), total


# --- several files -------------------------------------------------------------------------------

_SHARD = re.compile(r"(?:(?!\.{1,2}/)[^/\\:\x00-\x1f]+/)*[^/\\:\x00-\x1f]+\.safetensors")


def parse_index(data: bytes) -> Index:
    """The index of a repo of several shards."""
    if len(data) > MAX_INDEX_BYTES:
        raise CorruptError(f"the safetensors index has {len(data):,} bytes, over the limit of {MAX_INDEX_BYTES:,}")
    walk = Walk(data, 0, len(data), "safetensors index")
    found: dict[str, Any] = {}
    for key in walk.members():
        if key in found or len(found) == MAX_METADATA:
            what = f"{key!r} twice" if key in found else f"more than {MAX_METADATA:,} keys"
            raise CorruptError(f"the safetensors index has {what}")
        found[key] = _read_weight_map(walk) if key == "weight_map" else _total_size(walk.skip_value())
    walk.end_of_text()
    if not found.get("weight_map"):
        raise CorruptError("the safetensors index has no 'weight_map' that names tensors")
    return Index(found["weight_map"], found.get("metadata"))


def _read_weight_map(walk: Walk) -> dict[str, str]:
    """Tensor -> shard; a shard's name may not lead out of the repo's folder."""
    found: dict[str, str] = {}
    names: dict[bytes, str] = {}
    for tensor in walk.members():
        raw = walk.match(STRING, "the name of a shard")[1]
        shard = names.get(raw)
        if shard is None:
            shard = names[raw] = _shard_name(walk.text(raw))
        if tensor in found or len(found) == MAX_INDEXED:
            what = f"tensor {tensor!r} twice" if tensor in found else f"more than {MAX_INDEXED:,} tensors"
            raise CorruptError(f"the safetensors index has {what}")
        found[tensor] = shard
    return found


def _shard_name(name: str) -> str:
    if not _SHARD.fullmatch(name):
        raise CorruptError(f"the safetensors index names {name[:80]!r}, which is no .safetensors file of its folder")
    return name


def _total_size(metadata: bytes) -> int | None:
    """What the metadata claim, where they are sound; they are of no consequence."""
    found = re.search(rb'"total_size"\s*+:\s*+([0-9]{1,20}+)(?:\.0)?\s*+[,}]', metadata)
    return int(found[1]) if found else None


def merge(shards: Mapping[str, Header] | Iterable[Header], index: Index | None = None) -> Header:
    """The header of the model whose shards are given, by file name where there is an index; sizes are summed.

    Every tensor must be in one shard only, and those of the index where it says.
    """
    by_name = dict(shards) if isinstance(shards, Mapping) else {str(i): header for i, header in enumerate(shards)}
    owner: dict[str, str] = {}
    for shard, header in by_name.items():
        for tensor in header.tensors:
            if tensor.name in owner:
                raise CorruptError(f"safetensors tensor {tensor.name!r} is in two shards, {owner[tensor.name]} and {shard}")
            owner[tensor.name] = shard
    _check_index(by_name, owner, index)
    headers = by_name.values()
    metadata = {key: value for header in headers for key, value in header.metadata.items()}
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    return Header(metadata, tensors, sum(h.header_bytes for h in headers), sum(h.tensor_bytes for h in headers), len(by_name))


def _check_index(shards: Mapping[str, Header], owner: Mapping[str, str], index: Index | None) -> None:
    if not shards:
        raise CorruptError("a safetensors model needs at least one file")
    if index is None:
        return
    missing = [name for name in index.shards if name not in shards]
    if missing:
        raise CorruptError(f"{len(missing)} of {len(index.shards)} safetensors shards are missing: {', '.join(missing[:3])}")
    for tensor, shard in index.weight_map.items():
        if owner.get(tensor) != shard:
            raise CorruptError(f"the safetensors index puts {tensor!r} into {shard}, which does not hold it")
