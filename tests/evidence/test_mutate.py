"""Mutants are found by the suites; those that are not are proven to be none."""

from __future__ import annotations

import numpy as np
import pytest

from evidence.mutation import equivalence, mutants
from evidence.mutation.components import SUITES
from evidence.mutation.measure import measure, table
from evidence.mutation.suite import VectorSuite
from evidence.mutation.system import SystemSuite
from rtl.weights.group_counter import GroupCounter
from rtl.weights.lzc import Lzc
from sim.accelerator import preset


def _suite(kind):
    return next(suite for suite in SUITES if kind in suite.kinds)


@pytest.mark.parametrize("kind", ["lzc", "wrf", "pe", "counters", "arf"])
def test_mutants_are_found(kind):
    [score] = measure(_suite(kind), 0.5, 1)
    assert score.mutants > 5
    assert score.killed + len(score.equivalent) == score.mutants
    assert f"| {kind} | {score.mutants} | {score.killed} |" in table([score])


@pytest.mark.slow
def test_score():
    """A third of the mutants of docs/verification.md, drawn anew: every suite, every component."""
    scores = [
        score
        for suite in SUITES
        for score in measure(suite, 0.05 if isinstance(suite, SystemSuite) else 0.33, 2)
    ]
    killed = sum(score.killed for score in scores)
    told_apart = sum(score.mutants - len(score.equivalent) for score in scores)
    print(table(scores))
    assert killed >= 0.95 * told_apart, table(scores)


def test_the_draw_is_repeatable(tmp_path):
    draws = []
    for n, seed in enumerate((1, 1, 2)):
        directory = tmp_path / str(n)
        directory.mkdir()
        draws.append(mutants.build(Lzc(width=8), ["lzc"], 1.0, seed, directory))
    assert draws[0] == draws[1] != draws[2]


def _cell(kind, **connections):
    return {
        "type": kind,
        "connections": connections,
        "port_directions": {port: "output" if port in "YQ" else "input" for port in connections},
    }


def test_what_reaches_no_output_is_left_out():
    inner = {
        "ports": {"A": {"direction": "input", "bits": [2, 3]}, "Y": {"direction": "output", "bits": [4]}},
        "cells": {"gate": _cell("$not", A=[3], Y=[4])},
    }
    outer = {
        "ports": {"x": {"direction": "input", "bits": [2, 3]}, "y": {"direction": "output", "bits": [8]}},
        "cells": {
            "placed": _cell("inner", A=[5, 6], Y=[7]),
            "register": _cell("$dff", D=[2, 3], Q=[5, 6]),
            "sum": _cell("$add", A=[7, 2], B=[7, 3], Y=[8, 9]),
            "choice": _cell("$mux", A=[2, 3], B=[3, 2], S=[7], Y=[10, 11]),
        },
    }
    reach = mutants.Reach({"inner": inner, "outer": outer})

    def counted(name, port, bits=2):
        return [reach.counts("outer", name, port, bit) for bit in range(bits)]

    assert counted("placed", "A") == [False, True]
    assert counted("register", "D") == counted("register", "Q") == [False, True]
    assert counted("sum", "A") == counted("sum", "B") == counted("sum", "Y") == [True, False]
    assert counted("choice", "A") == [False, False]
    assert counted("choice", "S", 1) == [False]
    assert counted("placed", "Y", 1) == [True]


def test_killed_mutants_are_not_equivalent(tmp_path):
    """The proof tells apart what simulation tells apart."""
    suite = _suite("lzc")
    changes = mutants.build(suite.top(), ["lzc"], 0.4, 1, tmp_path)
    killed = suite.run(tmp_path, range(1, len(changes) + 1))
    assert killed
    assert not any(equivalence.proven(suite.top(), suite.kind, n, suite.view, tmp_path) for n in killed)


def test_a_proof_knows_what_the_contract_keeps_at_zero(tmp_path):
    suite = _suite("lzc")
    changes = mutants.build(suite.top(), ["lzc"], 1.0, 1, tmp_path)
    every = (1 << suite.top().width) - 1
    killed = suite.run(tmp_path, range(1, len(changes) + 1))
    same = {
        n
        for n in killed
        if equivalence.proven(suite.top(), suite.kind, n, suite.view, tmp_path, {"mask": every})
    }
    assert same  # a swapped bit of 0
    assert same < set(killed)  # a stuck 1


def test_vectors_keep_to_the_contract():
    suite = VectorSuite(
        "lzc", lambda: Lzc(width=4), lambda rng: iter([({"mask": 6}, {})]), zero=lambda: {"mask": 3}
    )
    with pytest.raises(RuntimeError, match=r"vectors set bits of \['mask'\]"):
        measure(suite, 1.0, 1)


def test_a_view_may_note_what_was(tmp_path):
    """With groups of one row and one column the lane is 4 in row 4, and its bit 2 counts for row 5."""
    counter = GroupCounter(accelerator=preset("ews-8"))
    changes = mutants.build(counter, [counter.kind], 100.0, 1, tmp_path)
    [stuck] = [
        n
        for n, (_, change) in enumerate(changes, 1)
        if change.startswith("const0 $add") and change.endswith("(lane[2])")
    ]

    def same(rows: int) -> bool:
        return equivalence.proven(
            counter,
            counter.kind,
            stuck,
            f"""
    legal = inputs == 1 && outputs == 1 && (!step || restart || note < {rows - 1});
    next_note = rst || step && restart ? 0 : note + step;""",
            tmp_path,
        )

    assert same(5)
    assert not same(6)


def test_a_weak_suite_leaves_survivors():
    def one_vector(rng: np.random.Generator):
        yield {"mask": 0}, {"onehot": 0, "position": 0, "rest": 0}

    [score] = measure(VectorSuite("lzc", lambda: Lzc(width=4), one_vector), 1.0, 1)
    assert score.score < 0.5
    assert score.survivors


def test_a_wrong_reference_is_no_suite():
    def wrong(rng: np.random.Generator):
        yield {"mask": 2}, {"position": 0}

    with pytest.raises(RuntimeError, match="the unchanged design fails, cycle 0: position"):
        measure(VectorSuite("lzc", lambda: Lzc(width=4), wrong), 1.0, 1)
