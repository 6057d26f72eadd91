"""How long bytes take over a link, or over several in a row. MB = 10^6 bytes; Gb/s are bits."""

import re
from collections.abc import Iterable, Mapping
from functools import cache

from tonnage import data
from tonnage.errors import QuestionError, nearest
from tonnage.frozen import dataclass
from tonnage.units import parse_bytes

_TABLE = "calculators/interfaces.json"
_ALIASES: Mapping[str, str] = {
    **{f"nvme gen{g}": f"NVMe PCIe {g}.0 x4" for g in (3, 4, 5)},
    **{f"pcie gen{g} x{n}": f"PCIe {g}.0 x{n}" for g in range(1, 7) for n in (1, 2, 4, 8, 16)},
    **{f"pcie {g} x{n}": f"PCIe {g}.0 x{n}" for g in range(1, 7) for n in (1, 2, 4, 8, 16)},
    "nvme": "NVMe PCIe 4.0 x4",
    "sata": "SATA III SSD",
    "sata ssd": "SATA III SSD",
    "hdd": "SATA HDD 7200 rpm",
    "hard disk": "SATA HDD 7200 rpm",
    "usb 3.0": "USB 3.2 Gen 1 (5 Gb/s)",
    "usb 3.1": "USB 3.2 Gen 2 (10 Gb/s)",
    "usb4": "USB4 / Thunderbolt 3/4 (40 Gb/s)",
    "thunderbolt 3": "USB4 / Thunderbolt 3/4 (40 Gb/s)",
    "thunderbolt 4": "USB4 / Thunderbolt 3/4 (40 Gb/s)",
    "thunderbolt 5": "USB4 v2 / Thunderbolt 5 (80 Gb/s)",
    "ethernet": "Gigabit Ethernet",
    "1 gbe": "Gigabit Ethernet",
    "gigabit": "Gigabit Ethernet",
    "100 mb/s internet": "Cable/fibre 100 Mb/s",
    "5g": "5G typical 200 Mb/s",
    "4g": "4G typical 40 Mb/s",
}
"""other names, lower case -> the table's"""

_JOINS = r"\s*(?:>|\+|->|→)\s*"
_LARGEST = 10**18
_FEW = 10**6
"""a bare number below it is hardly meant as bytes"""


@dataclass(frozen=True, slots=True)
class Link:
    """Something that bytes go over."""

    name: str
    kind: str
    """pcie, storage, usb, network, wifi, internet; rate where the user gave one"""
    line_mb_s: float
    """what encoding leaves of the wire's rate"""
    typical_mb_s: float
    """what a copy reaches"""
    line_gbit_s: float
    """the wire's rate"""
    per_file_s: float = 0.0
    """what opening one more file costs"""

    @property
    def efficiency(self) -> float:
        """What a copy reaches, as a share of the wire's rate."""
        return self.typical_mb_s * 8 / 1000 / self.line_gbit_s


@dataclass(frozen=True, slots=True)
class Transfer:
    """So many bytes over a path of links."""

    path: tuple[Link, ...]
    nbytes: int
    files: int
    seconds: float
    """at the rates that copies reach"""
    least_seconds: float
    """at the lines' rates"""

    @property
    def name(self) -> str:
        """The path."""
        return " > ".join(link.name for link in self.path)

    @property
    def bottleneck(self) -> Link:
        """The slowest link: the others wait for it."""
        return min(self.path, key=lambda link: link.typical_mb_s)


@cache
def links() -> Mapping[str, Link]:
    """Every packaged link by its name."""
    table = data.load_json(_TABLE)
    per_file: Mapping[str, float] = table["per_file_ms"]
    rows = [{key: value for key, value in row.items() if key != "note"} for row in table["rows"]]
    return {row["name"]: Link(**row, per_file_s=per_file[row["kind"]] / 1000) for row in rows}


def parse_link(text: str) -> Link:
    """A link by name (`PCIe 4.0 x16`, `NVMe Gen4`, `Wi-Fi 6`), or a rate (`500MB/s`, `2.5Gb/s`); QuestionError for anything else."""
    rate = _rate(text.strip())
    if rate:
        return Link(text.strip(), "rate", rate, rate, rate * 8 / 1000)
    known = links()
    wanted = _plain(_ALIASES.get(text.strip().lower(), text))
    by_plain = {_plain(name): link for name, link in known.items()}
    if wanted in by_plain:
        return by_plain[wanted]
    starting = [link for plain, link in by_plain.items() if _starts(plain, wanted)]
    if len(starting) == 1:
        return starting[0]
    near = tuple(link.name for link in starting[:4]) or nearest(text[:60], [*known, *_ALIASES])
    raise QuestionError(f"link={text[:60]!r}: {'several are called so' if starting else 'not known'}; a rate such as 500MB/s is taken too", near)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", " ", name.lower().replace("wifi", "wi-fi ")).strip()


def _starts(plain: str, wanted: str) -> bool:
    """Whole words from the beginning: `wi fi 6` is not `wi fi 6e`."""
    return bool(wanted) and (plain + " ").startswith(wanted + " ")


def _rate(text: str) -> float | None:
    """10^6 bytes a second of a written rate; a small b is bits, a large B bytes, and what bits are of may be left out: `100Mbit`."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMGT]?)(i?)(?:(B|b)(?:/s|ps)|(bits?)(?:/s|ps)?)", text)
    if not match or float(match[1]) <= 0:
        return None
    base = 1024 if match[3] else 1000
    per_second = float(match[1]) * base ** " kmgt".index(match[2].lower() or " ")
    return float(per_second / (1e6 if match[4] == "B" else 8e6))


def parse_path(text: str) -> tuple[Link, ...]:
    """Links in a row, as in `NVMe Gen4 > PCIe 4.0 x16`."""
    return tuple(parse_link(part) for part in re.split(_JOINS, text.strip()))


def parse_size(text: str) -> int:
    """Bytes of `76.5GB` (10^9) or `20 GiB` (2^30); QuestionError where it is no size."""
    size = parse_bytes(text) if len(text) <= 32 else None
    if not size or size > _LARGEST:
        raise QuestionError(f"size={text[:60]!r}: must be a size such as 76.5GB (10^9 bytes) or 20GiB (2^30)")
    if size < _FEW and text.strip().replace(".", "").isdigit():
        raise QuestionError(f"size={text[:60]!r}: of what? a size has its unit", (f"{text.strip()}GB", f"{text.strip()}GiB"))
    return size


def transfer(nbytes: int, path: Iterable[Link], files: int = 1) -> Transfer:
    """So many bytes in so many files over a path: as fast as its slowest link."""
    row = tuple(path)
    opening = files * sum(link.per_file_s for link in row) if files > 1 else 0.0
    slowest, least = min(link.typical_mb_s for link in row), min(link.line_mb_s for link in row)
    return Transfer(row, nbytes, files, nbytes / (slowest * 1e6) + opening, nbytes / (least * 1e6))
