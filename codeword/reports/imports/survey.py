"""Imports everything that is found, one network after another; goes on after an interruption."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from resource import RLIMIT_CPU, RLIMIT_DATA, setrlimit
from signal import SIGXCPU
from typing import Any

from codeword.reports.imports.sources import SOURCES, Case, Source
from codeword.reports.registry import Task
from sim.errors import InputError
from sim.files import write_whole

SECONDS = 120
"""Of a processor, for one network."""

MEMORY = 12 << 30
"""Bytes, likewise; no network holds values where shapes do."""

_LONGEST = 2000  # characters of a reason


def run(task: Task) -> None:
    """Writes what came out of each source."""
    task.work.mkdir(parents=True, exist_ok=True)
    found = {}
    for source in SOURCES:
        try:
            release = version(source.package)
        except PackageNotFoundError:
            print(f"{source.name}: {source.package} is not installed")
            continue
        found[source.name] = {"version": release, "networks": _tried(source, task.work)}
    write_whole(task.out, _lines(found))


def _lines(found: dict[str, dict[str, Any]]) -> str:
    """JSON, one line a network."""
    parts = []
    for name, source in found.items():
        networks = ",\n".join(json.dumps(network) for network in source["networks"])
        head = json.dumps(name) + ': {"version": ' + json.dumps(source["version"]) + ', "networks": [\n'
        parts.append(head + networks + "\n]}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _tried(source: Source, work: Path) -> list[dict[str, Any]]:
    """One record a network, those of an earlier run as they are."""
    path = work / f"{source.name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    records = {record["name"]: record for record in map(json.loads, lines)}
    with path.open("a") as file:
        for case in source.cases(work):
            if case.name not in records:
                records[case.name] = record = {"name": case.name, **_outcome(case)}
                file.write(json.dumps(record) + "\n")
                file.flush()
                print(f"{source.name} {case.name}: {record['outcome']}", flush=True)
    return list(records.values())


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
    with _quiet():
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


@contextmanager
def _quiet() -> Iterator[None]:
    """Packages warn of what they do themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: InputError) -> str:
    """Without the name of the node, so that equal reasons are one."""
    return f"{error.value}: {error.problem}" if error.field.startswith("node") else error.problem


def _line(text: object) -> str:
    return " ".join(str(text).split())[:_LONGEST]
