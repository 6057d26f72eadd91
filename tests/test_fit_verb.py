"""`tonnage fit`: what it lists besides the catalogue, and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from tonnage.cli import main

pytestmark = pytest.mark.slow

OWN = """
[[device]]
name = "lab card"
memory = "24GB"
vendor = "NVIDIA"
bandwidth = 900
price = 1200
"""


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and rows."""
    code = main(["fit", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)["rows"]


def test_own_devices_come_with_the_catalogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The user's file is beside the table, found by its words too."""
    path = tmp_path / "devices.toml"
    path.write_text(OWN)
    _, every = listed(capsys, "qwen3-8b", "--device-file", str(path))
    code, rows = listed(capsys, "qwen3-8b", "--device-file", str(path), "--match", "lab")

    assert "lab card" in [row["device"] for row in every]
    assert (0, ["lab card"]) == (code, [row["device"] for row in rows])


def test_the_cpu_has_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    """No card of the catalogue is listed with the memory of the host."""
    code, rows = listed(capsys, "qwen3-8b", "--backend", "cpu", "--ram", "32GB")

    assert (0, ["host memory"]) == (code, [row["device"] for row in rows])


def test_a_device_that_runs_with_experts_in_ram_is_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    """`offload` ends with 0, as `estimate` does; what stands in the way of it ends with 1."""
    asked = ("qwen3-30b-a3b", "-q", "Q4_K_M", "-c", "32K", "--match", "RTX 3060 12GB")
    code, (row,) = listed(capsys, *asked)
    short_code, (short,) = listed(capsys, *asked, "--ram", "4GB")

    assert (0, "offload") == (code, row["verdict"])
    assert "-ncmoe" in row["remedy"]
    assert (1, "too big") == (short_code, short["verdict"])


def test_rows_have_the_keys_of_the_interface(capsys: pytest.CaptureFixture[str]) -> None:
    """Device, verdict, margin, context, quant and speed."""
    _, (row,) = listed(capsys, "qwen3-8b", "-d", "RTX 3090")

    assert {"device", "verdict", "margin_bytes", "max_context", "best_quant", "speed"} <= row.keys()
    assert row["speed"]["decode_tokens_per_second"].keys() == {"low", "likely", "high"}
