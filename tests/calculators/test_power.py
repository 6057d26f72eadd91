"""What electricity costs."""

import pytest

from tonnage.calculators.power import Use, check, per_million_tokens, tariff, tariffs
from tonnage.errors import QuestionError


def test_a_million_tokens():
    """350 W at 30 tokens a second and 0.30 a kilowatt-hour are 0.97 per million."""
    assert 0.97 == round(per_million_tokens(350, 30, 0.30), 2)


def test_a_day():
    """Load and rest of the day, through the power supply."""
    assert 2.25 == Use(450, 5).kwh_per_day
    assert (450 * 5 + 20 * 19) / 0.9 / 1000 == Use(450, 5, 20, 0.9).kwh_per_day
    assert 500 == Use(450, 5, 20, 0.9).wall_watts


@pytest.mark.parametrize(("name", "price"), [("Germany", 0.3835), ("de", 0.3835), ("USA", 0.1872), ("uk", 0.2611), ("california", 0.3375)])
def test_a_country_has_names(name, price):
    """A country is found by name, code and common words, whatever the case."""
    assert price == tariff(name).price


def test_a_business_price_is_not_guessed():
    """Where only one kind of tariff is known, the other is refused."""
    assert 0.146 == tariff("US", "business").price
    with pytest.raises(QuestionError, match="no business price is known, only household"):
        tariff("Germany", "business")


def test_an_unknown_country_is_refused():
    """The nearest are named, and the way out."""
    with pytest.raises(QuestionError, match=r"--price; did you mean Germany"):
        tariff("Germny")


@pytest.mark.parametrize("use", [Use(0, 5), Use(-1, 5), Use(100, 25), Use(100, 5, 0, 0), Use(100, 5, 0, 1.1)])
def test_what_cannot_be_is_refused(use):
    """No power, more hours than a day has, a power supply that gives more than it takes."""
    with pytest.raises(QuestionError, match=r"^(watts|hours|psu)="):
        check(use)


def test_every_row_has_price_date_and_source():
    """A price is worth nothing without its day and where it stands; none is free, none costs more than 1."""
    for row in tariffs():
        assert {"region", "currency", "date", "source"} <= row.keys()
        assert all(0 < row[kind] < 1 for kind in ("household", "business") if kind in row)
        assert "household" in row or "business" in row
    names = [row["region"] for row in tariffs()]
    assert len(set(names)) == len(names)
