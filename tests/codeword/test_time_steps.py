"""A network file of several time steps, from the command line to the Verilog."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim import artifact
from tests.codeword.conftest import Command
from tests.rtl.verify.test_time_steps import steps_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "steps.safetensors"
    artifact.save_steps(steps_of(11), file)
    return file


def test_steps_run_one_after_the_other(codeword: Command, path: Path) -> None:
    given = ["verify", "-a", "ews-cms-4", "--network", str(path), "--simulator", "icarus"]
    status, out, _ = codeword(*given, "--step", "2", "--step", "0", "--format", "json")
    assert status == 0
    assert {layer["name"].split(":")[0] for layer in json.loads(out)["layers"]} == {"step 0", "step 1"}
    for wrong in (["--step", "3"], ["--step", "1", "--stalls"]):
        status, _, error = codeword(*given, *wrong)
        assert status == 2
        assert "--step" in error


def test_one_memory_holds_all(codeword: Command, path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert codeword("compile", str(path), "-a", "ews-cms-4", "-o", str(out), "--step", "1")[0] == 0
    layout = json.loads((out / "layout.json").read_text())
    assert len(layout["steps"]) == 3
    assert layout["windows"]["commands"]["address"] == layout["steps"][1]
