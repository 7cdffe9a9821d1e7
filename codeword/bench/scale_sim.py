"""`make bench-scale-sim`: SCALE-Sim 3 and our engine on the same layers and the same array.

Both run in processes of their own, for time and peak memory; each uses one core. SCALE-Sim writes no
traces, its faster mode. Ours computes every value besides; it runs on `examples/scale-sim-ws.toml`, where
both give the same cycles (tests/sim/systolic/test_conformance.py).
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codeword import rendering, tables
from sim import accelerator
from sim.errors import InputError
from sim.network import Conv, DenseWeight
from sim.shapes import ConvShape
from sim.systolic.closed_form.counts import core_cycles
from sim.systolic.engine import run_program
from sim.systolic.program import lower, token_ifmap
from sim.systolic.scale_sim import serial
from sim.workloads import workload

ROOT = Path(__file__).resolve().parents[2]
ARRAY = ROOT / "examples" / "scale-sim-ws.toml"
PYTHON = ROOT / ".venv-scale-sim" / "bin" / "python"

# The defaults that SCALE-Sim ships, but for array and dataflow. CALC: bandwidth never limits.
CONFIGURATION = """\
[general]
run_name = run
[architecture_presets]
ArrayHeight: {rows}
ArrayWidth: {columns}
IfmapSramSzkB: 64
FilterSramSzkB: 64
OfmapSramSzkB: 64
IfmapOffset: 0
FilterOffset: 10000000
OfmapOffset: 20000000
Bandwidth: 10
Dataflow: ws
MemoryBanks: 1
ReadRequestBuffer: 32
WriteRequestBuffer: 32
[layout]
IfmapCustomLayout: False
IfmapSRAMBankBandwidth: 100
IfmapSRAMBankNum: 10
IfmapSRAMBankPort: 2
FilterCustomLayout: False
FilterSRAMBankBandwidth: 100
FilterSRAMBankNum: 10
FilterSRAMBankPort: 2
[sparsity]
SparsitySupport: false
[run_presets]
InterfaceBandwidth: CALC
UseRamulatorTrace: False
"""

_SCALE_SIM = (
    "from scalesim.scale_sim import scalesim; scalesim(save_disk_space=True, verbose=False, "
    "config='array.cfg', topology='layers.csv', layout='layout.csv').run_scale('out')"
)
_ENGINE = (
    "import sys; from codeword.bench import scale_sim as c; name, rows, columns, *layers = "
    "sys.argv[1:]; print(*c.engine_cycles(c.layers_of(name, layers), int(rows), int(columns)))"
)


@dataclass(frozen=True)
class Process:
    """Wall and processor time, peak resident memory, and cycles of each layer."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    cycles: list[int]


def layers_of(network: str, names: Sequence[str] = ()) -> list[ConvShape]:
    """Convolutions and linear layers of a network of `sim.workloads`, all or the named ones."""
    shapes = [shape for shape in workload(network).shapes if isinstance(shape, ConvShape)]
    return [shape for shape in shapes if not names or shape.name in names]


def topology(shapes: Sequence[ConvShape]) -> str:
    """A SCALE-Sim topology whose maps are padded to what the windows reach, and no further.

    Raises:
        InputError: a layer that the format does not know.
    """
    lines = [
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,"
    ]
    for shape in shapes:
        if shape.groups > 1 or shape.dilation != (1, 1) or shape.stride[0] != shape.stride[1]:
            raise InputError(
                f"{shape.name}: groups, dilation, stride",
                (shape.groups, shape.dilation, shape.stride),
                "a SCALE-Sim topology has one group, no dilation and one stride",
                "leave the layer out",
            )
        height, width = (
            (out - 1) * stride + kernel
            for out, stride, kernel in zip(
                (shape.out_h, shape.out_w), shape.stride, shape.kernel, strict=True
            )
        )
        numbers = (height, width, *shape.kernel, shape.channels, shape.outputs, shape.stride[0])
        lines.append(", ".join((shape.name, *map(str, numbers))) + ",")
    return "\n".join(lines) + "\n"


def scale_sim(shapes: Sequence[ConvShape], rows: int, columns: int) -> Process:
    """One run of SCALE-Sim; cycles as its COMPUTE_REPORT.csv has them, "Total Cycles"."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "array.cfg").write_text(CONFIGURATION.format(rows=rows, columns=columns))
        (folder / "layers.csv").write_text(topology(shapes))
        (folder / "layout.csv").write_text("Layer name,\n")
        spent, _ = run_apart([str(PYTHON), "-c", _SCALE_SIM], folder)
        with open(folder / "out" / "run" / "COMPUTE_REPORT.csv", newline="") as report:
            cycles = [int(float(row[" Total Cycles"])) for row in csv.DictReader(report)]
    return replace(spent, cycles=cycles)


def engine(network: str, names: Sequence[str], rows: int, columns: int) -> Process:
    """One run of our engine, Python's start and imports included."""
    arguments = [network, str(rows), str(columns), *names]
    spent, printed = run_apart([sys.executable, "-c", _ENGINE, *arguments], ROOT)
    return replace(spent, cycles=[int(word) for word in printed.split()])


