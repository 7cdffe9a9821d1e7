"""Images run on the accelerator among parts of cocotbext-axi: buses that stall, errors where asked."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

from rtl.compiler import Image
from rtl.control.counters import COUNTERS
from rtl.verify.build import cached, sources
from rtl.verify.dram import transfers
from rtl.verify.run import READ_BACK, Run, memory_before, offsets, programming, strays
from rtl.verify.simulators import environment
from rtl.verilog import TOP
from rtl.weights.rom import init_files

SIMULATOR = "icarus"


@dataclass(frozen=True)
class Fault:
    """A response other than OKAY.

    Attributes:
        port: one of `rtl.bus.register_map.PORTS`.
        beat: of all that the port moves in the run.
        response: 2 SLVERR, 3 DECERR.
    """

    port: str
    beat: int
    response: int = 2


@dataclass(frozen=True, eq=False)
class Attempt:
    """One run: an image, an input int8 [C, H, W], and what fails."""

    image: Image
    inputs: np.ndarray
    limit: int
    fault: Fault | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an attempt left.

    Attributes:
        run: as the bench without Python has it; `registers` read over AXI4-Lite.
        counters: read over AXI4-Lite after the run.
        irq_after: the interrupt after software has cleared it.
        overflows: cycles with `overflow`.
        beats: by port.
        failed: first byte of the burst that failed, or -1.
        addresses_after: cycles in which an address still left after an error.
        status_after: after `control.clear`; None without an error.
    """

    run: Run
    counters: dict[str, int]
    irq_after: int
    overflows: int
    beats: dict[str, int]
    failed: int
    addresses_after: int
    status_after: int | None


def run_attempts(attempts: Sequence[Attempt], seed: int, rtl_dir: Path | None = None) -> list[Outcome]:
    """Runs attempts one after the other, without a reset between them, on one accelerator.

    Args:
        attempts: of one accelerator; where it has a ROM, of one content of it.
        seed: of stalls and of the memory's latency.
        rtl_dir: an export to simulate; otherwise the accelerator is exported afresh.
    """
    begin = time.perf_counter()
    built = _build(attempts[0].image, rtl_dir)
    ready = time.perf_counter()
    memories = [memory_before(attempt.image, attempt.inputs) for attempt in attempts]
    size = max(len(memory) for memory in memories)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for n, memory in enumerate(memories):
            padded = np.zeros(size, np.uint64)
            padded[: len(memory)] = memory
            (directory / f"memory_{n}.bin").write_bytes(padded.astype("<u8").tobytes())
        for name, text in init_files(attempts[0].image.accelerator, attempts[0].image.rom).items():
            (directory / name).write_text(text)
        (directory / "job.json").write_text(
            json.dumps(
                {
                    "seed": seed,
                    "size": 8 * size,
                    "counters": COUNTERS,
                    "offsets": offsets(attempts[0].image),
                    "attempts": [_job(attempt) for attempt in attempts],
                }
            )
        )
        run_module(built, directory, "rtl.verify.cocotb_bench", TOP)
        results = json.loads((directory / "results.json").read_text())
        seconds = (ready - begin, time.perf_counter() - ready)
        return [
            _outcome(directory / f"after_{n}.bin", attempt.image, memories[n], results[n], seconds)
            for n, attempt in enumerate(attempts)
        ]


def _job(attempt: Attempt) -> dict[str, Any]:
    fault = attempt.fault
    return {
        "limit": attempt.limit,
        "registers": programming(attempt.image),
        "fault": [fault.port, fault.beat, fault.response] if fault else None,
        "transfers": [[int(t.is_map), t.jobs, t.layers, t.tiles] for t in transfers(attempt.image)],
    }


def _outcome(
    left: Path, image: Image, before: np.ndarray, found: dict[str, Any], seconds: tuple[float, float]
) -> Outcome:
    memory = np.frombuffer(left.read_bytes(), "<u8")[: len(before)].astype(np.uint64)
    registers = {name: found[name] for name in READ_BACK}
    for name, count in found["counters"].items():
        registers |= {f"count_{name}_lo": count & 0xFFFF_FFFF, f"count_{name}_hi": count >> 32}
    run = Run(
        memory,
        found["begins"],
        [layer["cycle"] for layer in found["ends"]],
        None,
        [layer["counters"] for layer in found["ends"]],
        registers,
        found["cycles"],
        found["limited"],
        strays(image, before, memory),
        found["beyond"],
        found["overflows"],
        *seconds,
    )
    return Outcome(
        run,
        found["counters"],
        found["irq_after"],
        found["overflows"],
        found["beats"],
        found["failed"],
        found.get("addresses_after", 0),
        found.get("status_after"),
    )


def _build(image: Image, rtl_dir: Path | None) -> Path:
    environment(SIMULATOR)
    texts = sources(image.accelerator, rtl_dir)

    def make(directory: Path) -> None:
        with quiet(directory / "build.log"):
            get_runner(SIMULATOR).build(
                sources=[directory / name for name in texts],
                hdl_toplevel=TOP,
                build_dir=directory,
                timescale=("1ns", "1ns"),
                log_file=directory / "build.log",
            )

    return cached("cocotb", (SIMULATOR, importlib.metadata.version("cocotb")), texts, make)


def run_module(built: Path, directory: Path, module: str, top: str) -> None:
    """Runs the cocotb tests of a module in `directory`; raises, with the log, if one fails."""
    log, report = directory / "run.log", directory / "results.xml"
    with quiet(log):
        get_runner(SIMULATOR).test(
            test_module=module,
            hdl_toplevel=top,
            hdl_toplevel_lang="verilog",
            build_dir=built,
            test_dir=directory,
            log_file=log,
            results_xml=str(report),
        )
        count, failed = get_results(report)
        if failed or not count:
            raise RuntimeError(f"{failed} of {count} tests of {module} failed")


@contextmanager
def quiet(log: Path) -> Iterator[None]:
    """The runner prints every command; an error shows the log instead."""
    with open(os.devnull, "w") as sink:
        before, sys.stdout = sys.stdout, sink
        try:
            yield
        except (Exception, SystemExit) as error:
            text = log.read_text()[-3000:] if log.exists() else ""
            raise RuntimeError(f"{error}\n{text}") from error
        finally:
            sys.stdout = before
