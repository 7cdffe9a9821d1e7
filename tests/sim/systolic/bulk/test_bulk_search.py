"""The compiled bounds and search against those of NumPy, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from sim import accelerator
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.shapes import ConvShape
from sim.systolic import mapping
from sim.systolic.bulk import search
from sim.systolic.bulk.problem import ENERGIES, HOW, SOURCES, energies, problems
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.folding import ways
from sim.systolic.streams import dense_format
from tests.sim.systolic.bulk.rows import how_of
from tests.sim.systolic.test_search import small_case


def compiled(layer, machine, form, source):
    """FOUND [OBJECTIVES]."""
    of = problems(machine, [(layer, form, 0)])[0]
    best = np.zeros((1, len(mapping.OBJECTIVES)), search.FOUND)
    weights = energies(machine)[None]
    search.searches(of, np.array([0, len(of)]), np.array([SOURCES.index(source)]), weights, best)
    return best[0]


@pytest.mark.parametrize("seed", range(40))
def test_finds_the_same_schedules(seed: int) -> None:
    check(*small_case(seed, 9))


STEMS = [
    ConvShape("seven", 3, 20, (7, 7), (2, 2), (3, 3), (17, 20)),
    ConvShape("five", 1, 9, (5, 3), (2, 1), (2, 1), (12, 9), "sum"),
    ConvShape("patch", 1, 6, (4, 4), (4, 4), size=(16, 12)),
    ConvShape("three", 2, 8, (3, 2), (1, 1), (1, 0), (11, 7)),
]


@pytest.mark.parametrize("stem", STEMS, ids=lambda stem: stem.name)
@pytest.mark.parametrize("family", ["ews-32", "ews-cms-16", "ws-8"])
@pytest.mark.parametrize("source", SOURCES)
def test_finds_the_same_folds(stem: ConvShape, family: str, source: str) -> None:
    machine = accelerator.load(family, {"l1_bytes": 4096, "dma_bits": 32})
    check(stem, machine, source)
    folded = ways(stem, machine, dense_format(stem, machine))
    assert len(folded) > 2 or family == "ws-8" or stem.name == "seven"


def check(layer: ConvShape, machine: Accelerator, source: str) -> None:
    form = dense_format(layer, machine)
    best = compiled(layer, machine, form, source)
    for found, objective in zip(best, mapping.OBJECTIVES, strict=True):
        try:
            expected = mapping.search(layer, machine, form, objective=objective, source=source)
        except InputError:
            assert found["A"] == 0
            continue
        how = how_of(expected.schedule, found["folded"])[0]
        assert [found[name] for name in HOW.names] == list(how.item())
        assert found["gap"] == expected.gap
        counts, _ = layer_counts(expected.schedule, layer)
        assert found["cycles"] == counts.total_cycles
        assert dict(zip(ENERGIES, found["accesses"].tolist(), strict=False)) == counts.accesses
