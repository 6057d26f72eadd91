"""GGUF: the bytes of a file's head -> metadata and tensor table. The tensors' data are never read.

The head has no length field, so the reader takes whatever prefix there is, and `TruncatedError` says how
many bytes it lacks. It refuses what llama.cpp's own reader refuses (ggml/src/gguf.cpp, build 11434),
and heads beyond the limits below, which no real file comes near.
"""

import re
import struct
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from tonnage.errors import CorruptError
from tonnage.errors import TruncatedError as TruncatedError
from tonnage.frozen import dataclass, replace
from tonnage.model.types import Tensor
from tonnage.quant.types import BY_ID, BlockType
from tonnage.units import MIB, pad

MAX_HEADER_BYTES = 256 * MIB  # of one file; the largest vocabularies need about 20 MiB
MAX_KEYS = 65_536
MAX_TENSORS = 1 << 20
MAX_KEY_BYTES = 65_535  # GGUF specification, gguf_metadata_kv_t
MAX_ITEMS = 512  # LLAMA_MAX_LAYERS: a longer array cannot be a hyperparameter
MAX_TEXT_BYTES = 65_536  # chat templates, the longest texts in use, stay below it
MAX_DIMS = 4  # GGML_MAX_DIMS
MAX_NAME_BYTES = 63  # GGML_MAX_NAME without its closing zero
DEFAULT_ALIGNMENT = 32

