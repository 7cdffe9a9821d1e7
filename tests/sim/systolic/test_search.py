"""The mapping search against all legal schedules: as good as it says, and nearly as good as the best."""

from __future__ import annotations

import random

import pytest

from sim import accelerator
from sim.accelerator import Accelerator
from sim.shapes import ConvShape
from sim.systolic import mapping
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.streams import dense_format
from tests.sim.systolic.brute_force import least


def small_case(seed: int, size: int) -> tuple[ConvShape, Accelerator, str]:
    """A layer of at most `size` x `size` outputs on a machine, all drawn, and where its ifmap is."""
    rnd = random.Random(seed)
    kernel, groups = (rnd.choice([1, 2, 3]), rnd.choice([1, 2, 3])), rnd.choice([1, 1, 1, 2])
    machine = accelerator.load(
        rnd.choice(["ews-4", "ews-cms-4", "ws-4", "ews-4x8", "ws-cms-4"]),
        {
            "l1_bytes": rnd.choice([1024, 2048, 1 << 16]),
            "l2_bytes": rnd.choice([1024, 4096, 1 << 20]),
            "dma_bits": rnd.choice([16, 64]),
            "dram_bits": rnd.choice([8, 64]),
            "psum_ports": rnd.choice([1, 2]),
            "requant_lanes": rnd.choice([1, 4]),
        },
    )
    layer = ConvShape(
        "layer",
        groups * rnd.randint(1, 13),
        groups * rnd.randint(1, 13),
        kernel,
        (rnd.choice([1, 1, 2]), rnd.choice([1, 1, 2])),
        (kernel[0] // 2, kernel[1] // 2),
        (rnd.randint(kernel[0], size), rnd.randint(kernel[1], size)),
        rnd.choice(["", "", "sum"]),
        groups=groups,
    )
    return layer, machine, rnd.choice(["l1", "l2", "dram"])


def check(seed: int, size: int) -> dict[str, float]:
    """How much more than the best the schedule found takes, by objective, as a share; no more than it says, nor than
    the tolerance of the first trials: what is proven is weaker than what is found.
    """
    layer, machine, source = small_case(seed, size)
    form = dense_format(layer, machine)
    best = least(layer, machine, form, source)
    excess = {}
    for objective in best:
        found = mapping.search(layer, machine, form, objective=objective, source=source)
        counts, _ = layer_counts(found.schedule, layer)
        energy = mapping.technology.mapping_energy(machine)[1]
        values = mapping.score(counts.total_cycles, counts.accesses, energy)
        value = values[mapping.OBJECTIVES.index(objective)]
        excess[objective] = value / best[objective] - 1
        assert -1e-9 <= excess[objective] <= found.gap + 1e-9, (seed, objective)
        assert excess[objective] <= mapping.TOLERANCE[objective], (seed, objective)
    return excess


@pytest.mark.parametrize("seed", range(8))
def test_small_layers_against_brute_force(seed: int) -> None:
    check(seed, 3)


@pytest.mark.slow
def test_hundred_small_layers_against_brute_force() -> None:
    found = [excess for seed in range(100, 220) if (excess := check(seed, 5))]
    assert len(found) >= 100
    exact = sum(abs(one) < 1e-9 for excess in found for one in excess.values())
    assert exact >= 0.94 * 3 * len(found)
