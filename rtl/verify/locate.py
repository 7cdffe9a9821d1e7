"""Where in time RTL and engine first differ, and waves of both around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtl.compiler import Image
from rtl.verify import probe, waves
from rtl.verify.dram import transfers
from rtl.verify.looking import Look
from rtl.verify.run import Conditions, Run, run_image
from sim.systolic.engine import LayerRun, Recorder, Simulation, simulate
from sim.systolic.program import Program
from sim.systolic.schedule import Schedule, Source
from sim.trace import difference

AROUND = 200
"""Cycles before the first difference and after it that waves show: more than a row takes through the array."""
FIRST_CYCLES = 2_000
"""That waves show where nothing differs."""


@dataclass(frozen=True)
class Case:
    """One network on both.

    Attributes:
        images: int8 [1, C, H, W].
        limit: cycles after which the bench gives up.
    """

    image: Image
    images: np.ndarray
    objective: str
    plans: Sequence[Schedule | Source] | None
    l2_holds_all: bool
    simulator: str
    rtl_dir: Path | None
    conditions: Conditions
    limit: int

    def rtl(self, look: Look) -> Run:
        return run_image(
            self.image, self.images[0], self.limit, self.simulator, self.rtl_dir, self.conditions, look
        )

    def engine(self, recorder: Recorder) -> Simulation:
        return simulate(
            self.image.network,
            self.image.accelerator,
            self.images,
            compare=False,
            objective=self.objective,
            plans=self.plans,
            l2_holds_all=self.l2_holds_all,
            recorder=recorder,
        )


def write_waves(case: Case, path: Path, window: range, equal: bool) -> tuple[range, str]:
    """Writes waves of the RTL to a file, and those of the engine to NAME.engine.vcd beside it.

    Args:
        window: cycles of the network; empty for those around the first difference.
        equal: the runs are known not to differ.

    Returns:
        The cycles that they show, and what differs first.
    """
    said = ""
    if not len(window):
        found = None if equal else first_difference(case)
        cycle, said = found or (FIRST_CYCLES - AROUND, "")
        window = range(max(0, cycle - AROUND) if found else 0, cycle + AROUND)
    begins = [values[0] for kind, values in case.rtl(Look()).printed if kind == "begin"]
    zero = begins[0] + 1 if begins else 0
    case.rtl(Look(waves=path, cycles=range(zero + window.start, zero + window.stop)))
    recorder = Recorder(window, registers=True)
    case.engine(recorder)
    waves.write(engine_file(path), case.image.accelerator, recorder, zero)
    return window, said


def engine_file(path: Path) -> Path:
    """Of the waves of the engine, beside those of the RTL."""
    return path.with_suffix(".engine.vcd")


def first_difference(case: Case) -> tuple[int, str] | None:
    """Cycle and words: the first psum row, span or word in memory that differs; None where all are equal."""
    recorder = Recorder(rows=True)
    expected = case.engine(recorder)
    found = case.rtl(Look(probes=True, rows=True))
    begins = [values[0] for kind, values in found.printed if kind == "begin"]
    if not begins:
        return 0, "no layer begins in the RTL"
    zero = begins[0] + 1
    ours = recorder.trace()
    theirs = probe.trace(case.image, found.printed, transfers(case.image), range(0))
    firsts = [_row(case.image, recorder, found, zero), _word(case.image, expected, found, zero)]
    first = difference(ours, theirs)
    if first is not None and case.conditions.stalls is None:
        firsts.append((first.cycle, f"{first.track}: engine {first.expected}, RTL {first.found}"))
    return min((one for one in firsts if one is not None), default=None)


def _row(image: Image, recorder: Recorder, found: Run, zero: int) -> tuple[int, str] | None:
    """The first psum row that leaves the array at another time or with other values."""
    given = np.array([values for kind, values in found.printed if kind == probe.ROW], np.int64)
    if not len(given):
        return (0, "no psum row leaves the array of the RTL") if recorder.runs else None
    cycles, values = given[:, 0] - zero, given[:, 1:].astype(np.uint32).view(np.int32)
    place = 0
    names = [layer.name for layer in image.layers if layer.program is not None]
    for name, (first, program, run) in zip(names, recorder.runs, strict=True):
        meant = _meant(program, run)
        n = min(len(run.rows), len(values) - place)
        wrong = ((values[place : place + n] != run.rows[:n]) & meant[:n]).any(1)
        wrong |= cycles[place : place + n] != first + run.row_cycles[:n]
        if wrong.any() or n < len(run.rows):
            at = int(np.argmax(wrong)) if wrong.any() else n
            cycle = int(first + run.row_cycles[at])
            if wrong.any():
                cycle = min(cycle, int(cycles[place + at]))
            return cycle, f"psum row {at} of {name}"
        place += n
    return None


def _meant(program: Program, run: LayerRun) -> np.ndarray:
    """bool [rows, L]: columns of each emitted row that carry a value."""
    chunks, width = program.chunks, run.rows.shape[1]
    columns = [
        np.tile([*[chunk["columns"]] * (chunk["A"] - 1), chunk["columns_tail"]], chunk["pixels"])
        for chunk in chunks
    ]
    return np.arange(width) < np.concatenate(columns)[:, None]


def _word(image: Image, expected: Simulation, found: Run, zero: int) -> tuple[int, str] | None:
    """The first word that goes to memory with another value."""
    memory = found.memory.copy()
    for layer in image.layers:
        image.maps[layer.tensor].write(memory, expected.tensors[layer.tensor][0])
    for kind, values in found.printed:
        if kind != probe.WRITE:
            continue
        cycle, word, low, high, strobe = values
        mask = sum(0xFF << 8 * n for n in range(8) if strobe >> n & 1)
        if word < len(memory) and (int(memory[word]) ^ (high << 32 | low)) & mask:
            return cycle - zero, f"a word at byte {8 * word} of the maps"
    return None
