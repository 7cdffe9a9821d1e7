"""Builds the bench once for each Verilog and simulator, and runs it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cocotb_tools.runner import get_runner

from rtl import verilog
from rtl.core import COUNTER_BITS
from rtl.counters import COUNTERS
from rtl.verify.bench import BENCH, bench
from rtl.verify.simulators import environment
from sim.accelerator import Accelerator
from sim.errors import InputError

# Only the ports of the bench are public: three times less C++ than with every signal.
_BUILD_ARGUMENTS = {
    "icarus": [],
    "verilator": ["--no-public-flat-rw", "-Wno-fatal", "-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC",
                  "--noassert"],
}


@dataclass(frozen=True, eq=False)
class Capture:
    """What the bench recorded; rows in emission order.

    Attributes:
        cycles, final, addresses: int64 [n].
        rows: int32 [n, L].
        counters: by name.
    """

    cycles: np.ndarray
    final: np.ndarray
    addresses: np.ndarray
    rows: np.ndarray
    counters: dict[str, int]


def build(accelerator: Accelerator, simulator: str, rtl_dir: Path | None) -> Path:
    """Directory of the built bench, from the cache where possible."""
    settings = environment(simulator)
    texts = _sources(accelerator, rtl_dir)
    texts[f"{BENCH}.v"] = bench(accelerator)
    key = hashlib.sha256(repr((simulator, importlib.metadata.version("cocotb"),
                               _BUILD_ARGUMENTS[simulator],
                               sorted(texts.items()))).encode()).hexdigest()[:24]
    target = _cache() / f"{simulator}-{key}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".build-", dir=target.parent))
    for name, text in texts.items():
        (staging / name).write_text(text)
    runner = get_runner(simulator)
    with _environment(settings), _quiet(staging / "build.log"):
        runner.build(
            sources=[staging / name for name in texts], hdl_toplevel=BENCH, build_dir=staging,
            build_args=_BUILD_ARGUMENTS[simulator],
            timescale=("1ns", "1ns"), log_file=staging / "build.log")
    try:
        staging.rename(target)
    except OSError:  # built by someone else meanwhile
        shutil.rmtree(staging)
    return target


def run(build_dir: Path, simulator: str, directory: Path) -> Capture:
    """Runs the bench on the stimulus in `directory`."""
    runner = get_runner(simulator)
    log = directory / "run.log"
    with _environment(environment(simulator)), _quiet(log):
        runner.test(test_module="rtl.cocotb_bench", hdl_toplevel=BENCH, hdl_toplevel_lang="verilog",
                    build_dir=build_dir, test_dir=directory, log_file=log,
                    results_xml=str(directory / "results.xml"))
    return _read(directory, log)


def _read(directory: Path, log: Path) -> Capture:
    counters = directory / "counters.txt"
    if not counters.exists():
        raise RuntimeError(f"the {BENCH} did not finish:\n" + log.read_text()[-2000:])
    lines = [line.split() for line in (directory / "rows.txt").read_text().splitlines()]
    numbers = np.array([line[:3] for line in lines], np.int64).reshape(-1, 3)
    # An unknown bit can only come from a broken design; it reads as 0.
    data = b"".join(bytes.fromhex(line[3].translate(_UNKNOWN))[::-1] for line in lines)
    rows = np.frombuffer(data, "<i4").reshape(len(lines), -1 if lines else 0)
    packed = int(counters.read_text().translate(_UNKNOWN), 2)
    values = {name: packed >> COUNTER_BITS * n & ((1 << COUNTER_BITS) - 1)
              for n, name in enumerate(COUNTERS)}
    cycles, final, addresses = numbers.T
    return Capture(cycles, final, addresses, rows, values)


_UNKNOWN = str.maketrans("xzXZ", "0000")


def _sources(accelerator: Accelerator, rtl_dir: Path | None) -> dict[str, str]:
    if rtl_dir is None:
        return {f"{name}.v": text for name, text in verilog.modules(accelerator).items()}
    files = sorted(Path(rtl_dir).glob("*.v"))
    if not files:
        raise InputError("rtl", str(rtl_dir), "holds no Verilog", "export the accelerator there")
    return {path.name: path.read_text() for path in files}


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "codeword" / "rtl"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _quiet(log: Path) -> Iterator[None]:
    """The runner prints every command; an error shows the log instead."""
    with open(os.devnull, "w") as sink:
        before, sys.stdout = sys.stdout, sink
        try:
            yield
        except (Exception, SystemExit) as error:
            text = log.read_text()[-2000:] if log.exists() else ""
            raise RuntimeError(f"{error}\n{text}") from error
        finally:
            sys.stdout = before
