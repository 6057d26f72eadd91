"""What every kind of layer keeps on one rank, in words."""

from collections import Counter

from tonnage.engines.vllm.groups import Layout
from tonnage.engines.vllm.pages import CHUNKED, LATENT, SLIDING, STATE, Page

_WORDS = {LATENT: "latent attention", STATE: "recurrent", "full": "full attention"}


def caches(layout: Layout) -> tuple[tuple[str, int, str], ...]:
    """(kind of layer, how many, what a block of each is), the most frequent first."""
    counted = Counter({(_kind(group.page), _keeps(group.page)): 0 for group in layout.groups})
    for group in layout.groups:
        counted[_kind(group.page), _keeps(group.page)] += len(group.layers)
    return tuple((name, count, keeps) for (name, keeps), count in counted.most_common())


def _kind(page: Page) -> str:
    if page.kind in (SLIDING, CHUNKED):
        return f"{page.kind} {page.window}"
    return _WORDS.get(page.kind, page.kind)


def _keeps(page: Page) -> str:
    padding = f", padded from {page.unpadded:,}" if page.padded else ""
    return f"{page.nbytes:,} bytes a block of {page.block:,} tokens{padding}"
