"""Kinds of layers that are large wherever they are: the smallest of each on the RTL, with more patience."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from algos.frontend.export import quantize
from codeword.reports.registry import Task
from codeword.reports.zoo import excerpts, measure, one
from codeword.reports.zoo.modules import ENTRIES, Entry
from codeword.reports.zoo.settings import PATIENT, ROOM, RTL
from sim.files import write_whole
from sim.network import run as compute


def run(task: Task) -> None:
    """Goes through the modules that have such a kind, and writes the figures anew."""
    for entry in ENTRIES:
        path = task.work / f"{entry.name}.json"
        there = entry.package == "ours" or find_spec(entry.package) is not None
        if there and path.exists() and (wanted := untried(task.work, json.loads(path.read_text()))):
            print(f"{entry.name}: {', '.join(sorted(wanted))}", flush=True)
            command = [sys.executable, "-m", "codeword.reports.zoo.hardware", entry.name, str(task.work)]
            subprocess.run(command, check=False)
    before = json.loads(task.out.read_text()) if task.out.exists() else []
    write_whole(task.out, json.dumps(measure.collected(task.work, before), indent=1) + "\n")


def kinds(record: Mapping[str, Any]) -> set[str]:
    """That a module has."""
    return set(record.get("rtl", {}).get("kinds", ()))


def missing(folder: Path) -> set[str]:
    """Kinds that some module has, and none showed; what is refused of one may run of another."""
    records = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    ran = {kind for record in records for kind, found in _shown(record).items() if "equal" in found}
    return set().union(*map(kinds, records)) - ran


def untried(folder: Path, record: Mapping[str, Any]) -> set[str]:
    """Of them those that this module has not been asked for."""
    return missing(folder) & kinds(record) - _shown(record).keys()


def _shown(record: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record.get("rtl", {}).get("shown", {})
    return found


def show(entry: Entry, folder: Path) -> None:
    """Adds to a module's record what its layers of the missing kinds do on the RTL."""
    path = folder / f"{entry.name}.json"
    record = json.loads(path.read_text())
    wanted = untried(folder, record)
    module, batches = one.built(entry)
    for coded in sorted({kind.endswith(", codebook") for kind in wanted}):
        found = one.clustered(module, batches)[0] if coded else quantize(module, batches, allow="*")
        tensors = compute(found.network, one.image(found.network, batches[0]))
        machine, simulator, _ = RTL[coded]
        for kind, cut in excerpts.smallest(found.network).items():
            if kind in wanted and kind.endswith(", codebook") == coded and cut.network.macs <= PATIENT[coded]:
                for settings in ((), ROOM):
                    outcome = one.verified(cut, tensors[cut.reads], machine, simulator, settings)
                    if "refused" not in outcome:
                        break
                accelerator = " ".join([machine, *settings])
                record["rtl"]["shown"][kind] = {"layer": cut.layer, "accelerator": accelerator, **outcome}
                write_whole(path, json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    one.main(show, *sys.argv[1:])
