"""Measures every module whose package is installed, each in a process of its own; goes on after an interruption."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from codeword.reports.registry import Task
from codeword.reports.zoo.modules import ENTRIES, Entry
from sim.files import write_whole

SECONDS = 600
"""For one module."""


def run(task: Task) -> None:
    """Writes what is known of all modules, in the order of the list."""
    task.work.mkdir(parents=True, exist_ok=True)
    for entry in ENTRIES:
        if entry.package != "ours" and find_spec(entry.package) is None:
            print(f"{entry.name}: {entry.package} is not installed")
        elif not (task.work / f"{entry.name}.json").exists():
            print(f"{entry.name}: {_measured(entry, task.work)}", flush=True)
    write_whole(task.out, json.dumps(collected(task.work), indent=1) + "\n")


def _measured(entry: Entry, work: Path) -> str:
    """How a process of its own ended; what it found until then is in the work folder."""
    command = [sys.executable, "-m", "codeword.reports.zoo.one", entry.name, str(work)]
    try:
        ended = subprocess.run(command, timeout=SECONDS, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return f"not done in {SECONDS} seconds"
    if ended.returncode:
        return f"status {ended.returncode}: {ended.stderr.strip().splitlines()[-1:]}"
    return "done"


def collected(work: Path) -> list[Any]:
    """The files of a work folder as one."""
    paths = [work / f"{entry.name}.json" for entry in ENTRIES]
    return [json.loads(path.read_text()) for path in paths if path.exists()]
