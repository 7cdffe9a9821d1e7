"""When each unit of the RTL is at work: spans like those of the engine, from ports that docs/hardware.md names.

The bench prints a word of all PROBES in each cycle in which it changes. Nothing here knows the engine; what a job, tile
or stripe is called, and how many rows a stripe has, comes from the packets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from rtl.compiler import Image, Layer
from rtl.control.sequencer import CAUSES
from rtl.verify.dram import Transfer
from sim.trace import Span, Trace

LINE = "probe"
"""First word of the line, before cycle and word."""

PROBES = {
    "transfer": "dram.starts",
    "tile": "dut.tile_mover.starts",
    "tile_there": "dut.tile_mover.tile_there",
    "job": "dut.core.loader.job_valid & dut.core.loader.job_ready",
    "beat": "dut.core.loader.beat_accepted",
    "job_written": "dut.core.loader.job_written",
    "chunk": "dut.core.sequencer.take",
    "row": "dut.storer.row_valid",
    "handed": "dut.storer.row_entries.handed != 0",
    "sends": "dut.row_mover.read_enable",
    "unit_sent": "dut.row_mover.unit_sent",
    "controls": "dut.layer_controller.control",
    "vector": "dut.storer.pass_busy",
    "drain": "dut.layer_controller.drain",
    **{f"cause_{name}": f"dut.core.sequencer.causes[{n}]" for n, name in enumerate(CAUSES)},
}
"""Expressions in the bench that are 1 in a cycle, by name; the first one is the lowest bit of the word."""

_SPENT = (*(f"cause_{name}" for name in CAUSES), "controls", "vector", "drain")
"""What a cycle goes to, in the order in which the first one that is 1 counts."""


ROW, WRITE = "row", "write"
"""First words of the lines of a psum row (cycle, words) and of a word into memory (cycle, word's number, two halves,
strobe)."""
LINES = (LINE, ROW, WRITE)


def rows_verilog(columns: int) -> str:
    """For the bench: every psum row that leaves the array and every word that goes to memory."""
    words = ", ".join(f"dut.core.row[{32 * n} +: 32]" for n in range(columns))
    return f"""\
  always @(posedge clk) begin
    if (~reset & (dut.core.psum_write | dut.core.finished)) $display("{ROW} %0d{" %0d" * columns}", now, {words});
    if (~reset & write)
      $display("{WRITE} %0d %0d %0d %0d %0d", now, write_address[31:3], write_data[31:0], write_data[63:32],
        write_strobe);
  end
"""


def verilog() -> str:
    """For the bench: its cycle is `now`."""
    bits = ", ".join(reversed(PROBES.values()))
    return f"""\
  reg [{len(PROBES) - 1}:0] probed;
  wire [{len(PROBES) - 1}:0] probes = {{{bits}}};
  always @(posedge clk) begin
    probed <= reset ? 0 : probes;
    if (~reset & probes !== probed) $display("{LINE} %0d %0d", now, probes);
  end
