"""Runs the command in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from codeword import cli
from sim import artifact
from tests.sim.network.networks import small_network


class Result(NamedTuple):
    """Exit status and what was printed."""

    status: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def codeword(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`codeword("estimate", "resnet18", ...)`."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["codeword", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        return Result(status, *capsys.readouterr())

    return run


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A small masked network for 4:16 machines."""
    path = tmp_path / "small.safetensors"
    artifact.save(small_network(d=16, keep=4), path)
    return path
