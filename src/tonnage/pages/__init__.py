"""The pages as pure functions of a path and a query: the server, the static site and the worker in a browser call the same.

    fragment(query)          the answer alone, as HTML; raises TonnageError
    page(path, query)        a whole page; raises TonnageError, or NotFoundError for a path that is none
    reply(path, query)       the same with status and type, errors as pages; never raises TonnageError

`site` says where the pages stand and what may be read for them.
"""

from tonnage.pages.routes import Reply, fragment, page, reply
from tonnage.pages.site import HERE, NotFoundError, Site

__all__ = ["HERE", "NotFoundError", "Reply", "Site", "fragment", "page", "reply"]
