"""Counts in the text format of Prometheus. Workers leave theirs in a folder, and whoever is asked adds them up."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
TOLD = {
    "tonnage_build_info": ("gauge", "What answers: version, and hash of code and data."),
    "tonnage_requests_total": ("counter", "Requests by kind of path and status."),
    "tonnage_request_seconds": ("histogram", "Seconds until the answer's head, by kind of path."),
    "tonnage_answers_total": ("counter", "Answers by where they came from: kept, shared with another request, made, or not changed for the client."),
    "tonnage_refused_total": ("counter", "Requests refused by a limit."),
    "tonnage_kept_bytes": ("gauge", "Bytes of answers in memory."),
    "tonnage_waiting": ("gauge", "Questions in work or in line."),
    "tonnage_worker_resident_bytes": ("gauge", "Memory of each worker."),
}
"""family -> type and help"""

Samples = dict[str, float]


class Counts:
    """The samples of one worker, by name and labels as they are printed."""

    def __init__(self, folder: str = "", worker: str = "") -> None:
        self.samples: Samples = {}
        self._path = os.path.join(folder, f"{worker or os.getpid()}.json") if folder else ""
        self._saved: Samples = {}

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count."""
        key = _key(name, labels)
        self.samples[key] = self.samples.get(key, 0) + amount

    def put(self, name: str, value: float, **labels: str) -> None:
        """Hold a value that goes up and down."""
        self.samples[_key(name, labels)] = value

    def time(self, seconds: float, **labels: str) -> None:
        """Count a request's time."""
        for bound in BUCKETS:
            self.add("tonnage_request_seconds_bucket", seconds <= bound, **labels, le=f"{bound:g}")
        self.add("tonnage_request_seconds_bucket", 1, **labels, le="+Inf")
        self.add("tonnage_request_seconds_sum", seconds, **labels)
        self.add("tonnage_request_seconds_count", 1, **labels)

    def save(self) -> None:
        """Leave the samples for the other workers, where they have changed."""
        if not self._path or self.samples == self._saved:
            return
        self._saved = dict(self.samples)
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(self._path), delete=False) as file:
            json.dump(self._saved, file)
        os.replace(file.name, self._path)

    def text(self) -> str:
        """The samples of all workers."""
        every = [self.samples, *self._others()]
        added: Samples = {}
        for samples in every:
            for key, value in samples.items():
                added[key] = value if key.startswith("tonnage_build_info") else added.get(key, 0) + value
        return "\n".join(_lines(added)) + "\n"

    def _others(self) -> Iterator[Samples]:
        folder = os.path.dirname(self._path)
        for name in sorted(os.listdir(folder)) if folder else ():
            if name.endswith(".json") and name != os.path.basename(self._path):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    yield json.load(file)


def _key(name: str, labels: Mapping[str, str]) -> str:
    inner = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{inner}}}" if inner else name


def _lines(samples: Samples) -> Iterator[str]:
    for family, (kind, told) in TOLD.items():
        own = [key for key in samples if _family(key) == family]
        if own:
            yield f"# HELP {family} {told}"
            yield f"# TYPE {family} {kind}"
            yield from (f"{key} {samples[key]:.10g}" for key in own)


def _family(key: str) -> str:
    name = key.partition("{")[0]
    return next((name.removesuffix(end) for end in ("_bucket", "_sum", "_count") if name.endswith(end)), name)


def resident_bytes() -> int:
    """Memory of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
