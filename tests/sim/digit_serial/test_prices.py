"""What a digit-serial machine costs."""

from __future__ import annotations

import pytest

import codeword
from codeword import inputs
from sim import accelerator
from sim.digit_serial import prices
from sim.errors import InputError
from sim.technology import dram


def test_parts_add_up_and_every_figure_has_a_source():
    found = codeword.estimate(inputs.shipped("resnet20-fashion"), "sws-16").cost
    assert found.unknown_energy == found.unknown_area == ()
    assert found.total_pj == pytest.approx(sum(found.energy_pj.values()))
    own = prices.coefficients()
    adders = sum(
        layer.counts.accesses["mac"]
        for layer in codeword.estimate(inputs.shipped("resnet20-fashion"), "sws-16").layers
    )
    assert found.energy_pj["mac"] == pytest.approx(own.energy["mac"].value * adders)
    cells = own.cells
    assert found.area_mm2["array"].value == pytest.approx(256e-6 * cells["array"].um2)
    assert found.area_mm2["neurons"].value == pytest.approx(16e-6 * cells["neurons"].um2)
    assert all(figure.source for figure in (*found.energy_sources.values(), *found.area_mm2.values()))
    assert found.clock_hz == own.max_hz.value


def test_another_size_is_derived_from_the_measured_one():
    labels = {size: prices.of(accelerator.load(f"sws-{size}")).areas["array"].label for size in (8, 16, 32)}
    assert labels == {8: "derived", 16: "measured", 32: "derived"}


def test_dram_by_type_and_technologies_that_know_nothing():
    acc = accelerator.load("sws-16", {"dram": "hbm2"})
    assert prices.of(acc).accesses["dram"] == dram.energy("hbm2")
    other = codeword.estimate(inputs.shipped("resnet20-fashion"), "sws-16", technology="mvq40").cost
    assert other.total_pj is None
    assert "only on sg13g2" in other.energy_sources["mac"].source
    with pytest.raises(InputError, match="technology"):
        codeword.estimate(inputs.shipped("resnet20-fashion"), "sws-16", technology="sg13g3")
