"""The loader against docs/timing.md section 3."""

from __future__ import annotations

import numpy as np
import pytest

from sim.accelerator import load, preset
from sim.shapes import ConvShape
from sim.systolic.schedule import packs
from tests.rtl.simulate import int8
from tests.rtl.weights.loader_bench import check, check_rows, drive, events_of, layer_jobs, network


def _check(acc, jobs, late, delays, holds, rom=None):
    events = events_of(acc, jobs, late, delays, holds)
    check(acc, events, *drive(acc, jobs, events, delays, holds, rom=rom))
    return events


# ---- one layer, every format

WIDE = load("ews-cms-8x16", {"codeword_length": 8, "tile_columns": 8, "group": 8, "keep": 2})
SHORT_GROUPS = load("ews-cms-8x16", {"codeword_length": 8, "tile_columns": 8, "group": 4, "keep": 2})
TWO_PORTS = load("rom-4x32", {"rom_banks": 3, "rom_ports": 2, "codeword_length": 4, "codebook_entries": 500})
WS_ROM = load(
    "rom-64x32", {"dataflow": "ws", "wrf_depth": 2, "codeword_length": 4, "codebook_entries": 40000}
)
WIDE_ROM = load("rom-8x64", {"rom_banks": 6, "codebook_entries": 60000})

CASES = [
    (preset("ews-4"), 9, 6, (2, 2, 2), True, "dense"),
    (preset("ews-4"), 9, 6, (3, 1, 2), False, "dense"),
    (preset("ws-4"), 6, 9, (1, 1, 1), True, "dense"),
    (preset("ews-cms-4"), 9, 6, (1, 1, 2), True, "split"),
    (preset("ews-cms-4"), 12, 6, (2, 2, 2), True, "mvq"),
    (preset("ews-cms-8"), 24, 20, (2, 1, 1), False, "mvq"),
    (SHORT_GROUPS, 32, 9, (2, 1, 2), True, "mvq"),
    (preset("ews-cm-8"), 24, 9, (2, 1, 1), True, "mvq"),
    (preset("ews-c-4"), 12, 6, (2, 1, 2), True, "vq"),
    (preset("ssvq-8"), 24, 6, (2, 1, 2), True, "ssvq"),
    (load("ssvq-4x16", {"codebook_entries": 40}), 40, 6, (2, 1, 1), False, "ssvq"),
    (preset("rom-4"), 12, 6, (2, 1, 2), True, "rom"),
    (preset("rom-16"), 40, 6, (2, 1, 2), True, "rom"),
    (TWO_PORTS, 76, 6, (2, 1, 1), True, "rom"),
    (load("int4-g32-8", {"scale_group": 4}), 20, 13, (2, 2, 1), True, "int4"),
    (load("int3-g64-4", {"scale_group": 6}), 9, 7, (2, 1, 2), False, "int3"),
    (preset("int2-g64-4"), 6, 9, (1, 2, 2), True, "int2"),
    (load("mxint8-16", {"scale_group": 8}), 33, 20, (3, 1, 1), True, "mxint8"),
    (preset("nvfp4-4x16"), 40, 6, (2, 1, 2), True, "nvfp4"),
    (load("mxfp4-4x8", {"scale_group": 3}), 12, 6, (2, 1, 2), False, "mxfp4"),
    (load("ternary-4x16", {"codeword_length": 8}), 40, 6, (2, 1, 2), True, "ternary"),
    (preset("aqlm-8"), 24, 6, (2, 1, 2), True, "aqlm"),
    (load("aqlm-16", {"codebook_entries": 22}), 40, 6, (2, 1, 1), False, "aqlm"),
    # Wide rows after narrow ones: the buffer must have kept the beats of the narrow ones.
    (preset("ews-16"), 33, 16, (3, 1, 2), True, "dense"),
    (preset("ews-cms-16"), 33, 40, (2, 1, 2), False, "split"),
    (WIDE_ROM, 136, 8, (3, 1, 2), True, "rom"),
]


