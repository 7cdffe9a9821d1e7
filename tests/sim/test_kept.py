"""What Numba compiles is kept where something can be written, and `sim` runs where nothing can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sim
from sim import kept

NOWHERE = "/dev/null"
"""Not even root makes a folder in it."""

RUN = """
import sys, tempfile
if len(sys.argv) > 1:
    tempfile.tempdir = sys.argv[1]
from sim.steps import heard_by
from sim.systolic.engine import storer
import numpy as np
told = []
with heard_by(lambda *one: told.append(one)):
    storer.lookup(np.zeros(2, np.int8), np.zeros(256, np.int8))
print(storer.__file__)
print(storer.lookup.stats.cache_path or "")
print([what for what, done, total in told if done == 0])
"""


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """A copy of `sim` in which nothing can be kept: its __pycache__ are files."""
    shutil.copytree(Path(sim.__file__).parent, tmp_path / "sim", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [tmp_path / "sim", *(tmp_path / "sim").rglob("*/")]:
        if folder.is_dir():
            (folder / "__pycache__").touch()
    return tmp_path


def run(installed: Path, **settings: str) -> tuple[str, list[str]]:
    """Cache path of a function of the engine, and what it told while it ran."""
    gone = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "TMPDIR")
    environment = {key: value for key, value in os.environ.items() if key not in gone}
    environment |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": NOWHERE, "HOME": NOWHERE} | settings
    arguments = [NOWHERE] if "TMPDIR" not in settings else []
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN, *arguments],
        cwd=installed,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    file, path, told = done.stdout.splitlines()
    assert Path(file).is_relative_to(installed)
    return path, eval(told)


def test_without_a_home_it_is_kept_in_a_temporary_folder(read_only: Path) -> None:
    place = read_only / "temporary"
    place.mkdir()
    path, told = run(read_only, TMPDIR=str(place))
    assert Path(path).is_relative_to(place / f"codeword-{os.getuid()}")
    assert told == [kept.COMPILING]
    assert run(read_only, TMPDIR=str(place)) == (path, [])  # kept, so not compiled again


def test_where_nothing_can_be_written_it_runs(read_only: Path) -> None:
    assert run(read_only) == ("", [kept.COMPILING])
