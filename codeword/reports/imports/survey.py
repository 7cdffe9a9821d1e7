"""Imports everything that is found, one network after another; goes on after an interruption."""

from __future__ import annotations

import json
import logging
from importlib.metadata import PackageNotFoundError, version
from itertools import zip_longest
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from resource import RLIMIT_CPU, RLIMIT_DATA, setrlimit
from signal import SIGXCPU
from typing import Any
from zlib import crc32

from codeword.reports.imports.sources import SOURCES, Case, Source
from codeword.reports.registry import Task
from sim.errors import InputError
from sim.files import write_whole
from sim.quiet import quiet

SECONDS = 120
"""Of a processor, for one network."""

MEMORY = 12 << 30
"""Bytes, likewise; no network holds values where shapes do."""

_LONGEST = 400  # characters of a reason


def run(task: Task) -> None:
    """Writes what came out of each source; interrupted, what has so far; of those not at hand, what did before."""
    task.work.mkdir(parents=True, exist_ok=True)
    found: dict[str, _Listed] = {}
    for source in SOURCES:
        try:
            release = version(source.package) if source.package else ""
            listed = _Listed(source, release, task.work)
        except PackageNotFoundError:
            print(f"{source.name}: {source.package} is not installed")
            continue
        if listed.cases:
            found[source.name] = listed
        else:
            print(f"{source.name}: no file in {task.work}")
    try:
        for turn in zip_longest(*(listed.left() for listed in found.values())):
            for listed, case in zip(found.values(), turn, strict=True):
                if case is not None:
                    listed.attempt(case)
    except KeyboardInterrupt:
        print("interrupted: the next run goes on from here")
    before = json.loads(task.out.read_text()) if task.out.exists() else {}
    write_whole(task.out, _lines(before | {name: listed.record() for name, listed in found.items()}))


class _Listed:
    """What a source lists, and what came of it so far.

    Each source in turn tries a network, in an order by a hash of their names: what an interrupted run has tried is a
    sample of all.
    """

    def __init__(self, source: Source, release: str, work: Path) -> None:
        self.source, self.release = source, release
        self.cases = {case.name: case for case in source.cases(work)}
        self.path = work / f"{source.name}.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.records = {record["name"]: record for record in map(json.loads, lines)}

    def left(self) -> list[Case]:
        """What no run has tried."""
        cases = [case for case in self.cases.values() if case.name not in self.records]
        return sorted(cases, key=lambda case: crc32(case.name.encode()))

    def attempt(self, case: Case) -> None:
        record = {"name": case.name, **_outcome(case)}
        self.records[case.name] = record
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        print(f"{self.source.name} {case.name}: {record['outcome']}", flush=True)

    def record(self) -> dict[str, Any]:
        tried = [self.records[name] for name in self.cases if name in self.records]
        return {"version": self.release, "listed": len(self.cases), "networks": tried}


def _lines(found: dict[str, dict[str, Any]]) -> str:
    """JSON, one line a network."""
    parts = []
    for name, source in found.items():
        networks = ",\n".join(json.dumps(network) for network in source["networks"])
        head = f'{json.dumps(name)}: {{"version": {json.dumps(source["version"])}, "listed": {source["listed"]}, '
        head += '"networks": [\n'
        parts.append(head + networks + "\n]}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _outcome(case: Case) -> dict[str, Any]:
    """What a process of its own says of a case; "absent" or "failed" where it takes too long or too much."""
    here, there = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_alone, args=(case, there))
    process.start()
    there.close()
    stage, told = "absent", None
    try:
        while not isinstance(told := here.recv(), dict):
            stage = told
    except EOFError:
        process.join()
        limit = f"{SECONDS} processor seconds" if process.exitcode == -SIGXCPU else f"{MEMORY >> 30} GiB"
        return {"outcome": stage, "why": f"takes more than {limit}"}
    process.join()
    here.close()
    return told


_FORK = get_context("fork")
"""What a package takes seconds to import is there already."""


def _alone(case: Case, there: Connection) -> None:
    """Tells first what a process that dies has failed to do, at last what came of the case."""
    setrlimit(RLIMIT_DATA, (MEMORY, MEMORY))
    setrlimit(RLIMIT_CPU, (SECONDS, SECONDS + 5))
    with quiet(logging.WARNING):  # packages warn of what they do themselves
        try:
            found = case.build()
        except Exception as error:  # whatever the package raises is no matter of the importer
            there.send({"outcome": "absent", "why": _line(f"{type(error).__name__}: {error}")})
            return
        there.send("failed")
        there.send(_imported(case, found))


def _imported(case: Case, found: Any) -> dict[str, Any]:
    """equal, differs, unchecked, refused, failed (not by InputError)."""
    try:
        counts = case.check(found)
    except InputError as error:
        return {"outcome": "refused", "why": _line(_reason(error))}
    except Exception as error:  # what a user would see as a traceback
        return {"outcome": "failed", "why": _line(repr(error))}
    if counts.counted is None:
        return {"outcome": "unchecked", "macs": counts.imported}
    same = counts.imported == counts.counted
    return {
        "outcome": "equal" if same else "differs",
        "macs": counts.imported,
        **({} if same else {"counted": counts.counted}),
    }


def _reason(error: InputError) -> str:
    """Without the name of the node, so that equal reasons are one."""
    return f"{error.value}: {error.problem}" if error.field.startswith("node") else error.problem


def _line(text: object) -> str:
    return " ".join(str(text).split())[:_LONGEST]
