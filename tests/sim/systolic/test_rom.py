"""The banked codebook ROM: conflicts in the engine, expected conflicts in the closed form."""

from __future__ import annotations

from collections import Counter
from itertools import product
from statistics import mean

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import accelerator
from sim.network import CodebookWeight, Conv
from sim.shapes import ConvShape
from sim.systolic.closed_form.counts import core_cycles
from sim.systolic.closed_form.demands import expected_lookups
from sim.systolic.engine import run_program
from sim.systolic.program import lower, token_ifmap
from sim.systolic.schedule import Schedule

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def machine(size: str = "4x32", **changes):
    return accelerator.load(f"rom-{size}", {"weight_port_bits": 512} | changes)


def run(acc, assignments, codewords, **factors):
    """Runs a 1x1 layer with the given codewords [K/d, C]; the port never starves the ROM."""
    codebook = np.arange(8 * codewords).reshape(codewords, 8).astype(np.int8)
    groups, channels = assignments.shape
    weight = CodebookWeight(
        codebook, assignments.reshape(groups, channels, 1, 1).astype(np.uint16), universal=True
    )
    layer = Conv("layer", "input", weight, np.zeros(8 * groups, np.int32))
    shape = ConvShape("layer", channels, 8 * groups)
    schedule = Schedule(acc, shape, "rom", codewords, overlap=False, **factors)
    program = lower(layer, schedule)
    ifmap = np.ones((1, channels, 1, 1), np.int8)
    return run_program(program, token_ifmap(ifmap, layer, program, 0))


def slow_conflicts(acc, assignments) -> int:
    """Look-ups beyond the first one of every row: row = channel, its codewords L/d at a time."""
    extra, step = 0, acc.columns // 8
    for c in range(assignments.shape[1]):
        for first in range(0, len(assignments), step):
            banks = Counter(int(n) % acc.rom_banks for n in assignments[first : first + step, c])
            extra += -(-max(banks.values()) // acc.rom_ports) - 1
    return extra


@pytest.mark.parametrize(
    ("banks", "ports", "extra"),
    [(4, 1, 1), (8, 1, 1), (64, 1, 1), (4, 2, 0), (1, 1, 3), (1, 2, 1), (1, 4, 0), (2, 1, 2), (3, 1, 1)],
)
def test_vector(banks, ports, extra):
    """Indices (0, B, 1, 2): two of them meet in bank 0 where B is the number of banks."""
    acc = machine(rom_banks=banks, rom_ports=ports)
    indices = np.array([[0], [banks], [1], [2]])
    assert run(acc, indices, 200).counters["rom"] == extra


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["4x16", "8x32", "4x64"]),
    st.sampled_from([1, 2, 3, 8, 16, 64]),
    st.sampled_from([1, 2, 3]),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_conflicts_of_the_real_stream(seed, size, banks, ports, channels, groups, a, b):
    rng = np.random.default_rng(seed)
    acc = machine(size, rom_banks=banks, rom_ports=ports)
    assignments = rng.integers(0, int(rng.integers(2, 300)), (groups, channels))
    found = run(acc, assignments, 300, A=a, B=b)
    free = run(machine(size, rom_banks=banks, rom_ports=64), assignments, 300, A=a, B=b)
    assert free.counters["rom"] == 0
    expected = slow_conflicts(acc, assignments)
    longer = found.counters["core_cycles"] - free.counters["core_cycles"]
    assert longer <= found.counters["rom"] <= expected
    if channels <= acc.rows * b:  # else psums wait for one another while the ROM works
        assert longer == expected


@pytest.mark.parametrize("ports", [1, 2, 3])
@pytest.mark.parametrize(("n", "banks"), [(1, 1), (1, 4), (2, 2), (3, 4), (4, 3), (5, 1), (5, 4), (6, 3)])
def test_expected_lookups_equal_all_draws(n, banks, ports):
    draws = product(range(banks), repeat=n)
    expected = mean(-(-max(Counter(draw).values()) // ports) for draw in draws)
    assert expected_lookups(n, banks, ports) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "banks", "ports"), [(8, 16, 1), (8, 8, 1), (8, 5, 2), (16, 64, 1)])
def test_expected_lookups_within_the_error_of_draws(n, banks, ports):
    draws = np.random.default_rng(4).integers(0, banks, (20000, n))
    fullest = (draws[:, :, None] == np.arange(banks)).sum(1).max(1)
    needed = -(-fullest // ports)
    error = needed.std() / len(needed) ** 0.5
    assert abs(expected_lookups(n, banks, ports) - needed.mean()) < 5 * error


def test_the_expectation_is_the_mean_of_the_engine():
    """Random assignments: cycles of the closed form within five standard errors of the runs' mean."""
    acc = machine("8x64", rom_banks=16)
    rng = np.random.default_rng(2)
    cycles = [run(acc, rng.integers(0, 256, (8, 64)), 256, B=8).counters["core_cycles"] for _ in range(60)]
    schedule = Schedule(acc, ConvShape("layer", 64, 64), "rom", 256, B=8, overlap=False)
    error = np.std(cycles) / len(cycles) ** 0.5
    assert abs(core_cycles(schedule)["core_cycles"] - np.mean(cycles)) < 5 * error + 1
