"""Technology and cost against the printed tables, and parts against totals."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from sim import accelerator, technology
from sim.cost import cost
from sim.errors import InputError
from sim.results import LayerCounts
from sim.systolic.results import CAUSES, MEMORIES

MVQ40 = technology.load("mvq40")


def counts(name: str = "x", scale: int = 1) -> LayerCounts:
    """Every counter different, so that a swapped coefficient shows."""
    return LayerCounts(
        name,
        macs=1000 * scale,
        cycles={cause: (n + 1) * scale for n, cause in enumerate(CAUSES)},
        accesses={what: 10**n * scale for n, what in enumerate((*MEMORIES, "mac"))},
    )


@pytest.mark.parametrize(
    ("preset", "total"),
    [
        # MVQ Table 7, added up
        ("ews-cms-16", 8.664),
        ("ews-cms-32", 10.023),
        ("ews-cms-64", 11.680),
        ("ews-64", 4.236 + 0.968 + 6.924 + 1.659),
        ("ews-c-32", 1.505 + 0.968 + 6.924 + 1.303),
        ("ews-cm-16", 0.650 + 0.484 + 6.924 + 0.787),
        ("ws-16", 0.188 + 0.484 + 6.924 + 0.787),
    ],
)
def test_area_of_published_machines(preset: str, total: float) -> None:
    machine = accelerator.preset(preset)
    found = cost([counts()], machine, MVQ40)
    assert found.total_mm2 == pytest.approx(total, abs=0.0005)
    assert all(area.label in ("table", "derived") for area in found.area_mm2.values())


@pytest.mark.parametrize("name", ["ws", "ews", "ews-sparse", "crf"])
def test_fits_deviate_as_stated(name: str) -> None:
    part = MVQ40.area.crf if name == "crf" else MVQ40.area.array[name]
    assert part.fit is not None
    worst = max(
        abs(
            (part.fit.constant + part.fit.slope * (size**2 if part.fit.unit == "PE" else size / 16)) / printed
            - 1
        )
        for size, printed in part.table.items()
    )
    assert part.fit.deviation / 4 < worst <= part.fit.deviation + 0.005


def test_off_the_table_is_labelled() -> None:
    areas = MVQ40.areas(accelerator.preset("ews-48"))
    assert areas["array"].label == "fit"
    assert areas["array"].value == pytest.approx(0.108 + 1.0078e-3 * 48 * 48)
    assert areas["others"].label == "assumed"
    assert 1.303 < (areas["others"].value or 0) < 1.659


@pytest.mark.parametrize(
    ("preset", "settings", "component", "reason"),
    [
        ("ws-cms-64", {}, "array", "no area of WS-CMS"),
        ("ews-64", {"wrf_depth": 32}, "array", "holds for wrf_depth = 16, not 32"),
        ("ews-cms-64", {"codebook_entries": 256}, "crf", "codebook_bytes = 8192, not 4096"),
    ],
)
def test_what_nobody_published_is_unknown_with_the_reason(
    preset: str, settings: dict[str, object], component: str, reason: str
) -> None:
    found = cost([counts()], accelerator.load(preset, settings), MVQ40)
    assert found.area_mm2[component].value is None
    assert reason in found.area_mm2[component].source
    assert found.total_mm2 is None


def test_energy_by_hand() -> None:
    found = cost([counts()], accelerator.preset("ews-16"), MVQ40)
    ratios = {
        "dram": 200,
        "l2": 15,
        "l1": 6,
        "arf": 0.11,
        "wrf": 0.02,
        "prf": 0.22,
        "crf": 0.02,
        "rom": 6,
        "mac": 1,
    }
    accesses = counts().accesses
    assert found.energy_pj == pytest.approx({k: 0.23 * r * accesses[k] for k, r in ratios.items()})
    assert found.total_pj == pytest.approx(math.fsum(found.energy_pj.values()))
    assert found.total_pj - found.total_without_dram_pj == pytest.approx(0.23 * 200)


def test_layers_add_to_the_network() -> None:
    machine = accelerator.preset("ews-cms-16")
    layers = [counts("a"), counts("b", 7), counts("c", 3)]
    whole, parts = cost(layers, machine, MVQ40), [cost([x], machine, MVQ40) for x in layers]
    assert whole.cycles == sum(part.cycles for part in parts) == sum(x.total_cycles for x in layers)
    assert whole.macs == sum(part.macs for part in parts)
    assert whole.total_pj == pytest.approx(sum(part.total_pj for part in parts))
    assert whole.time_s == pytest.approx(sum(part.time_s for part in parts))
    computing = sum(layer.cycles["compute"] for layer in layers)
    assert sum(whole.stall_cycles.values()) + computing == whole.cycles


def test_rates() -> None:
    machine = accelerator.preset("ews-cms-64")
    found = cost([counts()], machine, MVQ40)
    cycles = sum(range(1, len(CAUSES) + 1))
    assert found.time_s == pytest.approx(cycles / 300e6)
    assert found.tops == pytest.approx(2 * 1000 / found.time_s / 1e12)
    assert found.physical_tops == pytest.approx(2 * 10 ** len(MEMORIES) / found.time_s / 1e12)
    assert found.utilization == pytest.approx(1000 / (64 * 64 * cycles))
    watts = found.total_without_dram_pj * 1e-12 / found.time_s
    assert found.tops_per_watt == pytest.approx(found.tops / watts)
    assert found.tops_per_watt_with_dram < found.tops_per_watt


@pytest.mark.parametrize(("size", "peak"), [(16, 0.154), (32, 0.614), (64, 2.458)])
def test_peak_of_the_paper(size: int, peak: float) -> None:
    assert accelerator.preset(f"ews-cms-{size}").peak_tops == pytest.approx(peak, abs=0.0005)


def test_slower_clock_takes_longer_and_not_more_energy() -> None:
    machine = accelerator.preset("ews-16")
    slow = machine.model_copy(update={"clock_hz": machine.clock_hz / 2})
    a, b = cost([counts()], machine, MVQ40), cost([counts()], slow, MVQ40)
    assert b.time_s == 2 * a.time_s
    assert b.energy_pj == a.energy_pj


def test_every_coefficient_has_a_source() -> None:
    assert MVQ40.energy.mac_pj.label == "assumed"
    for coefficient in (MVQ40.energy.mac_pj, *MVQ40.energy.ratio.values()):
        assert coefficient.source
    assert set(MVQ40.energy.ratio) == {*MEMORIES, "mac"}


def test_bad_technologies(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'mvq40'"):
        technology.load("mvq45")
    with pytest.raises(InputError, match="No such file"):
        technology.load(str(tmp_path / "none.toml"))
    text = Path(technology.__file__).with_name("mvq40.toml").read_text()
    broken = tmp_path / "broken.toml"
    broken.write_text(text.replace("value = 200.0", "value = -1.0"))
    with pytest.raises(InputError, match=r"energy\.ratio\.dram\.value"):
        technology.load(str(broken))


def test_zero_accesses_cost_nothing() -> None:
    idle = replace(counts(), accesses=dict.fromkeys((*MEMORIES, "mac"), 0))
    assert cost([idle], accelerator.preset("ews-16"), MVQ40).total_pj == 0
