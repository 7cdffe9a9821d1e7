"""What every accelerator has to pass: random networks; every value, cycle and counter is the engine's."""

from __future__ import annotations

import pytest

from rtl.control.counters import COUNTERS
from rtl.verify import verify_random
from sim.accelerator import load, preset

FAMILIES = ("ws", "ws-cms", "ews", "ews-c", "ews-cm", "ews-cms", "ssvq", "rom")
NARROW = (
    *("int4-g128", "int4-g32", "int3-g64", "int2-g64", "mxfp4", "nvfp4", "mxint8"),
    *("ternary", "palette", "aqlm"),
)
"""Families of few bits."""
OBLONG = [f"{family}-{size}" for size in ("4x8", "8x4") for family in ("ews", "ews-cms", "rom")] + [
    "ews-12x20",
    "ws-12x20",
    "ews-8x24",
    "ews-c-8x24",
]
AWAY = {
    "keep and group": ("ews-cms-8", {"keep": 1, "group": 4}),
    "deep WRF": ("ews-cms-4", {"wrf_depth": 64, "arf_depth": 128}),
    "odd WRF": ("ews-4", {"wrf_depth": 12}),
    "weight port of 128 bits": ("ews-8", {"weight_port_bits": 128}),
    "weight port of 256 bits": ("ews-cms-8", {"weight_port_bits": 256}),
    "half the storer lanes": ("ews-c-8", {"requant_lanes": 4}),
    "ROM banks that conflict": ("rom-8", {"codeword_length": 4, "rom_banks": 2}),
    "ROM banks of two ports": ("rom-4", {"rom_banks": 4, "rom_ports": 2}),
    "two groups of scales an entry": ("int4-g32-8", {"scale_group": 4}),
    "a scale for each channel": ("int3-g64-4", {"scale_group": 3}),
    "scales wider than weights": ("mxint8-8x4", {"scale_group": 2, "weight_port_bits": 128}),
    "digits in less than bytes": ("ternary-8", {"codeword_length": 4}),
    "small L1": ("ews-8", {"l1_bytes": 2048}),
    "small L1, sparse": ("ews-cms-4", {"l1_bytes": 1024}),
    "small L2": ("ews-8", {"l2_bytes": 1024}),
    "shallow PRF": ("ews-4", {"prf_depth": 2}),
    "slow L2": ("ews-4", {"dma_setup": 20, "l2_latency": 9}),
    "quick L2": ("ews-4", {"dma_setup": 3, "l2_latency": 1}),
    "slow DRAM": ("ews-cms-4", {"dram_bits": 8, "dram_latency": 30}),
    "quick DRAM": ("ews-8", {"l2_latency": 13, "dma_setup": 3, "dram_latency": 16, "dram_row_cycles": 0}),
    "several at once": (
        "ews-cms-8",
        {"keep": 1, "group": 4, "wrf_depth": 12, "weight_port_bits": 128, "tile_rows": 2, "requant_lanes": 4},
    ),
    "low tiles": ("ews-8", {"tile_rows": 1, "tile_columns": 2}),
}
"""Fields away from the presets."""


def assert_conforms(accelerator, seeds, simulator="icarus"):
    for seed in seeds:
        result = verify_random(accelerator, seed, simulator)
        assert result.mismatches == 0, f"{accelerator.name}, seed {seed}: {result.first_mismatch}"
        assert result.words_compared > 0
        assert result.warnings == ()
        assert result.cycles_rtl == result.cycles_model
        assert result.counters_rtl == {name: result.counters_model[name] for name in COUNTERS}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("size", "count"), [(4, 2), (8, 1)])
def test_presets(family, size, count):
    assert_conforms(preset(f"{family}-{size}"), range(count))


@pytest.mark.parametrize("name", ["int4-g128-8"])
def test_few_bits(name):
    assert_conforms(preset(name), [1])


@pytest.mark.slow
@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("family", NARROW)
def test_many_networks_of_few_bits(family, size):
    assert_conforms(preset(f"{family}-{size}"), range(100, 120))


@pytest.mark.parametrize(
    ("name", "seed"), [("ews-8x4", 3), ("ews-cms-4x8", 3), ("ews-c-8x24", 20)]
)  # 20: the last batch of a pool has fewer words
def test_oblong_array(name, seed):
    assert_conforms(preset(name), [seed])


@pytest.mark.slow
@pytest.mark.parametrize("name", OBLONG)
def test_many_networks_on_oblong_arrays(name):
    assert_conforms(preset(name), range(10, 30))


@pytest.mark.slow
@pytest.mark.parametrize("field", AWAY)
def test_fields_away_from_the_presets(field):
    assert_conforms(load(*AWAY[field]), range(10, 30))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("size", "simulator"), [(4, "icarus"), (8, "icarus"), (16, "verilator")])
def test_a_hundred_networks(family, size, simulator):
    assert_conforms(preset(f"{family}-{size}"), range(100, 200), simulator)
