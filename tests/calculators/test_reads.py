"""Levels of memory to a human scale."""

from tonnage.calculators.reads import Share, levels, shares_of


def test_levels_are_ordered_by_latency_within_a_machine():
    """Registers, caches, memory, disks: each is further away than the one before; each has a source."""
    machine = [level for level in levels() if "DRAM" in level.name or "cache" in level.name or "register" in level.name]

    assert sorted(machine, key=lambda level: level.latency_ns) == machine
    assert all(level.source for level in levels())


def test_a_read_is_a_latency_and_a_stream():
    """A megabyte from a disk of 180 MB/s takes its seek and the stream; from a register one access."""
    disk = next(level for level in levels() if level.name == "HDD")
    register = levels()[0]

    assert 9e6 + 1e6 / 0.18 == disk.read_ns(1_000_000)
    assert register.latency_ns == register.read_ns(8)


def test_shares_add_up():
    """The parts of all bytes and of all time are 1 together; nothing read has no parts."""
    found = shares_of((Share("a", "weights", 3, 1.0), Share("b", "kv", 1, 3.0)))

    assert [(0.75, 0.25), (0.25, 0.75)] == [(nbytes, seconds) for _, nbytes, seconds in found]
    assert () == shares_of(())
