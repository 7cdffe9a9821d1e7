"""Measures how the time of the engine and of the closed form grows: a picture and its data."""

from __future__ import annotations

import json
from dataclasses import asdict

import numba

from codeword.bench import scaling
from codeword.bench.suite import MACHINE
from codeword.reports.registry import Task
from sim.files import write_whole


def run(task: Task) -> None:
    """Writes data and picture, and prints the slopes."""
    numba.set_num_threads(1)
    found = (scaling.engine(), scaling.images(), scaling.closed_form())
    data = {
        "accelerator": MACHINE,
        "series": [asdict(series) | {"slope": round(series.line[0], 3)} for series in found],
    }
    write_whole(task.out, json.dumps(data, indent=1) + "\n")
    scaling.figure(found, task.out.with_suffix(".png"))
    for series in found:
        print(
            f"{series.what}: seconds ~ {series.unit} ^ {series.line[0]:.2f}, "
            f"{series.seconds[0]:.3g} to {series.seconds[-1]:.3g} s"
        )
