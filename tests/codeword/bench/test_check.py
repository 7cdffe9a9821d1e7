"""Ratios are held to their bounds."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from codeword.bench import __main__ as command
from codeword.bench import check, suite
from codeword.bench.check import BOUNDS, Bound, failures
from codeword.bench.suite import Figure, Stopwatch

BOUND = {"estimate": Bound(40, measured=20)}


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (1.0, None),
        (2.0, None),
        (2.1, "estimate: 42 times torch, bound 40, measured 20"),
        (23.0, "estimate: 460 times torch, bound 40, measured 20"),
    ],
)
def test_a_ratio_above_its_bound_fails(seconds: float, line: str | None) -> None:
    assert failures([Figure("estimate", seconds, "torch", 0.05)], BOUND) == ([line] if line else [])


def test_what_cannot_be_compared_fails() -> None:
    assert failures([], BOUND) == ["estimate: no such figure, bound 40"]
    assert failures([Figure("estimate", 1.0)], BOUND) == ["estimate: nothing to compare with, bound 40"]
    assert failures([Figure("new", 1.0, "torch", 1.0)], {}) == ["new: no bound in codeword/bench/check.py"]


def test_each_bound_lies_above_what_was_measured() -> None:
    for what, bound in BOUNDS.items():
        assert 1.5 * bound.measured < bound.limit < 6 * bound.measured, what


@pytest.mark.parametrize(("factor", "status"), [(0.5, 0), (1.5, 1)])
def test_status_of_the_command(
    factor: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up = [Figure(what, factor * bound.limit, "torch", 1.0) for what, bound in BOUNDS.items()]
    monkeypatch.setattr(suite, "measured", lambda stopwatch: made_up)
    monkeypatch.setattr(sys, "argv", ["bench", "--check"])
    assert command.main() == status
    assert capsys.readouterr().err.split("\n")[:-1] == check.failures(made_up)


def test_without_pytorch_there_is_nothing_to_compare_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(suite, "TORCH", False)
    monkeypatch.setattr(sys, "argv", ["bench", "--check"])
    assert command.main() == 2
    assert "extra algos" in capsys.readouterr().err


def test_a_stopwatch_takes_the_median_after_one_call() -> None:
    """Four calls of 100, 1, 5 and 2 ticks: the first does not count."""
    ticks, now = iter([100.0, 1.0, 5.0, 2.0]), [0.0]

    def call() -> None:
        now[0] += next(ticks)

    assert Stopwatch(lambda: now[0], repeats=3)(call) == 2


def test_processor_time_does_not_count_waiting() -> None:
    assert Stopwatch(time.process_time, repeats=1)(lambda: time.sleep(0.05)) < 0.04


@pytest.mark.slow
def test_ratios_of_this_machine() -> None:
    command = [sys.executable, "-m", "codeword.bench", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
