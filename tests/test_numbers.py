"""Numbers as people read them."""

import pytest

from tonnage.render.numbers import money, rough, seconds, significant

SIGNIFICANT = [(0, "0"), (0.0352, "0.0352"), (9.754, "9.75"), (99.97, "100"), (154.3, "154"), (12038.5, "12,038"), (0.9996, "1.00")]
ROUGH = [(12038.5, "12,000"), (154.3, "154"), (9.754, "9.75"), (2_272_345, "2,270,000")]
SECONDS = [
    (1e-8, "10.0 ns"),
    (16.67e-9, "16.7 ns"),
    (0.0673, "67.3 ms"),
    (2.86, "2.86 s"),
    (66.5, "66.5 s"),
    (109, "1 min 49 s"),
    (600, "10 min"),
    (3600, "1 h"),
    (3661, "1 h 1 min"),
    (90000, "1 day 1 h"),
    (2 * 31_536_000, "2 years"),
]
MONEY = [(0, "0.00"), (314.951, "314.95"), (0.9722, "0.97"), (0.0324, "0.032"), (2500, "2,500.00")]


@pytest.mark.parametrize(("show", "value", "expected"), [
    *((significant, *row) for row in SIGNIFICANT),
    *((rough, *row) for row in ROUGH),
    *((seconds, *row) for row in SECONDS),
    *((money, *row) for row in MONEY),
])  # fmt: skip
def test_numbers_are_shown(show, value, expected):
    """Digits that count, rounded ones, times in the units that suit them, amounts in cents or finer."""
    assert expected == show(value)
