"""What is remembered of a network on a machine: by all fields that decide a count, and by no other."""

from __future__ import annotations

import pytest

from sim import accelerator
from sim.accelerator import Accelerator
from sim.systolic import sweep
from sim.systolic.machine import MACHINE
from sim.workloads import workload

SHAPES = workload("resnet20").shapes
BASE = accelerator.load("ews-cms-16", {"dma_burst_gap": 1})
READ = {
    "rows": 32,
    "columns": 32,
    "tile_rows": 8,
    "dataflow": "ws",
    "extension": (1, 1, 2),
    "format": "dense",
    "codebook_entries": 256,
    "keep": 8,
    "wrf_depth": 8,
    "arf_depth": 16,
    "arf_reuse": False,
    "prf_depth": 2,
    "weight_port_bits": 256,
    "weight_overlap": False,
    "ifmap_banks": 1,
    "psum_banks": 2,
    "psum_ports": 2,
    "requant_lanes": 2,
    "l1_bytes": 1 << 14,
    "l2_bytes": 1 << 18,
    "l2_weight_bytes": 1 << 12,
    "dma_bits": 128,
    "dma_setup": 100,
    "l2_latency": 50,
    "dma_burst_gap": 3,
    "dram_bits": 32,
    "dram_latency": 700,
    "dram_row_bytes": 256,
    "dram_row_cycles": 80,
    "edge_registers": False,
    "technology": "sky130hd",
    "dram": "hbm3",
}
"""A field that decides, and another value of it."""
UNREAD = {
    "name": "other",
    "address_bits": 40,
    "clock_gating": False,
    "clock_hz": 200e6,
    "rom_banks": 3,
    "rom_ports": 4,
    "scale_group": 2,
    "wrf_latches": True,
}
"""Fields of no influence here: without a clocked technology or a type of DRAM, without a ROM or group scales."""
TOGETHER = {"sparse_tile", "tile_columns", "codeword_length", "group", "kind", "psum_store_bits"}
"""Fields with one legal value here, or that only change with others."""


def changed(**fields: object) -> Accelerator:
    if fields.get("format") == "dense":
        fields["sparse_tile"] = False
    return accelerator.build(BASE.model_dump() | fields)


def key_of(machine: Accelerator) -> bytes:
    return sweep.Counting(sweep.layers_of(SHAPES, machine), machine, "edp").key


def counted(machine: Accelerator):
    return [(layer.cycles, layer.accesses) for layer in MACHINE.count(SHAPES, machine).layers]


def test_every_field_is_one_of_them() -> None:
    assert {*READ, *UNREAD, *TOGETHER} == set(Accelerator.model_fields)


@pytest.mark.parametrize("field", READ)
def test_fields_that_decide_are_not_remembered_as_another(field: str) -> None:
    assert key_of(changed(**{field: READ[field]})) != key_of(BASE)


@pytest.mark.parametrize("field", UNREAD)
def test_other_fields_change_nothing(field: str) -> None:
    other = changed(**{field: UNREAD[field]})
    assert key_of(other) == key_of(BASE)
    assert counted(other) == counted(BASE)


def test_a_group_of_scales_decides_where_there_are_some() -> None:
    few, many = (accelerator.load("int4-g128-16", {"scale_group": n}) for n in (2, 8))
    assert key_of(few) != key_of(many)


def test_a_clock_decides_where_it_changes_energies_or_dram() -> None:
    for fields in ({"technology": "sg13g2"}, {"dram": "hbm3"}):
        assert key_of(changed(clock_hz=100e6, **fields)) != key_of(changed(**fields))


def test_searches_are_shared_between_machines_that_differ_in_nothing_they_read(monkeypatch) -> None:
    sweep.forget()
    first = sweep.Counting(sweep.layers_of(SHAPES, BASE), BASE, "edp").totals()
    monkeypatch.setattr(sweep, "searches", None)  # nothing is searched again
    other = changed(**UNREAD | {"clock_gating": True})  # which latches need
    assert sweep.Counting(sweep.layers_of(SHAPES, other), other, "edp").totals() == first


def test_a_field_that_decides_is_searched_again(monkeypatch) -> None:
    sweep.Counting(sweep.layers_of(SHAPES, BASE), BASE, "edp").totals()
    monkeypatch.setattr(sweep, "searches", None)
    other = changed(dram_bits=READ["dram_bits"])
    with pytest.raises(TypeError):
        sweep.Counting(sweep.layers_of(SHAPES, other), other, "edp").totals()
