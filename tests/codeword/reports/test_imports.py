"""The survey of what the importers take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from codeword.reports.imports import counting, survey, text
from codeword.reports.imports.modules import Module, built
from codeword.reports.imports.sources import Case, Counts, Source
from codeword.reports.registry import Task
from sim.errors import InputError


@pytest.mark.parametrize(
    ("module", "shape", "macs"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (1, 4, 8, 8), 6 * 2 * 9 * 4 * 4),
        (nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 5), 4 * 6 * 4 * 25),
        (nn.Linear(7, 5), (1, 3, 7), 3 * 7 * 5),
        (nn.MultiheadAttention(8, 2, batch_first=True), (1, 5, 8), 5 * 8 * 8 * 4 + 2 * 5 * 5 * 8),
    ],
)
def test_products_by_hand(module: nn.Module, shape: tuple[int, ...], macs: int) -> None:
    given = (torch.rand(shape),) * (3 if isinstance(module, nn.MultiheadAttention) else 1)
    assert counting.macs(module, given) == macs


class _Places(nn.Module):
    """Adds what comes of constants alone, and writes its input into zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.table = nn.Linear(4, 4), nn.Parameter(torch.rand(3, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = torch.zeros(3, 4)
        wide[:2] = x
        return self.own(wide) + self.own(self.table)


def test_products_of_constants_are_not_counted() -> None:
    assert counting.macs(_Places(), (torch.rand(2, 4),)) == 3 * 4 * 4


class _Asks(nn.Module):
    """Looks at a value, which a tensor without values does not have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x if float(x.sum()) >= 0 else x


def test_modules_without_values_where_it_goes() -> None:
    plain, _, macs = built(Module("plain", lambda: (nn.Linear(4, 4), (torch.rand(1, 4),))))
    assert next(plain.parameters()).is_meta
    assert macs == 16
    _, (given,), macs = built(Module("asks", lambda: (_Asks(), (torch.rand(4, 4),))))
    assert not given.is_meta
    assert macs == 64


def _absent() -> None:
    raise OSError("no such weights")


def _refused(_: None) -> Counts:
    raise InputError("node a.b", "Loop", "this operator | is not supported", "leave it out")


def _failed(_: None) -> Counts:
    raise ZeroDivisionError("a traceback")


CASES = [
    Case("same", lambda _: Counts(5, 5)),
    Case("other", lambda _: Counts(5, 6)),
    Case("alone", lambda _: Counts(5, None)),
    Case("absent", lambda _: Counts(5, 5), _absent),
    Case("refused", _refused),
    Case("failed", _failed),
]


def test_outcomes_and_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source("ours", "numpy", "six", "hand", lambda work: iter(CASES))
    monkeypatch.setattr(
        survey, "SOURCES", [source, Source("not", "no-such-package", "", "", lambda work: iter([]))]
    )
    monkeypatch.setattr(text, "SOURCES", [source])
    task = Task(tmp_path / "work", tmp_path / "page.json")
    survey.run(task)
    networks = json.loads(task.out.read_text())["ours"]["networks"]
    assert [n["outcome"] for n in networks] == [
        "equal",
        "differs",
        "unchecked",
        "absent",
        "refused",
        "failed",
    ]
    survey.run(task)  # nothing is tried twice
    assert len((task.work / "ours.jsonl").read_text().splitlines()) == len(CASES)
    text.run(task)
    page = task.out.with_suffix(".md").read_text()
    assert "| six | 6 | 6 | 5 | 3 (60%) | 1 of 2, by hand |" in page
    assert "Loop: this operator / is not supported | refused |" in page
    assert "failed: ZeroDivisionError('a traceback') | failed |" in page
    assert "| ours | 1 | OSError: no such weights | absent |" in page
    assert "no-such-package" not in page


def test_a_process_that_dies_says_at_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "SECONDS", 1)
    monkeypatch.setattr(survey, "MEMORY", 1 << 34)

    def endless(_: object = None) -> Counts:
        while True:
            pass

    def greedy(_: object = None) -> Counts:
        return Counts(len(bytes(1 << 35)), None)

    said = {"outcome": "absent", "why": "takes more than 1 processor seconds"}
    assert survey._outcome(Case("endless", lambda _: Counts(5, 5), endless)) == said
    assert survey._outcome(Case("endless", endless)) == {**said, "outcome": "failed"}
    assert survey._outcome(Case("greedy", greedy))["why"] == "MemoryError()"
