"""The compiled bounds and search against those of NumPy, to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from sim.errors import InputError
from sim.systolic import mapping
from sim.systolic.bulk import search
from sim.systolic.bulk.problem import ENERGIES, HOW, SOURCES, energies, problems
from sim.systolic.closed_form.counts import layer_counts
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
    layer, machine, source = small_case(seed, 9)
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
