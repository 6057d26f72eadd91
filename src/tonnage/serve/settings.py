"""What a server may be asked for, and how much of it."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from tonnage.remote.access import NAMED, PUBLIC, Access

VARIABLE = "TONNAGE_SERVE"
"""environment variable that carries the settings to the workers, as JSON"""


class Settings(NamedTuple):
    """The limits of one worker. Each worker holds them alone: two workers let twice the rate pass."""

    origin: str = ""
    """before canonical links, as in `https://tonnage.example`"""
    hub: bool = True
    """whether models outside of the package are looked up"""
    url_bytes: int = 4096
    """path and query together; longer ones are refused with 414"""
    body_bytes: int = 1024
    """that a request may bring, though none is read; larger ones are refused with 413"""
    seconds: float = 10.0
    """that an answer may take, then 503; the work goes on, and its answer is kept"""
    rate: float = 20.0
    """requests per second and client in the long run; 0 for no limit"""
    burst: int = 120
    """requests that a client may make at once"""
    kept_bytes: int = 64 * 1024 * 1024
    """of answers in memory"""
    waiting: int = 64
    """questions in work or in line; more are refused with 503"""
    searches: int = 8
    """questions whose answer is a search, in work or in line; more are refused with 503"""
    lookups: int = 8
    """models read from elsewhere at a time"""
    counts: str = ""
    """folder where workers leave their counts for each other; empty where there is one"""

    @property
    def access(self) -> Access:
        """What may be read for an answer: never a file of this machine."""
        return PUBLIC._replace(network=self.hub, hosts=NAMED)

    def to_environment(self) -> str:
        """As `from_environment` takes them."""
        return json.dumps(self._asdict())


def from_environment(environ: Mapping[str, str]) -> Settings:
    """The settings that the first process has left for its workers."""
    return Settings(**json.loads(environ.get(VARIABLE, "{}")))
