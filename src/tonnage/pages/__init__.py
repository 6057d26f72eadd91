"""The pages as pure functions of a path and a query: the server, the static site and a worker in the browser call the same.

    fragment(query)          the answer alone, as HTML; raises TonnageError
    page(path, query)        a whole page; raises TonnageError, NotFoundError for a path that is none
    reply(path, query)       the same with status and type, errors as pages; never raises TonnageError

`site` says where the pages stand and what may be read for them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tonnage.pages.routes import Reply, fragment, page, reply
    from tonnage.pages.site import HERE, NotFoundError, Site

__all__ = ["HERE", "NotFoundError", "Reply", "Site", "fragment", "page", "reply"]


def __getattr__(name: str) -> Any:
    """A name of `__all__`, its module imported when it is first asked for: pages import each other through this package."""
    from importlib import import_module

    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{'routes' if name in ('Reply', 'fragment', 'page', 'reply') else 'site'}"), name)
