"""The report in miniature: rows are made once and go on, and the text says what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algos.facepad.attacks import ATTACKS
from algos.facepad.distillation import logits
from algos.facepad.samples import GENUINE, Samples
from algos.facepad.synthetic import KNOWN
from codeword.reports.facepad import cost, scored, text, train
from codeword.reports.facepad.scored import BASELINE, DISTILLED, STUDENT, TEACHER
from codeword.reports.registry import REPORTS, Task

KINDS = {"development": [GENUINE, GENUINE, *KNOWN], "test": [GENUINE, GENUINE, *ATTACKS]}


def samples(kinds: list[str]) -> Samples:
    pixels = torch.randint(0, 256, (len(kinds), 3, 32, 32), dtype=torch.uint8)
    labels = torch.tensor([int(kind == GENUINE) for kind in kinds])
    return Samples(pixels, pixels, labels, torch.arange(len(kinds)), tuple(kinds))


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    torch.manual_seed(0)
    splits = {name: samples(kinds) for name, kinds in KINDS.items()} | {
        "training": samples(KINDS["development"])
    }
    monkeypatch.setattr(train, "kept_splits", lambda work: splits)
    monkeypatch.setattr(train, "SEEDS", (0,))
    monkeypatch.setattr(train, "RECIPE", replace(train.RECIPE, epochs=1, batch=2))
    return Task(tmp_path, tmp_path / "facepad.json")


def test_rows_are_made_once(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    train.run(task)
    found = task.figures()
    assert [row["model"] for row in found["rows"]] == [BASELINE, TEACHER, DISTILLED, STUDENT]
    assert [len(row["scores"]["test"]) for row in found["rows"]] == [6] * 4

    shown = samples(KINDS["test"])
    made, again = (
        train.trained(STUDENT, 0, samples(KINDS["development"]), task.work),
        train.finished(STUDENT, 0, task.work),
    )
    torch.testing.assert_close(logits(again, shown), logits(made, shown))

    def never(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(train, "trained", never)
    train.run(task)
    assert task.figures() == found
    text.run(task)
    assert "Made by `codeword report facepad`" in task.out.with_suffix(".md").read_text()
    assert task.out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_baseline_is_the_share_of_high_frequencies() -> None:
    columns = torch.arange(32)
    fine, coarse = (columns // width % 2 * 255 for width in (1, 8))
    pixels = torch.stack([line.byte().expand(3, 32, 32) for line in (fine, coarse)])
    high, low = train.frequency(replace(samples([GENUINE] * 2), pixels=pixels)).tolist()
    assert high == pytest.approx(0.5)  # the mean and the finest wave hold a half each
    assert 0 < low < 0.1


def figures() -> dict[str, Any]:
    """Scores whose errors are known: the teacher's are right, the student's are of one attack wrong."""
    right = {name: [float(kind == GENUINE) for kind in kinds] for name, kinds in KINDS.items()}
    wrong = right | {"test": [1.0, 1.0, *(float(kind == "bent print") for kind in ATTACKS)]}
    return {
        "known": list(KNOWN),
        "kinds": KINDS,
        "clips": {"training": 4, "development": 4, "test": 6},
        "samples": {"training": 32},
        "recipe": {"epochs": 2, "batch": 16, "rate": 1e-3},
        "distillation": {"alpha": 0.7, "temperature": 3},
        "rows": [
            {"model": BASELINE, "seed": None, "scores": wrong},
            *({"model": TEACHER, "seed": seed, "scores": right, "cpu_seconds": 1} for seed in (0, 1)),
            {"model": STUDENT, "seed": 0, "scores": wrong, "cpu_seconds": 1},
            {"model": DISTILLED, "seed": 0, "scores": right, "cpu_seconds": 1},
        ],
    }


def test_errors_by_the_attacks_that_training_saw() -> None:
    found = figures()
    row = found["rows"][0]
    assert scored.development(found, row).real.sum() == 2
    for attacks, kinds in (
        ("known", set(KNOWN)),
        ("all", set(ATTACKS)),
        ("held out", set(ATTACKS) - set(KNOWN)),
    ):
        assert set(np.array(scored.presented(found, row, attacks).kinds)) - {GENUINE} == kinds


def test_the_text_says_the_errors() -> None:
    page = text.text(figures())
    assert "| student | 0 | 25.0 % | 50.0 % | 100.0 % | 0.0 % |" in page
    assert "| teacher | 1 | 0.0 % |" in page
    assert "| teacher | 0.0 ± 0.0 %" in page
    assert (
        "HTER of the teacher is 25.0 points below that of the student; the seeds of the two do not overlap."
        in page
    )
    assert (
        "HTER of the student is 0.0 points above that of the frequency baseline; the seeds of the two overlap."
        in page
    )
    assert "in integers" not in page


def test_costs_of_a_small_array() -> None:
    found = cost.cost("ews-8")
    assert 40 < 300e6 / found["cycles"] < 300e6 * 64 / 214_573_504  # its 64 PEs, all busy
    assert 0 < found["depthwise_cycles"] < found["cycles"]
    page = text.text(figures() | {"cost": [found], "small": [found]})
    assert f"`ews-8` | {found['cycles']:,}" in page
    assert "Published, apart: 52 frames a second" in page


def test_the_committed_figures_are_whole() -> None:
    out = REPORTS["facepad"].out
    found = json.loads(out.read_text())
    assert [row["seed"] for row in found["rows"] if row["model"] == TEACHER] == list(train.SEEDS)
    assert text.text(found) == out.with_suffix(".md").read_text()
