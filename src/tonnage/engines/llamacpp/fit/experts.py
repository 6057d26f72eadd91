"""Step 4: where all dense tensors fit, turn layers full, from the first device and the first layer on."""

from typing import NamedTuple

from tonnage.engines.llamacpp.fit.dense import Filled
from tonnage.engines.llamacpp.fit.search import Search
from tonnage.engines.llamacpp.fit.shares import ATTENTION, ATTENTION_UP, ATTENTION_UP_GATE, KEPT, Shares, changed
from tonnage.engines.llamacpp.fit.whole import step_towards, uint32
from tonnage.engines.llamacpp.placement import HOST


class State(NamedTuple):
    """A plan, what it uses, and the first device whose layers lack their experts."""

    shares: Shares
    totals: list[int]
    dense: int


def convert(search: Search, filled: Filled) -> Filled:
    """Front to back, every device gets as many full layers as it holds, and then a part of one more."""
    shares, totals = filled
    state = State(shares, totals, _first_of_last(shares))
    device = 0
    while device <= state.dense < search.devices:
        state = _one_more(search, device, _convert_one(search, device, state))
        device += 1
    return state.shares, state.totals


def _first_of_last(shares: Shares) -> int:
    """The first of the devices at the end that all have layers."""
    first = len(shares)
    while first and shares[first - 1].layers:
        first -= 1
    return first


def _convert_one(search: Search, device: int, state: State) -> State:
    """All further layers if they fit, else as many as the method of false position finds."""
    target, high = search.targets[device], _all_to(search, device, state)
    if high.totals[device] <= target:
        return high
    while (delta := uint32(high.shares[device].full - state.shares[device].full)) > 1:
        step = step_towards(target, state.totals[device], high.totals[device], delta)
        test = _some_to(search, device, state, step)
        if test.totals[device] <= target:
            state = test
        else:
            high = test
    return state


def _all_to(search: Search, device: int, state: State) -> State:
    """Every layer that lacks its experts becomes a full one of this device; the output layer stays."""
    shares, last = state.shares, search.devices - 1
    for d in range(state.dense, search.devices):
        moved = shares[d].layers if d < last else uint32(shares[d].layers - 1)
        shares = changed(shares, device, shares[device].more(moved, 0))
        shares = changed(shares, d, shares[d].more(-moved, 0)._replace(partial=0))
    return State(shares, search.try_out(shares), last)


def _some_to(search: Search, device: int, state: State, step: int) -> State:
    """So many layers that lack their experts become full ones of this device."""
    shares, dense, converted = state.shares, state.dense, 0
    while dense < search.devices:
        moved = min(uint32(step - converted), shares[dense].partial)
        shares = changed(shares, dense, shares[dense].more(-moved, -moved))
        shares = changed(shares, device, shares[device].more(moved, 0))
        converted += moved
        if shares[dense].partial:
            break
        dense += 1
    return State(shares, search.try_out(shares), dense)


def _one_more(search: Search, device: int, state: State) -> State:
    """One layer more of which attention and up stay here; with its gate if that fits, attention alone if not even that."""
    if state.dense >= search.devices or state.shares[state.dense].layers <= (0 if device < search.devices - 1 else 1):
        return state
    with_up = _with_part(search, device, state, ATTENTION_UP)
    if not _fits(search, device, with_up):
        alone = _with_part(search, device, state, ATTENTION)
        return alone if _fits(search, device, alone) else state
    with_gate = _with_part(search, device, state, ATTENTION_UP_GATE)
    return with_gate if _fits(search, device, with_gate) else with_up


def _with_part(search: Search, device: int, state: State, overflow: str) -> State:
    """The next layer goes to this device but for `overflow`, which goes to the next one, or from the last to the host."""
    shares = changed(state.shares, state.dense, state.shares[state.dense].more(-1, -1))
    to = device + 1 if device < search.devices - 1 else HOST
    shares = changed(shares, device, shares[device].more(1, 1)._replace(overflow=overflow, to=to))
    dense = state.dense + (shares[state.dense].partial == 0)
    search.note(f"one layer more on CUDA{device}: {KEPT[overflow]}, the rest to {'the host' if to == HOST else f'CUDA{to}'}")
    return State(shares, search.try_out(shares), dense)


def _fits(search: Search, device: int, state: State) -> bool:
    """Below the target, here and on the device that takes the rest."""
    return all(state.totals[d] < search.targets[d] for d in (device, device + 1) if d < search.devices)
