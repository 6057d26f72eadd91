"""Step 2: less context, before any weight moves."""

from collections.abc import Sequence

from tonnage.engines.llamacpp.fit.gauge import Memory
from tonnage.engines.llamacpp.fit.search import Search
from tonnage.engines.llamacpp.fit.whole import MAX_UINT32, quotient, uint32

ALIGNMENT = 256
"""cells of each stream come in multiples of this"""


def shrink(search: Search, least_context: int) -> bool:
    """Take the largest context that fits by a straight line down to the least one; whether that is all it takes.

    On one device that is believed; the result is not measured again.
    """
    most, asked = search.n_ctx, search.measure()
    # -c 0 asks for the full context
    least = MAX_UINT32 if search.question.n_ctx == 0 else min(least_context * search.streams, MAX_UINT32)
    if most <= least:
        search.note(f"the context stays at {most:,}: " + ("all of it is asked for" if least == MAX_UINT32 else f"the least is {least:,}"))
        return False
    search.n_ctx = least
    used, used_at_least = (sum(one.total for one in measured) for measured in (asked, search.measure()))
    target = sum(search.targets) - _reserve(search, asked)
    if target <= used_at_least:
        search.note(f"less context: {least:,}, the least, instead of {most:,}; that does not do")
        return False
    longer = least + quotient((most - least) * (target - used_at_least), used - used_at_least)
    search.n_ctx = max(longer - longer % (ALIGNMENT * search.streams), least)
    search.note(f"less context: {search.n_ctx:,} instead of {most:,}, on a straight line from {least:,}")
    return search.devices <= 1


def _reserve(search: Search, asked: Sequence[Memory]) -> int:
    """Several devices waste, by --fit's guess, half a layer each and one more half; a sixth where there are experts."""
    if search.devices <= 1:
        return 0
    given = search.question.gpu_layers
    # -1, all layers, is the greatest unsigned number
    layers = min(uint32(-1 if given is None else given), search.blocks)
    return (search.devices + 1) * quotient(sum(one.model for one in asked), layers) // (6 if search.experts else 2)
