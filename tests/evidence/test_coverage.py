"""The seeds of the conformance suite meet every corner that there is."""

from __future__ import annotations

import pytest

from evidence import coverage
from rtl.verify.random_network import random_case
from sim.accelerator import load, preset
from tests.rtl.verify.test_conformance import AWAY, FAMILIES, NARROW

REGRESSION = [
    *((preset(f"{family}-4"), range(100, 110)) for family in FAMILIES),
    *((preset(f"{family}-4"), range(100, 108)) for family in NARROW),
    *(
        (load(*AWAY[name]), range(10, 20))
        for name in ("small L1", "small L1, sparse", "small L2", "ROM banks that conflict")
    ),
]
"""Accelerators and seeds, a part of those that test_conformance.py runs."""


@pytest.fixture
def covered():
    coverage.clear()
    yield
    coverage.clear()


def test_every_bin_is_reached(covered):
    for accelerator, seeds in REGRESSION:
        for seed in seeds:
            coverage.sample(random_case(accelerator, seed))
    print(coverage.report())
    assert set(coverage.missed()) == set(coverage.UNREACHABLE)
    assert all(coverage.UNREACHABLE.values())


def test_a_sample_counts_what_its_layers_are(covered):
    """One network: each layer is in one bin of every point that has one for it, and nothing else is hit."""
    case = random_case(preset("ews-cms-4"), 0)
    coverage.sample(case)
    hits = coverage.hits()
    convolutions = [layer for layer in case.image.layers if layer.program is not None]
    found = {
        "format": [layer.how.format for layer in convolutions],
        "source": [layer.how.source for layer in convolutions],
        "ifmap_buffers": [str(layer.how.tiling.ifmap_buffers) for layer in convolutions],
    }
    for point, values in found.items():
        assert hits[point] == {label: values.count(label) for label in hits[point]}
        assert sum(hits[point].values()) == len(convolutions)
    assert sum(hits["banks"].values()) == sum(hits["format_banks"].values()) == len(convolutions)
    assert hits["cause"]["compute"] == len(convolutions)
    assert hits["cause"]["control"] == len(case.image.layers)
    coverage.clear()
    assert not any(count for bins in coverage.hits().values() for count in bins.values())


def test_the_report_is_a_table_of_every_bin(covered):
    lines = coverage.report().splitlines()
    bins = sum(len(bins) for bins in coverage.hits().values())
    assert len(lines) == 2 + bins
    assert {line.count("|") for line in lines} == {5}
    assert sum(bool(line.split("|")[4].strip()) for line in lines[2:]) == len(coverage.UNREACHABLE)
