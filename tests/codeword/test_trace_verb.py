"""`codeword trace`: its files, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.codeword.conftest import Command


def test_files_and_figures_are_of_one_run(codeword: Command, network: Path, tmp_path: Path) -> None:
    spans, layers = tmp_path / "t.json", tmp_path / "t.csv"
    result = codeword(
        "trace", network, "-a", "ews-cms-16", "-o", spans, "-o", layers, "--window", "0:100", "--json"
    )
    assert (result.status, result.err) == (0, "")
    found = json.loads(result.out)
    rows = list(csv.DictReader(layers.read_text().splitlines()))
    assert sum(int(row["Total Cycles"]) for row in rows) == found["cycles"]["engine"]
    events = json.loads(spans.read_text())["traceEvents"]
    for track, busy in found["busy"]["engine"].items():
        own = [event for event in events if event["ph"] == "X" and event["cat"] == track]
        assert sum(event["dur"] for event in own) >= busy > 0
    assert found["busy"]["engine"]["sequencer"] == 100
    assert found["equal"] is None
    simulated = codeword("simulate", network, "-a", "ews-cms-16", "--json")
    assert json.loads(simulated.out)["cycles"] == found["cycles"]["engine"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-a", "ews-cms-16", "-o", "t.png"], "is written as .json or .csv"),
        (["-a", "ews-cms-16", "-o", "t.json", "--window", "9"], "is not FIRST:END"),
        (["-a", "ews-cms-16", "-o", "t.json", "--window", "9:3"], "has no cycle"),
        (["-a", "ews-cms-16", "-o", "t.json", "--from", "rlt"], "rtl"),
        (["-a", "ews-cms-16", "-o", "no/t.json"], "no directory"),
    ],
)
def test_mistakes(
    codeword: Command, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, said
) -> None:
    monkeypatch.chdir(tmp_path)
    result = codeword("trace", network, *arguments)
    assert result.status == 2
    assert said in result.err
    assert result.err.count("\n") == 1
    assert not list(tmp_path.glob("t.*"))


def test_a_machine_without_traces(codeword: Command, tmp_path: Path) -> None:
    result = codeword("trace", "resnet20-fashion", "-a", "sws-16", "-o", tmp_path / "t.json")
    assert result.status == 2
    assert result.err.count("\n") == 1


def test_a_page_with_a_window_of_the_run(codeword: Command, network: Path, tmp_path: Path) -> None:
    page = tmp_path / "a.html"
    result = codeword("page", network, "-a", "ews-cms-16", "--window", "0:300", "-o", page)
    assert (result.status, result.err) == (0, "")
    assert "<h2>Pipeline</h2>" in page.read_text()
    space = tmp_path / "space.toml"
    space.write_text('networks = ["resnet20"]\n[accelerator]\npreset = "ews-16"\n')
    result = codeword("page", "--sweep", space, "--table", tmp_path / "t", "--window", "0:9", "-o", page)
    assert result.status == 2
    assert "--window" in result.err


def test_every_verb_is_a_function_of_the_package() -> None:
    """But for `report`, whose reports are no function's result."""
    from typer.main import get_command

    import codeword as package
    from codeword.cli import application

    verbs = set(get_command(application([])).commands) - {"report"}  # type: ignore[attr-defined]
    assert verbs <= set(package.__all__)
    assert all(callable(getattr(package, verb)) for verb in verbs)
