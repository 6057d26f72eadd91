"""Where pages stand, and what may be read for them."""

from typing import Any, NamedTuple

from tonnage.errors import TonnageError
from tonnage.question import Question
from tonnage.remote.access import Access
from tonnage.source import Opened, open_question

BUILT_IN = Access(files=False, network=False, private=False, token=False, cache=False)
"""the models of the package alone"""


class Site(NamedTuple):
    """A place where pages stand."""

    base: str = ""
    """before every link: empty, or as in `/tonnage`"""
    origin: str = ""
    """before canonical links, as in `https://tonnage.example`; empty leaves them without a host"""
    access: Access = BUILT_IN
    worker: str = ""
    """path of the script that answers in the browser; empty where a server does"""
    served: bool = True
    """whether a server answers questions here; a site of files has fewer cards for links"""
    cards: bool = True
    """whether cards can be drawn here; where they cannot, no page names one"""

    def opened(self, question: Question) -> Opened:
        """The question with its model."""
        return open_question(question, self.access)

    def link(self, path: str, query: str = "") -> str:
        """The address of a page."""
        return self.base + path + (f"?{query}" if query else "")

    def whole(self, path: str, query: str = "") -> str:
        """The address of a page for those outside of the site."""
        return self.origin + self.link(path, query)


HERE = Site()


class NotFoundError(TonnageError):
    """There is no page at a path."""

    kind = "not found"

    def __init__(self, path: str, nearest: Any = ()) -> None:
        super().__init__(f"there is no page at {path[:80]}", nearest)
