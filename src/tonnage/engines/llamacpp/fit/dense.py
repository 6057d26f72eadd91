"""Step 3: fill the devices with layers, from the last device and the last layer on; experts stay on the host."""

from tonnage.engines.llamacpp.fit.search import Search
from tonnage.engines.llamacpp.fit.shares import Share, Shares, changed
from tonnage.engines.llamacpp.fit.whole import step_towards

Filled = tuple[Shares, list[int]]
"""shares, and the bytes that every device uses with them"""


def fill(search: Search) -> Filled:
    """The layers of every device; devices filled earlier are not looked at again."""
    shares: Shares = (Share(),) * search.devices
    totals = search.try_out(shares)
    for device in reversed(range(search.devices)):
        shares, totals = _fill_one(search, device, shares, totals)
    return shares, totals


def _fill_one(search: Search, device: int, shares: Shares, totals: list[int]) -> Filled:
    """All layers that are left if they fit, else as many as the method of false position finds."""
    left = search.blocks + 1 - sum(share.layers for share in shares[device + 1 :])
    if left <= 0:
        return shares, totals
    high = changed(shares, device, shares[device].more(left, _partial(search, device, shares[device], left)))
    totals_high, target = search.try_out(high), search.targets[device]
    if totals_high[device] <= target:
        return high, totals_high
    while (delta := high[device].layers - shares[device].layers) > 1:
        step = step_towards(target, totals[device], totals_high[device], delta)
        test = changed(shares, device, shares[device].more(step, _partial(search, device, shares[device], step)))
        totals_test = search.try_out(test)
        if totals_test[device] <= target:
            shares, totals = test, totals_test
        else:
            high, totals_high = test, totals_test
    return shares, totals


def _partial(search: Search, device: int, share: Share, layers: int) -> int:
    """How many of the layers that are added have experts; the output layer, the first of the last device, has none."""
    if not search.experts:
        return 0
    return layers - 1 if device == search.devices - 1 and share.partial == 0 else layers