"""


def trace(
    image: Image, printed: Sequence[tuple[str, list[int]]], moved: Sequence[Transfer], window: range
) -> Trace:
    """What a run did whose bench had probes.

    Args:
        printed: the bench's lines.
        moved: the transfers of its DRAM.
        window: cycles of which the sequencer's spans are wanted.
    """
    begins = [values[0] for kind, values in printed if kind == "begin"]
    ends = [values[0] for kind, values in printed if kind == "layer"]
    if not begins:
        return Trace("RTL", ())
    zero = begins[0] + 1
    at = _Events({name: cycles - zero for name, cycles in _cycles(printed).items()}, image)
    names = [layer.name for layer in image.layers]
    spans = [
        Span("layers", name, begin + 1 - zero, end + 1 - zero)
        for name, begin, end in zip(names, begins, ends, strict=False)
    ]
    last = max((span.end for span in spans), default=0)
    return Trace.of("RTL", [*spans, *at.spans(moved), *at.sequencer(window, last)], window)


def _cycles(printed: Sequence[tuple[str, list[int]]]) -> dict[str, np.ndarray]:
    """Cycles in which each probe is 1, int64, in order."""
    lines = np.array([values for kind, values in printed if kind == LINE], np.int64).reshape(-1, 2)
    cycle, word = lines[:, 0], lines[:, 1]
    lasting = np.diff(cycle, append=cycle[-1:] + 1)
    found = {}
    for n, name in enumerate(PROBES):
        ones = np.flatnonzero(word >> n & 1)
        found[name] = np.concatenate(
            [np.arange(cycle[place], cycle[place] + lasting[place]) for place in ones] or [cycle[:0]]
        )
    return found


class _Events:
    """Cycles of the probes, from cycle 0 of the first layer on, and what they belong to."""

    def __init__(self, cycles: Mapping[str, np.ndarray], image: Image) -> None:
        self.cycles, self.image = cycles, image

    def spans(self, moved: Sequence[Transfer]) -> list[Span]:
        of = self.cycles
        found = [
            Span("DRAM", self._transfer(transfer), int(begin), int(begin) + transfer.cycles)
            for transfer, begin in zip(moved, of["transfer"], strict=False)
        ]
        tiles = [f"{layer.name} tile {n}" for layer in self.image.layers for n in range(layer.tiles)]
        found += _between("DMA reads", tiles, of["tile"] + 1, of["tile_there"] + 1)
        jobs = [name for layer in self.image.layers for name in _jobs(layer)]
        beats_end = _last_before(of["beat"], [*of["job"][1:], np.iinfo(np.int64).max])
        found += _between("DMA weights", jobs, of["job"], beats_end + 1)
        found += _between("loader", jobs, of["job"], of["job_written"] + 1)
        chunks = [f"{layer.name} chunk {n}" for layer in self.image.layers for n in range(layer.chunks)]
        tokens_end = _last_before(of["cause_compute"], [*of["chunk"][1:], np.iinfo(np.int64).max])
        found += _between("array", chunks, of["chunk"], tokens_end + 1)
        return found + self._stripes() + self._vectors()

    def _transfer(self, transfer: Transfer) -> str:
        what = "maps" if transfer.is_map else "chunk"
        return f"{self.image.layers[transfer.layer].name} {what} {transfer.number}"

    def _stripes(self) -> list[Span]:
        """Rows of stripes and results of passes, to L1 and on by DMA."""
        of = self.cycles
        found: list[Span] = []
        row = handed = 0
        sent, begin = 0, -1
        for layer in self.image.layers:
            chunks = None if layer.program is None else layer.program.chunks
            stripes = [None] if chunks is None else chunks[chunks["last"] == 1]
            for n, chunk in enumerate(stripes):
                if sent >= len(of["unit_sent"]):
                    return found
                name, end = f"{layer.name} rows {n}", int(of["unit_sent"][sent])
                first = of["sends"][np.searchsorted(of["sends"], begin, "right")]
                found.append(Span("DMA writes", name, int(first), end + 1))
                sent, begin = sent + 1, end
                if chunk is None:
                    handed = int(np.searchsorted(of["handed"], end))
                    continue
                last = handed + int(chunk["pixels"]) - 1
                found.append(Span("storer", name, int(of["row"][row]), int(of["handed"][last]) + 1))
                row, handed = row + int(chunk["pixels"]) * int(chunk["A"]), last + 1
        return found

    def _vectors(self) -> list[Span]:
        passes = [layer.name for layer in self.image.layers if layer.program is None]
        busy = self.cycles["vector"]
        first = busy[np.diff(busy, prepend=-(1 << 60)) > 1]
        return _between("vector unit", passes, first, busy[np.diff(busy, append=1 << 60) > 1] + 1)

    def sequencer(self, window: range, end: int) -> list[Span]:
        """What each cycle of a window goes to, up to the run's end."""
        first, end = max(window.start, 0), min(window.stop, end)
        if end <= first:
            return []
        spent = np.full(end - first, -1, np.int8)
        for n, name in reversed(list(enumerate(_SPENT))):
            cycles = self.cycles[name]
            spent[cycles[(cycles >= first) & (cycles < end)] - first] = n
        names = np.array([*(name.removeprefix("cause_") for name in _SPENT), "idle"])
        names[names == "controls"] = "control"
        seen = names[spent]
        edges = np.flatnonzero(seen[1:] != seen[:-1]) + 1
        bounds = [0, *edges.tolist(), len(seen)]
        return [Span("sequencer", str(seen[a]), first + a, first + b) for a, b in pairwise(bounds)]


def _jobs(layer: Layer) -> list[str]:
    """What the loader's jobs of a layer are called."""
    codebook = layer.jobs > layer.chunks
    return [*[f"{layer.name} codebook"] * codebook, *(f"{layer.name} chunk {n}" for n in range(layer.chunks))]


def _between(track: str, names: Sequence[str], begins: np.ndarray, ends: np.ndarray) -> list[Span]:
    """Spans of what came and ended in its order, as far as the run went."""
    return [
        Span(track, name, int(begin), int(end)) for name, begin, end in zip(names, begins, ends, strict=False)
    ]


def _last_before(cycles: np.ndarray, bounds: Sequence[int]) -> np.ndarray:
    """The last of some cycles before each bound."""
    return cycles[np.maximum(np.searchsorted(cycles, bounds) - 1, 0)] if len(cycles) else cycles