def engine_cycles(shapes: Sequence[ConvShape], rows: int, columns: int) -> list[int]:
    """Runs the layers on random INT8 values; cycles of each."""
    machine = accelerator.load(ARRAY, {"rows": rows, "columns": columns})
    rng = np.random.default_rng(0)
    cycles = []
    for shape in shapes:
        schedule = serial(shape, machine)
        product = schedule.shape
        weight = rng.integers(-128, 128, (product.outputs, product.channels, 1, 1), np.int8)
        ifmap = rng.integers(-128, 128, (1, product.channels, *product.size), np.int8)
        layer = Conv(shape.name, "input", DenseWeight(weight), np.zeros(product.outputs, np.int32))
        program = lower(layer, schedule)
        run = run_program(program, token_ifmap(ifmap, layer, program, 0))
        cycles.append(run.counters["core_cycles"])
    return cycles


def closed_form(shapes: Sequence[ConvShape], rows: int, columns: int) -> Process:
    """Our closed form, in this process."""
    machine = accelerator.load(ARRAY, {"rows": rows, "columns": columns})
    start, cpu = time.perf_counter(), time.process_time()
    cycles = [core_cycles(serial(shape, machine))["core_cycles"] for shape in shapes]
    return Process(time.perf_counter() - start, time.process_time() - cpu, float("nan"), cycles)


def run_apart(command: Sequence[str], folder: Path) -> tuple[Process, str]:
    """What a process spent, cycles not known yet, and its standard output.

    Raises:
        InputError: it failed.
    """
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        child = subprocess.Popen(command, cwd=folder, stdout=out)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise InputError(
                "command", command[0], f"ended with status {child.returncode}", "see its message above"
            )
        out.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
        cpu = usage.ru_utime + usage.ru_stime
        return Process(seconds, cpu, usage.ru_maxrss * unit / 1e6, []), out.read()


def _median(runs: Sequence[Process]) -> Process:
    seconds, cpu, megabytes = (
        statistics.median(getattr(run, field) for run in runs)
        for field in ("seconds", "cpu_seconds", "megabytes")
    )
    return Process(seconds, cpu, megabytes, runs[0].cycles)


def main() -> None:
    """Runs both and prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--layers", nargs="*", default=[], help="only these")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=1, help="runs of SCALE-Sim, minutes each")
    given = parser.parse_args()
    if not PYTHON.exists():
        parser.error("SCALE-Sim is not installed; run `make bench-scale-sim`")
    shapes = layers_of(given.network, given.layers)
    size = given.rows, given.columns
    engine(given.network, given.layers, *size)  # Numba compiles once
    runs = {
        "SCALE-Sim 3.0.0, no traces": [scale_sim(shapes, *size) for _ in range(given.repeats)],
        "our engine, with values": [engine(given.network, given.layers, *size) for _ in range(5)],
        "our closed form": [closed_form(shapes, *size) for _ in range(5)],
    }
    rows = {name: _median(several) for name, several in runs.items()}
    theirs, *ours = rows.values()
    rendering.show(
        tables.table(
            f"{given.network}, {len(shapes)} layers, {size[0]}x{size[1]} weight-stationary",
            [
                "what",
                "N",
                "seconds",
                "CPU seconds",
                "peak MB",
                "cycles",
                "times less CPU",
                "times less memory",
            ],
            [
                tuple(
                    "-" if text == "nan" else text
                    for text in (
                        name,
                        str(len(runs[name])),
                        f"{run.seconds:.3g}",
                        f"{run.cpu_seconds:.3g}",
                        f"{run.megabytes:.0f}",
                        f"{sum(run.cycles):,}",
                        f"{theirs.cpu_seconds / run.cpu_seconds:.0f}",
                        f"{theirs.megabytes / run.megabytes:.1f}",
                    )
                )
                for name, run in rows.items()
            ],
        )
    )
    last = [cycles + 1 for cycles in theirs.cycles]  # SCALE-Sim prints the index of the last cycle
    equal = sum(
        cycles == [end] * len(ours) for end, *cycles in zip(last, *(run.cycles for run in ours), strict=True)
    )
    print(f"{equal} of {len(shapes)} layers take SCALE-Sim's cycles (the index that it prints, plus 1)")


if __name__ == "__main__":
    main()
