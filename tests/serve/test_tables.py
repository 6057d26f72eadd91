"""The tables to take away: the same rows as JSON and CSV, with source, date and licence."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("jinja2")

import tonnage
from tonnage.hardware.devices import catalogue as devices
from tonnage.model import catalogue
from tonnage.pages import reply
from tonnage.pages.tables import TABLES

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))


def _rows(name: str) -> list[dict[str, object]]:
    return json.loads(reply(f"/data/{name}.json").body)["rows"]


@pytest.mark.parametrize("name", TABLES)
def test_both_forms_have_the_same_rows(name: str) -> None:
    """Row by row and column by column; what is null or lacking in one is empty in the other."""
    found = reply(f"/data/{name}.csv")
    lines = [*csv.DictReader(io.StringIO(found.body))]

    assert (200, "text/csv; charset=utf-8") == (found.status, found.type)
    rows = _rows(name)
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert row.keys() <= line.keys()
        assert {key: "" if row.get(key) is None else str(row[key]) for key in line} == line


@pytest.mark.parametrize("name", TABLES)
def test_a_table_says_where_it_comes_from(name: str) -> None:
    """Title, source, date and licence travel with the rows, and stand on the page that links to both forms."""
    told = json.loads(reply(f"/data/{name}.json").body)
    body = reply("/data/").body

    assert {"table", "title", "about", "source", "date", "licence", "publisher", "rows"} == told.keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", told["date"])
    assert {f"/data/{name}.csv", f"/data/{name}.json"} <= {*re.findall(r'href="([^"]+)"', body)}
    assert told["date"] in body


@pytest.mark.parametrize("name", ["models", "devices", "electricity"])
def test_rows_name_their_source(name: str) -> None:
    """Where sources differ from row to row, each row has its own."""
    assert [] == [row for row in _rows(name) if not row["source"]]


def test_no_row_is_left_out() -> None:
    """Every model and device of the package, and no other."""
    assert [*catalogue.names()] == [row["model"] for row in _rows("models")]
    assert [device.name for device in devices()] == [row["name"] for row in _rows("devices")]


def test_memory_is_the_estimates() -> None:
    """The bytes of a row are those of the question that it stands for."""
    row = next(row for row in _rows("memory") if (row["model"], row["quant"]) == ("llama-3.1-8b-instruct", "Q4_K_M"))

    assert row["gpu_bytes"] == tonnage.estimate(row["model"], quant=row["quant"], context=row["context_tokens"]).gpu_bytes


@pytest.mark.parametrize("path", ["/data/model.json", "/data/devices.xml", "/data/x.csv"])
def test_a_table_that_is_none_is_not_found(path: str) -> None:
    """404, with the nearest name."""
    assert 404 == reply(path).status


def test_dates_are_of_the_tables_as_they_are() -> None:
    """Every packaged table is dated, by the hash that it has: scripts/docs.py writes them anew."""
    import make_dates

    assert make_dates.text() == make_dates.TARGET.read_text(encoding="utf-8")
    assert {name for table in TABLES.values() for name in table.files if not name.endswith("/")} <= {*make_dates.names()}
