"""Measures every module whose package is installed, each in a process of its own; goes on after an interruption."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from codeword.reports.registry import Task
from codeword.reports.zoo import origin
from codeword.reports.zoo.modules import ENTRIES, Entry
from sim.files import write_whole

SECONDS = 3600
"""For one module: minutes, on a machine that others use as well."""


def run(task: Task) -> None:
    """Writes what is known of all modules, in the order of the list."""
    task.work.mkdir(parents=True, exist_ok=True)
    for entry in ENTRIES:
        if entry.package != "ours" and find_spec(entry.package) is None:
            print(f"{entry.name}: {entry.package} is not installed")
        elif not _done(entry, record := task.work / f"{entry.name}.json"):
            print(f"{entry.name}: {_measured(entry, record)}", flush=True)
    before = json.loads(task.out.read_text()) if task.out.exists() else []
    write_whole(task.out, json.dumps(collected(task.work, before), indent=1) + "\n")


def _done(entry: Entry, record: Path) -> bool:
    """Whether a record is whole, and of the package and the settings as they are now."""
    if not record.exists():
        return False
    found = json.loads(record.read_text())
    return found.get("made_of") == origin.made_of(entry) and bool(found.keys() & {"rtl", "ended"})


def _measured(entry: Entry, record: Path) -> str:
    """How a process of its own ended, which its record says too if it was not well."""
    command = [sys.executable, "-m", "codeword.reports.zoo.one", entry.name, str(record.parent)]
    try:
        process = subprocess.run(command, timeout=SECONDS, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        ended = f"not done in {SECONDS} seconds"
    else:
        if not process.returncode:
            return "done"
        ended = " ".join([f"status {process.returncode}", *process.stderr.strip().splitlines()[-1:]])
    if record.exists():
        write_whole(record, json.dumps(json.loads(record.read_text()) | {"ended": ended}, indent=1) + "\n")
    return ended


def collected(work: Path, before: Sequence[dict[str, Any]] = ()) -> list[Any]:
    """The files of a work folder as one; of modules that it does not hold the records of before."""
    known = {record["name"]: record for record in before}
    known |= {path.stem: json.loads(path.read_text()) for path in work.glob("*.json")}
    return [known[entry.name] for entry in ENTRIES if entry.name in known]
