"""SRAM tables: their points, between them, and outside."""

from __future__ import annotations

import math

import pytest

from sim.errors import InputError
from sim.technology import memory

CACTI, MACROS = memory.table("cacti7"), memory.table("sg13g2")


def test_points_are_those_of_the_tables() -> None:
    found = CACTI.memory(45, 64 * 1024, 64)
    assert (found.read_pj, found.write_pj, found.area_mm2) == pytest.approx((25.87, 19.65, 0.2090))
    assert found.label == "table"
    macro = MACROS.memory(130, 8192, 64)
    assert (macro.read_pj, macro.write_pj, macro.leakage_mw, macro.area_mm2) == pytest.approx(
        (91.827, 110.92, 0.79206e-3, 0.2639461)
    )
    assert macro.label == "table"
    assert 8 * 2 * macro.access_pj / 16 == pytest.approx((91.827 + 110.92) / 2)


def test_40_nm_lies_between_32_and_45_and_says_so() -> None:
    below, found, above = (CACTI.memory(node, 64 * 1024, 64) for node in (32, 40, 45))
    share = math.log(40 / 32) / math.log(45 / 32)
    assert found.read_pj == pytest.approx(below.read_pj ** (1 - share) * above.read_pj**share)
    assert found.read_pj == pytest.approx(20.87, rel=0.05)  # CACTI's own interpolation
    assert found.label == "fit"
    assert "between 32 and 45 nm" in found.source
    assert found.leakage_mw is None
    assert "2 to 3 times" in found.uncertainty


def test_between_sizes_and_widths() -> None:
    low, mid, high = (CACTI.memory(45, size * 1024, 64) for size in (16, 24, 32))
    share = math.log(24 / 16) / math.log(2)
    assert mid.area_mm2 == pytest.approx(low.area_mm2 ** (1 - share) * high.area_mm2**share)
    assert low.read_pj < mid.read_pj < high.read_pj
    narrow, wide = CACTI.memory(45, 8192, 64), CACTI.memory(45, 8192, 128)
    between = CACTI.memory(45, 8192, 96).write_pj
    assert min(narrow.write_pj, wide.write_pj) < between < max(narrow.write_pj, wide.write_pj)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ((22, 8192, 64), "node_nm"),
        ((130, 8192, 64), "node_nm"),
        ((45, 512, 64), "bytes"),
        ((45, 8 * 2**20, 64), "bytes"),
        ((45, 8192, 32), "width"),
        ((45, 2**20, 128), "bytes"),
        ((45, 8192, 64, 2), "ports"),
    ],
)
def test_outside_is_refused(arguments: tuple[int, ...], field: str) -> None:
    with pytest.raises(InputError) as found:
        CACTI.memory(*arguments)
    assert field in found.value.field


def test_larger_memories_are_several_macros() -> None:
    one = MACROS.memory(130, 16 * 1024, 64)
    l2 = MACROS.memory(130, 2 * 2**20, 64)
    assert l2.read_pj == one.read_pj
    assert l2.area_mm2 == pytest.approx(128 * one.area_mm2)
    assert l2.leakage_mw == pytest.approx(128 * (one.leakage_mw or 0))
    assert l2.label == "assumed"
    half = MACROS.memory(130, 4096, 32, 2)
    pair = MACROS.memory(130, 8192, 64, 2)
    assert pair.read_pj == pytest.approx(2 * half.read_pj)
    assert pair.area_mm2 == pytest.approx(2 * half.area_mm2)
    small = MACROS.memory(130, 256, 64, 2)
    assert small.area_mm2 == pytest.approx(2 * 52620.88e-6)
    assert small.label == "assumed"
    with pytest.raises(InputError, match="ports"):
        MACROS.memory(130, 8192, 64, 3)


def test_macros_are_two_to_three_times_cacti() -> None:
    """CACTI's 90 nm row at 130 nm by C ~ node: read and write of 8 KiB."""
    macro, model = MACROS.memory(130, 8192, 64), CACTI.memory(90, 8192, 64)
    assert 2 < macro.read_pj / (model.read_pj * 130 / 90) < 3.5
    assert 1 < macro.area_mm2 / (model.area_mm2 * (130 / 90) ** 2) < 1.5