def _rom(acc, rng):
    if acc.format != "rom":
        return None
    return int8(rng, acc.codebook_entries, acc.codeword_length).astype(np.int8)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].name}-{case[-1]}-{case[4]}")
def test_rows_and_their_cycles(case):
    acc, outputs, channels, factors, overlap, form = case
    rng = np.random.default_rng(outputs)
    rom = _rom(acc, rng)
    jobs = layer_jobs(acc, rng, form, outputs, channels, factors, overlap, rom=rom)
    n = len(jobs)
    events = _check(acc, jobs, [0] * n, [0] * n, [9] * n, rom)
    assert bool(events.again) == (form == "rom" and acc.columns > acc.codeword_length)


def test_beats_gained_in_conflicts_are_kept_for_wide_rows():
    """Half of the rows read one bank only, the others a different one for each record."""
    rng = np.random.default_rng(0)
    rom = _rom(WS_ROM, rng)
    assignments = np.zeros((8, 64, 1, 2), int)
    assignments[:, 32:] = np.arange(8).reshape(8, 1, 1, 1)
    jobs = layer_jobs(WS_ROM, rng, "rom", 32, 64, (1, 1, 1), True, rom=rom, assignments=assignments)
    _check(WS_ROM, jobs, [0] * 2, [0] * 2, [9] * 2, rom)


@pytest.mark.parametrize(
    ("acc", "inputs", "outputs", "groups"),
    [
        (preset("ews-4"), 1, 1, 7),
        (preset("ews-8"), 3, 2, 5),
        (preset("rom-8"), 1, 3, 4),
        (preset("ews-c-8"), 2, 4, 3),
        (preset("ews-cms-8"), 1, 2, 9),
        (WIDE, 1, 1, 19),
        (WIDE, 2, 2, 6),
        (SHORT_GROUPS, 1, 4, 3),
        (load("ews-8x6"), 4, 3, 2),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_groups_on_the_diagonal(acc, inputs, outputs, groups):
    shape = ConvShape("layer", inputs * groups, outputs * groups, (1, 2), size=(1, 3), groups=groups)
    assert packs(shape, acc) > 1
    rng = np.random.default_rng(groups)
    jobs = layer_jobs(acc, rng, "block", outputs * groups, inputs * groups, (1, 1, 2), True, groups)
    n = len(jobs)
    _check(acc, jobs, [0] * n, [0] * n, [9] * n)


# ---- several layers

MACHINES = {
    preset("ews-4"): ("dense", "block"),
    preset("ews-c-4"): ("vq", "vq", "dense", "block"),
    preset("ssvq-8"): ("ssvq", "ssvq", "dense", "block"),
    preset("rom-16"): ("rom", "rom", "dense", "block"),
    load("int3-g64-4", {"scale_group": 2}): ("int3", "int3", "dense", "block"),
    TWO_PORTS: ("rom", "rom", "dense"),
    preset("ews-cms-4"): ("mvq", "mvq", "split", "block"),
    SHORT_GROUPS: ("mvq", "mvq", "split", "block"),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("acc", MACHINES, ids=lambda acc: acc.name + acc.format)
def test_layers_follow_one_another(acc, seed):
    rng = np.random.default_rng(seed)
    rom = _rom(acc, rng)
    jobs = network(acc, MACHINES[acc], rng, rom)
    n = len(jobs)
    late = np.where(rng.random(n) < 0.5, 0, rng.integers(0, 60, n)).tolist()
    _check(acc, jobs, late, rng.integers(0, 12, n).tolist(), rng.integers(1, 60, n).tolist(), rom)


@pytest.mark.parametrize("acc", MACHINES, ids=lambda acc: acc.name + acc.format)
def test_a_starved_port_delays_but_loses_nothing(acc):
    rng = np.random.default_rng(0)
    rom = _rom(acc, rng)
    jobs = network(acc, MACHINES[acc], rng, rom)
    n = len(jobs)
    events = events_of(acc, jobs, [0] * n, [0] * n, [9] * n)
    _, outputs = drive(acc, jobs, None, [0] * n, [9] * n, lambda: rng.random() < 0.7, rom)
    check_rows(acc, events, outputs)
