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
    """Of array and PRF, in all layers that the window meets."""
    geometry, columns = Geometry(accelerator), accelerator.tile_columns
    found: dict[str, Signal] = {}
    for name, width, values in _shown(accelerator, geometry, columns, recorder):
        found.setdefault(name, (width, [0] * len(recorder.window)))
        for place, value in values:
            found[name][1][place] = value
    return found


def _shown(
    accelerator: Accelerator, geometry: Geometry, columns: int, recorder: Recorder
) -> Iterator[tuple[str, int, list[tuple[int, int]]]]:
    for first, _, run in recorder.runs:
        waves, places = run.trace.registers, _places(first, run, recorder.window)
        if not places:
            continue
        at = [source for source, _ in places]
        to = [place for _, place in places]
        for v in range(accelerator.row_stages):
            for h in range(accelerator.column_stages):
                tile = f"core.array.tile_{v}_{h}"
                own = waves.psum[at, v, h * columns : (h + 1) * columns]
                yield f"{tile}.valid_out", 1, _numbered(to, waves.valid[at, v, h, None], 1)
                yield (
                    f"{tile}.address_out",
                    geometry.wrf_address_bits,
                    _numbered(to, waves.address[at, v, h, None], geometry.wrf_address_bits),
                )
                yield (
                    f"{tile}.activation_out",
                    8 * accelerator.tile_rows,
                    _numbered(to, waves.operand[at, v, h], 8),
                )
                yield f"{tile}.psum_out", geometry.sum_bits * columns, _numbered(to, own, geometry.sum_bits)
        wide = geometry.sum_bits * accelerator.columns
        yield "core.array.sums", wide, _numbered(to, waves.sums[at], geometry.sum_bits)
        yield "core.prf.row", PSUM_BITS * accelerator.columns, _numbered(to, waves.row[at], PSUM_BITS)


def _places(first: int, run: LayerRun, window: range) -> list[tuple[int, int]]:
    """Places in a layer's recording of the cycles that it had, and theirs in the window."""
    since = first + int(run.trace.since[0])
    length = run.counters["core_cycles"]
    return [
        (n, since + n - window.start)
        for n in range(len(run.trace.registers.row))
        if first <= since + n < first + length and since + n in window
    ]


def _numbered(to: list[int], fields: np.ndarray, width: int) -> list[tuple[int, int]]:
    """Fields [n, k] of `width` bits side by side, the first one lowest, as one number a cycle."""
    mask = (1 << width) - 1
    return [
        (place, sum((value & mask) << width * k for k, value in enumerate(row)))
        for place, row in zip(to, fields.tolist(), strict=True)
    ]


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