_MAX_ELEMENTS = 2**63 - 1
_MAX_BYTES = 2**64 - 1
_PREAMBLE = struct.Struct("<4sIQQ")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_ARRAY_HEAD = struct.Struct("<IQ")
_TENSOR_TAIL = tuple(struct.Struct(f"<{n}QIQ") for n in range(MAX_DIMS + 1))
_MIN_KEY_BYTES = 14  # length, one byte of name, type, one byte of value
_MIN_TENSOR_BYTES = 24  # length, empty name, number of dimensions, type, offset
_STRING, _ARRAY = 8, 9
_Typed = dict[str, tuple[str, Any]]
"""metadata values, each behind the name of its type"""
_NAMES = ("u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "str", "arr", "u64", "i64", "f64")
_CODES = ("B", "b", "H", "h", "I", "i", "f", "?", "", "", "Q", "q", "d")
_SCALARS = tuple(struct.Struct("<" + code) for code in _CODES)
_SHARD = re.compile(r"(.+)-([0-9]{5})-of-([0-9]{5})\.gguf", re.DOTALL)
_SUMMED = ("kv_bytes", "header_bytes", "data_offset", "tensor_bytes")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A value that was walked over, not built: `count` elements, or bytes where `type` is `text`."""

    type: str
    count: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF says before its data; of a split model, after `merge`, the sum of its shards."""

    version: int
    metadata: Mapping[str, Any]
    """numbers, bools, texts and tuples of numbers or bools; everything longer is `Skipped`"""
    tensors: tuple[Tensor, ...]
    alignment: int
    kv_bytes: int
    """of the metadata alone"""
    header_bytes: int
    """from the file's first byte to the end of the tensor table"""
    data_offset: int
    """`header_bytes` padded to the alignment: where the first tensor begins"""
    tensor_bytes: int
    """of all tensors, each padded to the alignment as in the file"""
    shards: int = 1

    @property
    def architecture(self) -> str:
        """`general.architecture`; empty where the file has none, as in all shards but the first."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def file_bytes_needed(self) -> int:
        """Size of a complete file."""
        return self.data_offset + self.tensor_bytes


def parse(data: bytes | memoryview, *, file_bytes: int | None = None) -> Header:
    """The header of the file that begins with `data` and is `file_bytes` long.

    TruncatedError where `data` ends too early, CorruptError where the file is no sound GGUF or, its size
    known, is shorter than its header says.
    """
    reader = _Reader(data, file_bytes)
    version = _read_preamble(reader)
    reader.expect_rest()
    kv_start = reader.at
    metadata = _read_metadata(reader)
    _check_architecture(metadata)
    reader.expect_rest()
    kv_bytes = reader.at - kv_start
    alignment = _alignment(metadata)
    plain = {key: value for key, (_, value) in metadata.items()}
    tensors, tensor_bytes = _read_tensors(reader, alignment)
    data_offset = pad(reader.at, alignment) if tensors else reader.at
    header = Header(version, plain, tensors, alignment, kv_bytes, reader.at, data_offset, tensor_bytes)
    _check_bounds(header, file_bytes)
    return header


def _check_architecture(metadata: _Typed) -> None:
    kind, value = metadata.get("general.architecture", ("str", ""))
    if not isinstance(value, str):
        raise CorruptError(f"GGUF key 'general.architecture' must be a short text but is of type {kind}")


def _check_bounds(header: Header, file_bytes: int | None) -> None:
    """llama.cpp needs every tensor's data inside the file, yet not the padding behind the last one."""
    if file_bytes is None or not header.tensors:
        return
    last = header.tensors[-1]
    end = header.file_bytes_needed - pad(last.nbytes, header.alignment) + last.nbytes
    if end > file_bytes:
        raise CorruptError(
            f"GGUF tensor data is not within the file bounds: the header needs {end:,} bytes, the file has {file_bytes:,}; download it again"
        )


# --- the parts of a header -----------------------------------------------------------------------


class _Reader:
    """A place in a prefix of the file, and what is still to come behind it."""

    __slots__ = ("at", "data", "end", "file_bytes", "keys_left", "tensors_left")

    def __init__(self, data: bytes | memoryview, file_bytes: int | None) -> None:
        self.data = data
        self.file_bytes = file_bytes
        self.at = 0
        self.end = len(data)
        self.keys_left = 0
        self.tensors_left = 0

    def need(self, nbytes: int) -> int:
        """Where the next `nbytes` begin, once they are known to be there; moves behind them."""
        self.at += nbytes
        if self.at > self.end:
            self.short()
        return self.at - nbytes

    def rest(self) -> int:
        """What the keys and tensors still to come take at least."""
        return self.keys_left * _MIN_KEY_BYTES + self.tensors_left * _MIN_TENSOR_BYTES

    def expect_rest(self) -> None:
        """Fail early where the prefix cannot hold all that is to come, before any of it is read."""
        if self.at + self.rest() > self.end:
            self.short()

    def short(self) -> NoReturn:
        """Fail because the prefix ends before `at`: more may be fetched, unless there is no more."""
        need = self.at + self.rest()
        if self.file_bytes is not None and need > self.file_bytes:
            raise CorruptError(
                f"the GGUF header is not within the file bounds: it needs at least {need:,} bytes, the file has {self.file_bytes:,}; "
                f"download it again"
            )
        if need > MAX_HEADER_BYTES:
            raise CorruptError(f"the GGUF header claims {need:,} bytes, over the limit of {MAX_HEADER_BYTES:,}: the file is damaged")
        raise TruncatedError("GGUF", self.end, need)

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        """The values of `form` at this place."""
        start = self.at
        self.at = start + form.size
        if self.at > self.end:
            self.short()
        return form.unpack_from(self.data, start)

    def text(self, limit: int, what: str) -> str:
        """A name of at most `limit` bytes."""
        (size,) = self.unpack(_U64)
        if size > limit:
            raise CorruptError(f"GGUF {what} at byte {self.at - 8:,} is {size:,} bytes long, over the limit of {limit:,}")
        return self.decode(size)

    def decode(self, size: int) -> str:
        """`size` bytes as text; what is no UTF-8 stays readable, since llama.cpp does not mind it."""
        start = self.need(size)
        return str(self.data[start : self.at], "utf-8", "backslashreplace")


def _read_preamble(reader: _Reader) -> int:
    """Magic, version and counts; returns the version."""
    magic = bytes(reader.data[:4])
    if magic != b"GGUF"[: len(magic)]:
        raise CorruptError(f"not a GGUF file: it begins with {magic!r}, not b'GGUF'")
    _, version, tensors, keys = reader.unpack(_PREAMBLE)
    _check_version(version)
    for count, limit, what in ((tensors, MAX_TENSORS, "tensors"), (keys, MAX_KEYS, "metadata keys")):
        if count > limit:
            raise CorruptError(f"the GGUF header claims {count:,} {what}, over the limit of {limit:,}: the file is damaged")
    reader.keys_left, reader.tensors_left = keys, tensors
    return int(version)


def _check_version(version: int) -> None:
    if version and not version & 0xFFFF:
        raise CorruptError(f"big-endian GGUF (version {version:#010x}): llama.cpp reads it on big-endian hosts only; convert its byte order")
    if version not in (2, 3):
        raise CorruptError(f"GGUF version {version} is not supported, only 2 and 3; convert the model again")


def _read_metadata(reader: _Reader) -> _Typed:
    """Every key with its type and value."""
    found: _Typed = {}
    while reader.keys_left:
        reader.keys_left -= 1
        key = reader.text(MAX_KEY_BYTES, "metadata key")
        if not key:
            raise CorruptError(f"GGUF metadata key {len(found)} is empty")
        if key in found:
            raise CorruptError(f"GGUF metadata key {key!r} is there twice")
        found[key] = _read_value(reader, key)
    return found


def _read_value(reader: _Reader, key: str) -> tuple[str, Any]:
    """Type and value of `key`."""
    (kind,) = reader.unpack(_U32)
    if kind == _ARRAY:
        return "arr", _read_array(reader, key)
    _check_kind(kind, key)
    if kind == _STRING:
        return "str", _read_text(reader)
    return _NAMES[kind], reader.unpack(_SCALARS[kind])[0]


def _check_kind(kind: int, key: str) -> None:
    """Arrays of arrays are refused too: llama.cpp reads none."""
    if kind >= len(_NAMES) or kind == _ARRAY:
        raise CorruptError(f"GGUF metadata key {key!r} has invalid type {kind}{' (nested array)' if kind == _ARRAY else ''}")


def _read_text(reader: _Reader) -> str | Skipped:
    (size,) = reader.unpack(_U64)
    if size <= MAX_TEXT_BYTES:
        return reader.decode(size)
    reader.need(size)
    return Skipped("text", size)


def _read_array(reader: _Reader, key: str) -> tuple[Any, ...] | Skipped:
    """Short arrays of numbers as they are; texts (vocabularies) and long arrays by their length."""
    kind, count = reader.unpack(_ARRAY_HEAD)
    _check_kind(kind, key)
    if kind == _STRING:
        _skip_texts(reader, count)
        return Skipped("str", count)
    start = reader.need(count * _SCALARS[kind].size)
    if count > MAX_ITEMS:
        return Skipped(_NAMES[kind], count)
    return struct.unpack_from(f"<{count}{_CODES[kind]}", reader.data, start)


def _skip_texts(reader: _Reader, count: int) -> None:
    """Walk over `count` texts, each behind its length: the one loop that a large vocabulary pays for."""
    start = reader.at
    reader.need(count * _U64.size)  # a hostile count ends here
    data, at, left, unpack = reader.data, start, count, _U64.unpack_from
    try:
        for left in range(count, 0, -1):  # noqa: B007 - what is left when the prefix ends
            at += 8 + unpack(data, at)[0]
        left = 0
    except (struct.error, OverflowError):
        pass  # the prefix ends before the next length
    reader.at = at + left * _U64.size
    if reader.at > reader.end:
        reader.short()


def _alignment(metadata: _Typed) -> int:
    """`general.alignment`: a u32 and a power of two, else gguf.cpp refuses the file."""
    kind, alignment = metadata.get("general.alignment", ("u32", DEFAULT_ALIGNMENT))
    if kind != "u32":
        raise CorruptError(f"GGUF key 'general.alignment' must be of type u32 but is {kind}")
    if alignment == 0 or alignment & (alignment - 1):
        raise CorruptError(f"GGUF alignment {alignment} is not a power of 2")
    return int(alignment)


def _read_tensors(reader: _Reader, alignment: int) -> tuple[tuple[Tensor, ...], int]:
    """The tensor table, and the bytes of its data: each tensor must begin where the one before ends."""
    tensors: dict[str, Tensor] = {}
    total = 0
    while reader.tensors_left:
        reader.tensors_left -= 1
        tensor, nbytes, offset = _read_tensor(reader)
        if tensor.name in tensors:
            raise CorruptError(f"GGUF tensor {tensor.name!r} is there twice")
        if offset != total:
            raise CorruptError(f"GGUF tensor {tensor.name!r} has offset {offset:,}, expected {total:,}")
        tensors[tensor.name] = tensor
        total += pad(nbytes, alignment)
        if total > _MAX_BYTES:
            raise CorruptError(f"GGUF tensor {tensor.name!r} of shape {tensor.shape} ends beyond 2^64 bytes")
    return tuple(tensors.values()), total


def _read_tensor(reader: _Reader) -> tuple[Tensor, int, int]:
    """One row of the table: the tensor, its bytes, and its offset in the data."""
    name = reader.text(MAX_NAME_BYTES, "tensor name")
    (n_dims,) = reader.unpack(_U32)
    if n_dims > MAX_DIMS:
        raise CorruptError(f"GGUF tensor {name!r} has {n_dims} dimensions, over the limit of {MAX_DIMS}")
    *dims, kind, offset = reader.unpack(_TENSOR_TAIL[n_dims])
    block = BY_ID.get(kind)
    if block is None:
        raise CorruptError(f"GGUF tensor {name!r} has unknown type {kind}: the file is damaged, or newer than llama.cpp build 11434")
    tensor = Tensor(name, tuple(dims) or (1,), block.name)
    return tensor, _nbytes(tensor, block), offset


def _nbytes(tensor: Tensor, block: BlockType) -> int:
    """Bytes of the data, once rows are known to be whole blocks and elements to be counted in 63 bits."""
    if tensor.shape[0] % block.elements:
        raise CorruptError(f"GGUF tensor {tensor.name!r} has rows of {tensor.shape[0]:,} elements, no multiple of {block.name}'s {block.elements}")
    elements = tensor.elements
    if elements > _MAX_ELEMENTS or max(tensor.shape) > _MAX_ELEMENTS:
        raise CorruptError(f"GGUF tensor {tensor.name!r} of shape {tensor.shape} has more than 2^63 elements")
    return elements // block.elements * block.nbytes


# --- split files ---------------------------------------------------------------------------------


def shard_names(name: str) -> tuple[str, ...]:
    """All names of the split model that `name` is a shard of; `name` alone where it is none.

    `model-00002-of-00003.gguf` -> its three names (llama_split_path).
    """
    match = _SHARD.fullmatch(name)
    if not match or not 1 <= int(match[2]) <= int(match[3]):
        return (name,)
    return tuple(f"{match[1]}-{no:05d}-of-{match[3]}.gguf" for no in range(1, int(match[3]) + 1))


def merge(headers: Iterable[Header]) -> Header:
    """The header of the model whose shards are `headers`, in any order; sizes are summed."""
    shards = sorted(headers, key=lambda header: _split_value(header, "split.no", 0))
    if not shards:
        raise CorruptError("a GGUF model needs at least one file")
    if len(shards) == 1 and _split_value(shards[0], "split.count", 1) <= 1:
        return shards[0]
    _check_shards(shards)
    tensors = tuple(tensor for shard in shards for tensor in shard.tensors)
    _check_merged(shards[0], tensors)
    sums = {field: sum(getattr(shard, field) for shard in shards) for field in _SUMMED}
    return replace(shards[0], tensors=tensors, shards=len(shards), **sums)


def _split_value(header: Header, key: str, default: int) -> int:
    value = header.metadata.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise CorruptError(f"GGUF key {key!r} must be a count but is {value!r}")
    return value


def _check_shards(shards: list[Header]) -> None:
    """Every shard of the same split is there, once."""
    counts = {_split_value(shard, "split.count", 1) for shard in shards}
    numbers = [_split_value(shard, "split.no", 0) for shard in shards]
    if len(counts) > 1:
        raise CorruptError(f"GGUF shards differ in 'split.count': {', '.join(map(str, sorted(counts)))}; they are not of one model")
    count = counts.pop()
    missing = sorted(set(range(min(count, len(shards) + 1))) - set(numbers))
    if missing:
        raise CorruptError(f"GGUF shard {missing[0] + 1} of {count} is missing")
    if len(shards) != count:
        raise CorruptError(f"GGUF model has {count} shards, but {len(shards)} were given")


def _check_merged(first: Header, tensors: tuple[Tensor, ...]) -> None:
    """No tensor is in two shards, and together they are as many as the first shard says."""
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise CorruptError(f"GGUF tensor {tensor.name!r} is in two shards")
        seen.add(tensor.name)
    expected = _split_value(first, "split.tensors.count", len(tensors))
    if expected != len(tensors):
        raise CorruptError(f"GGUF shards hold {len(tensors)} tensors, but 'split.tensors.count' is {expected}")
