"""Waves of the engine's registers, named and timed like the signals of the RTL, so that both lie over one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from rtl.control.sequencer import CAUSES
from rtl.geometry import PSUM_BITS, Geometry
from rtl.verify.looking import HALF, time_of
from sim.accelerator import Accelerator
from sim.systolic.engine import LayerRun, Recorder
from sim.systolic.engine.registers import STAGES
from sim.trace import Span

SCOPE = "engine.dut"
"""Where the RTL has bench_files.bench.dut."""

_ENDS = {
    "core.loader.job_written": "loader",
    "tile_mover.tile_there": "DMA reads",
    "row_mover.unit_sent": "DMA writes",
}
"""Signals that are 1 in the last cycle of each span of a track."""
_WHILE = {"storer.pass_busy": ("vector unit", None), "layer_controller.drain": ("sequencer", "drain")}
"""Signals that are 1 while a track has a span, or one of that name."""


def write(path: Path, accelerator: Accelerator, recorder: Recorder, zero: int) -> None:
    """Writes a VCD file of what a recorder with `registers` has seen in its window.

    Args:
        zero: the bench's cycle in which cycle 0 of the network is visible.
    """
    from vcd import VCDWriter

    window = recorder.window
    signals = {**_registers(accelerator, recorder), **_units(accelerator, recorder)}
    first = time_of(zero + window.start)
    with (
        path.open("w") as sink,
        VCDWriter(sink, timescale="1 ns", comment="the cycle engine", init_timestamp=first) as writer,
    ):
        handles = {}
        for name, (width, values) in signals.items():
            scope, _, own = f"{SCOPE}.{name}".rpartition(".")
            handles[name] = writer.register_var(scope, own, "wire", size=width, init=values[0])
        for n in range(1, len(window)):
            for name, (_, values) in signals.items():
                if values[n] != values[n - 1]:
                    writer.change(handles[name], first + HALF * n, values[n])
        writer.close(time_of(zero + window.stop) - HALF)


Signal = tuple[int, list[int]]
"""Width and value in each cycle of the window."""


def _registers(accelerator: Accelerator, recorder: Recorder) -> Mapping[str, Signal]:
    """Of array and PRF. Between layers, and until the first token of a layer comes to it, a register holds."""
    known: dict[str, list[int | None]] = {}
    widths: dict[str, int] = {}
    for first, _, run in recorder.runs:
        for name, width, since, values in _shown(accelerator, run):
            widths[name] = width
            own = known.setdefault(name, [None] * len(recorder.window))
            for n, place in _places(first, run, recorder.window):
                if n >= since:
                    own[place] = values[n]
    held: dict[str, Signal] = {}
    for name, own in known.items():
        last, filled = 0, []
        for value in own:
            last = last if value is None else value
            filled.append(last)
        held[name] = widths[name], filled
    return held


def _shown(accelerator: Accelerator, run: LayerRun) -> Iterator[tuple[str, int, int, list[int]]]:
    """Name, width, the first place of the recording in which it is meant, and all values."""
    geometry, waves = Geometry(accelerator), run.trace.registers
    bits, columns, address = geometry.sum_bits, accelerator.tile_columns, geometry.wrf_address_bits
    added = 0
    for v in range(accelerator.row_stages):
        for h in range(accelerator.column_stages):
            tile, valid = f"core.array.tile_{v}_{h}", waves.valid[:, v, h, None]
            fresh = _first(valid, int(run.trace.since[0]))
            yield f"{tile}.valid_out", 1, 0, _numbered(valid, 1)
            yield f"{tile}.address_out", address, fresh, _numbered(waves.address[:, v, h, None], address)
            operand = _numbered(waves.operand[:, v, h], 8)
            yield f"{tile}.activation_out", 8 * accelerator.tile_rows, fresh, operand
            psum = _numbered(waves.psum[:, v, h * columns : (h + 1) * columns], bits)
            added = fresh + STAGES * (fresh > 0)
            yield f"{tile}.psum_out", bits * columns, added, psum
    # A row is whole with the psums of the last tile, and accumulated in the cycle after.
    yield "core.array.sums", bits * accelerator.columns, added, _numbered(waves.sums, bits)
    row = added + (added > 0)
    yield "core.prf.row", PSUM_BITS * accelerator.columns, row, _numbered(waves.row, PSUM_BITS)


def _first(valid: np.ndarray, since: int) -> int:
    """The place of the first token in a recording from the begin of a layer on; 0 in one that begins later."""
    if since > 0:
        return 0
    return int(np.argmax(valid)) if valid.any() else len(valid)


def _places(first: int, run: LayerRun, window: range) -> list[tuple[int, int]]:
    """Places in a layer's recording of the cycles that it had, and theirs in the window."""
    since = first + int(run.trace.since[0])
    length = run.counters["core_cycles"]
    return [
        (n, since + n - window.start)
        for n in range(len(run.trace.registers.row))
        if first <= since + n < first + length and since + n in window
    ]


def _numbered(fields: np.ndarray, width: int) -> list[int]:
    """Fields [n, k] of `width` bits side by side, the first one lowest, as one number a cycle."""
    mask = (1 << width) - 1
    return [sum((value & mask) << width * k for k, value in enumerate(row)) for row in fields.tolist()]


def _units(accelerator: Accelerator, recorder: Recorder) -> Mapping[str, Signal]:
    """What units do, from the spans."""
    trace, window = recorder.trace(), recorder.window
    found: dict[str, Signal] = {}

    def one(spans: list[range]) -> list[int]:
        values = np.zeros(len(window), np.int64)
        for span in spans:
            first, end = max(span.start, window.start), min(span.stop, window.stop)
            values[max(first - window.start, 0) : max(end - window.start, 0)] = 1
        return values.tolist()

    def last(span: Span) -> range:
        return range(span.end - 1, span.end)

    for name, track in _ENDS.items():
        found[name] = (1, one([last(span) for span in trace.on(track)]))
    for name, (track, which) in _WHILE.items():
        spans = [span for span in trace.on(track) if which in (None, span.name)]
        found[name] = (1, one([range(span.begin, span.end) for span in spans]))
    array = trace.on("array")
    found["core.sequencer.take"] = (1, one([range(span.begin, span.begin + 1) for span in array]))
    layers = trace.on("layers")
    found["begin_layer"] = (1, one([range(span.begin - 1, span.begin) for span in layers]))
    found["end_layer"] = (1, one([last(span) for span in layers]))
    causes = np.zeros(len(window), np.int64)
    for span in trace.on("sequencer"):
        if span.name in CAUSES[:-1]:
            causes[span.begin - window.start : span.end - window.start] = 1 << CAUSES.index(span.name)
    found["core.sequencer.causes"] = (len(CAUSES), causes.tolist())
    return found
