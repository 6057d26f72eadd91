"""Which rules a version has."""

import pytest

from tonnage.engines.vllm.build import build_of
from tonnage.errors import UnsupportedError


@pytest.mark.parametrize(
    ("version", "utilization", "align", "pages", "in_flight"),
    [
        ("0.11", 0.90, 1, 1, False),
        ("v0.19.0", 0.90, 1, 1, False),
        ("0.24.0", 0.92, 1, 1, False),
        ("0.32", 0.92, 1, 1, False),
        (None, 0.92, 64, 2, True),
    ],
)
def test_a_version_between_two_that_were_read_has_the_rules_of_the_older(version, utilization, align, pages, in_flight):
    """Share, alignment, state pages and steps in flight."""
    build = build_of(version)

    assert (utilization, align, pages, in_flight) == (build.utilization, build.checkpoint_align, build.cached_pages, build.async_scheduling)


@pytest.mark.parametrize("version", ["0.10", "0.34", "1.0", "newest", "0.33.x y", ""])
def test_other_versions_are_refused_with_those_that_are_known(version):
    """Nothing is guessed; an empty word is no version."""
    if not version:
        assert build_of(version).name == build_of(None).name
        return
    with pytest.raises(UnsupportedError, match=r"0\.11 to 0\.33"):
        build_of(version)
