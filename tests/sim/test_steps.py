"""What long work tells: before each step how many are done, and once that it is over."""

from __future__ import annotations

import pytest

from sim.steps import heard_by, step, steps, tell

Told = list[tuple[str, int, int]]


def test_each_step_is_told_and_the_end() -> None:
    told: Told = []
    with heard_by(lambda *one: told.append(one)):
        assert list(steps("ab", "letters", 2)) == ["a", "b"]
        with step("work"):
            assert told[-1] == ("work", 0, 1)
    tell("nobody hears this", 0, 1)
    assert told == [("letters", 0, 2), ("letters", 1, 2), ("letters", 2, 2), ("work", 0, 1), ("work", 1, 1)]


def test_work_that_fails_or_is_left_is_over() -> None:
    told: Told = []
    with heard_by(lambda *one: told.append(one)):
        with pytest.raises(ZeroDivisionError), step("work"):
            _ = 1 / 0
        for _ in steps(range(9), "count", 9):
            break
    assert told == [("work", 0, 1), ("work", 1, 1), ("count", 0, 9), ("count", 9, 9)]


def test_the_inner_listener_hears_alone() -> None:
    outer: Told = []
    inner: Told = []
    with heard_by(lambda *one: outer.append(one)):
        with heard_by(lambda *one: inner.append(one)):
            tell("inner", 0, 1)
        tell("outer", 0, 1)
    assert (outer, inner) == ([("outer", 0, 1)], [("inner", 0, 1)])
