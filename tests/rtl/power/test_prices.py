"""A power table becomes the prices of a technology file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from codeword.reports.mvq_hardware.synthesized_areas import LIBRARIES
from rtl.power.prices import main, prices
from sim import accelerator
from sim.technology.coefficients import Price


def event(joules: float) -> dict[str, float]:
    return {"mean_j": joules, "error_mean": 0.04}


POWER = {
    "provenance": {"library": "cells", "operands": "a network"},
    "components": {
        kind: {
            "date": "2026-11-24",
            "layers": 4,
            "area_um2": 1000.0,
            "flip_flops": 10,
            "clock_j_per_cycle": clock,
            "clock_pulses_per_cycle": 10,
            "leakage_w": 2e-6,
            "events": events,
        }
        for kind, clock, events in (
            ("dense_tile", 1e-12, {"mac": event(3e-12), "wrf_read": event(1e-12)}),
            ("sparse_tile", 3e-12, {"mac": event(5e-12), "wrf_read": event(2e-12)}),
            ("prf", 2e-12, {"prf_access": event(8e-12)}),
            ("arf", 2e-12, {"arf_write": event(2e-12), "arf_read": event(3e-12)}),
            ("rom_logic_512", 2e-12, {"rom_read": event(0.5e-12)}),
        )
    },
}


def test_units() -> None:
    found = tomllib.loads(prices(POWER))
    machine = accelerator.load("ews-cms-16", {"codebook_entries": 64, "rom_banks": 2})
    values = {
        f"{section}.{name}": Price.model_validate(fields).figure(machine).value
        for section in ("energy", "sparse")
        for name, fields in found[section].items()
    }
    assert values == pytest.approx(
        {
            "energy.mac": 3.0,
            "energy.wrf": 1.0,
            "energy.prf": 4.0,
            "energy.arf": 2.5,
            "energy.rom": 0.5,
            "sparse.mac": 5.0,
            "sparse.wrf": 2.0,
        }
    )
    # 10 flip-flops each, 2 uW on 1000 um2 each.
    assert found["clock_pj_per_flip_flop"]["value"] == pytest.approx(0.2)
    assert found["leakage_mw_per_mm2"]["value"] == pytest.approx(2.0)
    assert found["area"]["rom"]["um2"] == {"512": 1000.0}


ROOT = Path(__file__).parents[3]
TABLES = sorted((ROOT / "rtl" / "power" / "tables").glob("*.toml"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_shipped_prices_are_those_of_the_shipped_table(path: Path) -> None:
    table = tomllib.loads(path.read_text())
    technology = tomllib.loads((ROOT / "sim" / "technology" / path.name).read_text())
    given = tomllib.loads(prices(table))
    assert technology["area"]["rom"] == given.pop("area")["rom"]
    for section, fields in given.items():
        assert technology[section] == fields
    events = [event for part in table["components"].values() for event in part["events"].values()]
    assert len(events) == 17
    assert max(event["error_mean"] for event in events) < 0.1


def test_the_command_prints_the_prices_of_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(TABLES[0])]) == 0
    assert tomllib.loads(capsys.readouterr().out) == tomllib.loads(
        prices(tomllib.loads(TABLES[0].read_text()))
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [(None, "no such file"), ("=", "not TOML"), ("components = {}", "no components or provenance")],
)
def test_what_is_no_power_table_is_refused(
    text: str | None, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "table.toml"
    if text is not None:
        path.write_text(text)
    assert main([str(path)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert problem in error


def test_every_library_has_a_table() -> None:
    assert [path.stem for path in TABLES] == sorted(LIBRARIES)
