"""The report of video edits: its cases, its measures, its text from the figures that are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from codeword.reports.video import cases, deltas, text
from codeword.reports.video.cases import Case
from codeword.reports.video.hardware import CASES

pytest.importorskip("diffusers")
CASE = cases.cases()[0]


class _Sure(torch.nn.Module):
    """Sees a scene, whatever it is shown."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.numbers = case.target.numbers

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor([self.numbers]), 4).float()


def test_cases_go_to_scenes_that_are_held_out() -> None:
    for case in cases.cases():
        assert case.target.held_out
        changed = [a != b for a, b in zip(case.source.numbers, case.target.numbers, strict=True)]
        assert sum(changed) == 1
        assert case.word in case.source.caption


def test_the_known_result_is_a_perfect_edit() -> None:
    source, truth = CASE.clips()
    found = cases.measured(CASE, truth.pixels[None], _Sure(CASE))  # type: ignore[arg-type]
    assert (found["reached"], found["kept"], found["unsteady"]) == (True, 1, 0)
    assert found["psnr_inside"] == 99
    same = cases.psnr(source.pixels, source.pixels + 0.02, torch.ones(8, 16, 16, dtype=torch.bool))
    assert same == pytest.approx(40, abs=1)  # 10 log10(4 / 0.02^2), less what is clipped


def test_operands_of_equal_branches_have_no_deltas() -> None:
    layer = torch.nn.Linear(4, 3)
    counts: list[torch.Tensor] = []
    model = type("Model", (), {"backbone": layer})()
    with deltas.compared(model, counts):  # type: ignore[arg-type]
        for given in (torch.tensor([[127.0, 1, 0, 0]]), torch.tensor([[127.0, 1, 5, -30]])) * 2:
            layer(given)
        layer(torch.ones(1, 4))
        layer(torch.ones(1, 4))
    assert [each.tolist() for each in counts] == [[6, 9, 12], [6, 9, 12], [12, 12, 12]]


def test_text_is_that_of_the_figures() -> None:
    figures = json.loads(Path("reports/video.json").read_text())
    assert Path("reports/video.md").read_text() == text.text(figures)
    for name, row in figures["hardware"]["table"].items():
        assert round(row["pmac"], 1) == CASES[name][1]  # the paper file's table
