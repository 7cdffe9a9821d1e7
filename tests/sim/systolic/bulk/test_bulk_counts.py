"""The compiled counts against the closed form, of random layers, machines and schedules."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from sim.systolic.bulk import counts
from sim.systolic.bulk.accesses import ACCESSES
from sim.systolic.bulk.problem import ENERGIES
from sim.systolic.bulk.walk import LEFT, SPENT
from sim.systolic.closed_form.counts import layer_counts
from tests.sim.systolic.bulk.rows import rows_of
from tests.sim.systolic.cases import Case, layer_cases


@settings(max_examples=300, deadline=None)
@given(layer_cases(sizes=(4, 8, 16, 64)))
def test_counts_of_any_layer_are_those_of_the_closed_form(case: Case) -> None:
    expected, left = layer_counts(case.schedule, case.shape, case.found)
    problem, how = rows_of(case.schedule, case.shape)
    found = np.array([case.found], np.int64).reshape(1, LEFT)
    spent, accesses = np.zeros((1, len(SPENT)), np.int64), np.zeros((1, ACCESSES), np.int64)
    counts.layers(problem, how, found, spent, accesses)
    assert dict(zip(ENERGIES, accesses[0].tolist(), strict=False)) == expected.accesses
    assert dict(zip(SPENT, spent[0].tolist(), strict=True)) == {c: expected.cycles[c] for c in SPENT}
    assert tuple(found[0].tolist()) == left
