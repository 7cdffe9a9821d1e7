"""What is installed here, and what would mend what is not."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import codeword
from codeword import inputs
from sim.errors import InputError

FEATURES = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "bf16",
    "sve",
)
"""Of processors, as Linux names them: what training, clustering and simulation gain from."""


@dataclass(frozen=True)
class Finding:
    """One thing that is there or not.

    Attributes:
        group: the core, an extra, simulators, the processor.
        found: version, path or count; "" where it is missing.
        mend: the command that brings it; "" where nothing is to be done.
        needed: nothing works without it.
    """

    group: str
    name: str
    found: str
    mend: str = ""
    needed: bool = False

    @property
    def missing(self) -> bool:
        return bool(self.mend)


@dataclass(frozen=True)
class Health:
    findings: tuple[Finding, ...]

    @property
    def well(self) -> bool:
        """Everything is there that every verb needs."""
        return not any(one.missing and one.needed for one in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {"well": self.well, "findings": [asdict(one) for one in self.findings]}


def examine() -> Health:
    """Looks at versions of packages, at simulators, at the processor; it loads none of the large packages."""
    return Health((*_itself(), *_packages(), *_simulators(), *_machine()))


def _itself() -> Iterator[Finding]:
    yield Finding("core", "codeword", codeword.__version__)
    yield Finding("core", "python", sys.version.split()[0])


def _packages() -> Iterator[Finding]:
    """What the package says that it requires, for itself and for the extras that verbs ask for."""
    from importlib import metadata  # a hundredth of a second, which no other verb needs

    try:
        required = metadata.requires("codeword") or []
    except metadata.PackageNotFoundError:
        yield Finding("core", "installation", "", "pip install -e . # in the folder of the sources")
        return
    for line in required:
        found = re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*)(?:;.*extra == ['\"](\w+)['\"])?", line)
        assert found, line
        name, bounds, extra = found.groups()
        if name == "codeword" or extra not in (None, *inputs.EXTRAS.values()):
            continue
        mend = f"pip install 'codeword[{extra}]'" if extra else f"pip install '{name}{bounds.strip()}'"
        try:
            version, wrong = metadata.version(name), ""
        except metadata.PackageNotFoundError:
            version, wrong = "", mend
        if version and not _within(version, bounds):
            version, wrong = f"{version}, wanted {bounds.strip()}", mend
        yield Finding(f"extra {extra}" if extra else "core", name, version, wrong, needed=not extra)


def _within(version: str, bounds: str) -> bool:
    """Of lower and exact bounds, which are all that pyproject.toml has."""
    for sign, bound in re.findall(r"(>=|==)\s*([\w.]+)", bounds):
        own, other = _numbers(version), _numbers(bound)
        if own < other or (sign == "==" and own != other):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """Of a release, without zeros at the end: 2.0 is 2."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def _simulators() -> Iterator[Finding]:
    """Of `verify`; one is enough."""
    if find_spec("amaranth") is None:
        yield Finding("simulators", "all", "", "pip install 'codeword[rtl]'")
        return
    from rtl.verify import simulators

    for name in simulators.SIMULATORS:
        try:
            simulators.environment(name)
            yield Finding("simulators", name, "ready")
        except InputError as error:
            yield Finding("simulators", name, "", error.fix)
    yield Finding("timing of synth", "sta", shutil.which("sta") or "none, so abc's")


def _machine() -> Iterator[Finding]:
    from sim import caches

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("processor", "cores", str(cores))
    yield Finding("processor", "architecture", os.uname().machine)
    yield Finding("processor", "features", ", ".join(_features()) or "unknown")
    yield Finding("processor", "caches", str(caches.user("numba").parent))


def _features() -> list[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    line = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    flags = set(line[1].split()) if line else set()
    return [feature for feature in FEATURES if feature in flags]
