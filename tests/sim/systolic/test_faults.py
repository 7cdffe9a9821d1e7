"""A fault put into loader, ifmap fetch or sequencer shows in the tensors: nothing computes around the engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sim

ENGINE = Path(sim.__file__).parent / "systolic/engine"
RUN = """
import numpy as np
from sim import accelerator
from sim.network import Conv, DenseWeight
from sim.shapes import ConvShape
from sim.systolic.engine import run_program
from sim.systolic.program import lower, token_ifmap
from sim.systolic.schedule import Schedule

rng = np.random.default_rng(0)
weights = rng.integers(-128, 128, (12, 12, 3, 3)).astype(np.int8)
layer = Conv("layer", "input", DenseWeight(weights), np.zeros(12, np.int32), padding=(1, 1))
for size, tile_rows in ((6, 6), 3), ((6, 3), 1):  # a chunk's tokens take longer than its loading, and shorter
    shape = ConvShape("layer", 12, 12, (3, 3), padding=(1, 1), size=size)
    ifmap = rng.integers(-128, 128, (1, 12, *size)).astype(np.int8)
    machine = accelerator.preset("ews-8")
    program = lower(layer, Schedule(machine, shape, A=2, B=2, D=2, tile_rows=tile_rows))
    run = run_program(program, token_ifmap(ifmap, layer, program, 0))
    padded = np.pad(ifmap[0].astype(int), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    print((run.acc[0] == np.einsum("cyxij,kcij->kyx", windows, weights.astype(int))).all())
"""


def _equal(folder: Path, name: str, text: str, fault: str) -> bool:
    """Whether the sums of a layer are right, by a copy of the engine with one expression changed."""
    shutil.copytree(Path(sim.__file__).parent, folder / "sim", ignore=shutil.ignore_patterns("__pycache__"))
    changed = folder / "sim/systolic/engine" / name
    changed.write_text(changed.read_text().replace(text, fault))
    # Without optimization Numba compiles in a fraction of the time.
    variables = {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(folder / "kept"), "NUMBA_OPT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=folder,  # which Python searches first
        env=os.environ | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.split() == ["True", "True"]


FAULTS = [
    ("loader_step.py", "= loader.entry, loader.row, 0, loader.u", "= loader.entry, 0, 0, loader.u"),
    ("loader_step.py", "core.layer.chunks[job], job & p.banks - 1", "core.layer.chunks[job], np.int64(0)"),
    # The loader writes words that tokens still use.
    ("loader_step.py", "max(begin, loader.free_at[job & p.banks - 1])", "begin"),
    # Tokens issue before all of their words are written.
    (
        "loader_step.py",
        "if look_up.last:\n        core.loader[0].full_at",
        "if look_up.entry == 0:\n        core.loader[0].full_at",
    ),
    ("values.py", "kx * p.dilation_x) * channels", "(kx + 1) % p.kernel_x * p.dilation_x) * channels"),
    ("values.py", "stored[(first + pixel + n) * extent.pitch", "stored[(first + pixel) * extent.pitch"),
    ("sequencer_step.py", "entry.r = e // (chunk.A * chunk.U) % chunk.B", "entry.r = 0"),
    ("sequencer_step.py", "chunk.A * chunk.B * chunk.U * chunk.D\n", "chunk.A * chunk.U * chunk.D\n"),
    ("sequencer_step.py", "entry.s = e % chunk.A", "entry.s = 0"),
]
"""File, an expression in it, and what stands there instead."""


@pytest.mark.parametrize(("name", "text", "fault"), FAULTS)
def test_a_fault_has_its_place(name, text, fault):
    assert (ENGINE / name).read_text().count(text) == 1
    assert text != fault


@pytest.mark.slow
@pytest.mark.parametrize(("name", "text", "fault"), FAULTS)
def test_a_fault_shows(tmp_path, name, text, fault):
    assert not _equal(tmp_path, name, text, fault)


@pytest.mark.slow
def test_without_a_fault_all_sums_are_right(tmp_path):
    assert _equal(tmp_path, "values.py", "BLOCK = 96", "BLOCK = 96")
