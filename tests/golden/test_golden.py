"""A change of a figure is a change of `metrics.json`."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from tests.golden import record
from tests.golden.figures import GROUPS


@pytest.mark.parametrize("group", GROUPS)
def test_figures_are_those_recorded(group: str) -> None:
    changed = record.changes(record.load()[group], GROUPS[group]())
    assert not changed, "\n".join(["", *changed, f"If this is meant: {record.REWRITE}"])


def test_every_recorded_group_is_compared() -> None:
    assert record.load().keys() == GROUPS.keys()


def test_a_change_reads_as_was_is_and_ratio() -> None:
    was = {"cycles": 1000, "energy": 1.5, "area": None, "hash": "ab", "gone": 1, "same": 2, "zero": 0}
    now = {"cycles": 1100, "energy": 1.2, "area": 2.5, "hash": "cd", "new": 3, "same": 2, "zero": 4}
    assert record.changes(was, now) == [
        "area: unknown -> 2.5",
        "cycles: 1,000 -> 1,100 (1.1)",
        "energy: 1.5 -> 1.2 (0.8)",
        "gone: 1 -> none",
        "hash: ab -> cd",
        "new: none -> 3",
        "zero: 0 -> 4",
    ]


def test_twelve_digits_count() -> None:
    assert record.changes({"pj": 1.23456789012}, {"pj": 1.23456789013})


def test_the_file_keeps_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    groups = {"costs": {"b": 2, "a": 1.5}, "cells": {"c": None, "d": "text"}}
    record.save(groups, "0123abcd", datetime.date(2026, 1, 2), path)
    assert record.load(path) == groups
    assert json.loads(path.read_text())["written"] == {"on commit": "0123abcd", "date": "2026-01-02"}
    lines = path.read_text().splitlines()
    assert lines.index('   "a": 1.5,') + 1 == lines.index('   "b": 2')
