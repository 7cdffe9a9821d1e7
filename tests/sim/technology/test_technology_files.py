"""Technology files: those shipped, unknown ones, and bad ones."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from sim import accelerator, technology
from sim.errors import InputError
from sim.systolic.results import MEMORIES
from sim.technology import NAMES, Figure
from tests.sim.technology.cases import SOURCED

FOLDER = Path(technology.__file__).parent


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_of_a_shipped_technology_has_a_source(name: str) -> None:
    for preset in ("ews-64", "ews-cms-64", "ws-16", "rom-16"):
        machine = accelerator.preset(preset)
        found = technology.load(name)
        figures = (
            found.energies(machine)
            | found.per_cycle(machine)
            | found.standing(machine)
            | found.areas(machine)
        )
        for what, figure in figures.items():
            assert isinstance(figure, Figure)
            assert figure.source, what
            assert (figure.value is None) == (figure.label == "missing"), what
            assert figure.value is None or figure.value > 0, what
        assert set(found.energies(machine)) == {*MEMORIES, "mac"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sky130", "'sky130hd'"),
        ("mvq40@7", "mvq40@65, mvq40@45"),
        ("sg13g2@40", "no factor from 130 nm"),
        ("mvq@28", "'mvq40'"),
        ("none.toml", "No such file"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        technology.load(name)


@pytest.mark.parametrize(
    ("old", "new", "field", "value", "problem"),
    [
        ("value = 2.0", "value = -2.0", "energy.mac.value", -2.0, "greater than or equal to 0"),
        ("voltage_v = 1.2", "volts = 1.2", "voltage_v", None, "missing"),
        ("max_hz = 1e8", "max_hz = 1e8\nmin_hz = 1", "clock.min_hz", 1, "no such field"),
        ('dram = "lpddr4"', 'dram = "lpddr44"', "dram", "lpddr44", "unknown"),
        ('table = "sg13g2"', 'table = "cacti"', "memory.table", "cacti", "unknown"),
        (f"[energy.rom]\nvalue = 3.0\n{SOURCED}", "", "energy", None, "rom is missing"),
        ("256 = 1e6, 4096 = 13e6", "256 = -1e6, 4096 = 13e6", "area.array.ews", None, "areas are positive"),
        ("256 = 1000, 4096 = 13000", "256 = 1000", "area.array.ews", None, "same sizes"),
        ("valid = [256, 4096]", "valid = [16, 4096]", "area.array.ews", None, "beyond the sizes"),
        (f"value = 2.0\n{SOURCED}", "value = 2.0\n", "energy.mac", None, "with the source"),
        ("value = 2.0", 'by = "sizes"\nat = { 1 = 2.0 }', "energy.mac", None, "accelerator field"),
        ('kind = "synthesized"', 'kind = "synthesised"', "kind", "synthesised", "unknown"),
        ("[energy.mac]", "[energy.multiply]", "energy.multiply", None, ""),
        ("[clock]", "[clock", "technology", None, ""),
        ('table = "sg13g2"', 'table = "sg13g2"\narea_factor = 0.5', "memory", None, "need their source"),
    ],
)
def test_bad_files_name_field_value_and_fix(
    write: Callable[..., str], old: str, new: str, field: str, value: object, problem: str
) -> None:
    with pytest.raises(InputError) as found:
        technology.load(write((old, new)))
    assert field in found.value.field
    assert problem in found.value.problem
    assert value is None or found.value.value == value
    assert found.value.fix


def test_shipped_files_say_what_they_are() -> None:
    for name in NAMES:
        fields = tomllib.loads((FOLDER / f"{name}.toml").read_text())
        assert fields["name"] == name
        assert technology.load(name).description
