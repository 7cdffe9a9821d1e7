"""Where the maps of a scheduled layer lie while it runs: tiles, psums and finished rows in L1, in words and DMA
beats, and the weights that L2 keeps. `docs/timing.md` section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from sim.accelerator.systolic import L1_EIGHTHS, L1Group
from sim.errors import InputError
from sim.shapes import WORD, Axis, words

if TYPE_CHECKING:  # a schedule asks its tiling whether it fits
    from sim.systolic.schedule import Schedule


@lru_cache(maxsize=1 << 14)
def swept(axis: Axis, outputs: int, step: int) -> int:
    """Ifmap rows (or columns) that all tiles of `step` of the `outputs` output rows (or columns) read, halos
    included, padding not.
    """
    first = np.arange(0, outputs, step)
    last = np.minimum(first + step, outputs) - 1
    low = first * axis.stride - axis.padding
    high = last * axis.stride - axis.padding + axis.reach
    return int(np.maximum(0, np.minimum(high, axis.size) - np.maximum(low, 0)).sum())


@lru_cache(maxsize=4096)
def _step_words(parts: int, channels: int, tail: int, step: int, size: int) -> tuple[int, int]:
    """Words of a pixel that each step over channels touches: the most of them and their sum.

    Args:
        channels, tail: of a part and of the last one.
        step: channels at a time, fewer at the end of a part.
        size: bytes of an element.
    """

    def touched(part: int, count: int) -> list[int]:
        begin = part * channels
        return [words(begin + first, min(step, count - first), size) for first in range(0, count, step)]

    last = touched(parts - 1, tail)
    most, total = max(last), sum(last)
    for part in range(min(parts - 1, WORD)):  # places in a word repeat after so many
        found = touched(part, channels)
        most, total = max(most, *found), total + sum(found) * len(range(part, parts - 1, WORD))
    return most, total


def _row_words(first: int, outputs: int, columns: int, size: int) -> list[int]:
    """Words of the finished rows of a pixel, whose output channels begin with `first`."""
    return [words(first + s, min(columns, outputs - s), size) for s in range(0, outputs, columns)]


def _beats(row_words: list[int], dma_bits: int) -> int:
    """DMA beats of finished rows, each for itself."""
    return sum(-(-8 * WORD * count // dma_bits) for count in row_words)


@lru_cache(maxsize=4096)
def _stripe_beats(
    parts: int, outputs: int, tail: int, columns: int, A: int, size: int, dma_bits: int
) -> frozenset[tuple[int, int]]:
    """(output groups, DMA beats of a pixel) of every stripe; `outputs` of a part, `tail` of the last one."""
    found = set()
    for part in {*range(min(parts, WORD)), parts - 1}:  # places in a word repeat after so many
        count = tail if part == parts - 1 else outputs
        steps = -(-count // (A * columns))
        for i in {*range(min(steps, WORD)), steps - 1}:
            first = i * A * columns
            row_words = _row_words(part * outputs + first, min(A * columns, count - first), columns, size)
            found.add((len(row_words), _beats(row_words, dma_bits)))
    return frozenset(found)


@dataclass(frozen=True, eq=False)
class Tiling:
    """What a schedule asks of L1 and L2: tiles, words of a pixel, DMA beats, buffers.

    Of maps, words are what counts: bytes of them are of whole words.
    """

    schedule: Schedule

    def check(self) -> None:
        """Raises InputError where a group of L1 does not hold what the schedule puts there."""
        acc = self.schedule.accelerator
        limits: tuple[tuple[str, int, int, L1Group], ...] = (
            ("ifmap tile", self.ifmap_tile_bytes, acc.ifmap_bytes, "ifmap"),
            ("residual tile", self.residual_tile_bytes, acc.residual_bytes, "residual"),
            ("line of a pool", self.line_bytes, acc.residual_bytes, "residual"),
            ("psum tile", self.psum_tile_bytes, acc.psum_bytes, "psum"),
            ("finished rows", self.backlog_bytes, acc.ofmap_bytes, "ofmap"),
        )
        fixes = [
            f"raise l1_bytes to at least {max(-(-8 * n // L1_EIGHTHS[group]) for _, n, _, group in limits)}"
        ]
        for field, extent in (
            ("strip_columns", self.schedule.tile_width),
            ("tile_rows", self.schedule.tile_rows),
        ):
            if extent > 1:
                fixes.insert(0, f"lower {field}")
        for what, size, limit, group in limits:
            if size > limit:
                raise InputError(
                    what, size, f"bytes exceed the {limit} of the {group} group", " or ".join(fixes)
                )

    # ---- tiles that come into L1

    @property
    def tile_channels(self) -> int:
        """Channels in an ifmap tile; fewer at the end of a part."""
        how = self.schedule
        return min(how.channels, how.B * how.accelerator.rows) if how.split_channels else how.channels

    @property
    def tile_outputs(self) -> int:
        """Output channels in a residual tile; fewer at the end of a part."""
        how = self.schedule
        return min(how.outputs, how.A * how.accelerator.columns) if how.ifmap_sweeps > 1 else how.outputs

    def ifmap_words(self, step: int) -> tuple[int, int]:
        """Words of an ifmap pixel, brought in `step` channels at a time: the most at once, and in all."""
        how = self.schedule
        return _step_words(how.parts, how.channels, how.part_of(how.parts - 1)[0], step, 1)

    def residual_words(self, step: int) -> tuple[int, int]:
        """The same of the residual operand; none without one."""
        how = self.schedule
        if not how.shape.residual:
            return 0, 0
        return _step_words(how.parts, how.outputs, how.part_of(how.parts - 1)[1], step, 1)

    @cached_property
    def ifmap_tile_bytes(self) -> int:
        """Bytes of the largest ifmap tile."""
        y = self.schedule.shape.axes[0]
        lines = min((self.schedule.tile_rows - 1) * y.stride + y.reach, y.size)
        return WORD * lines * self.ifmap_tile_columns * self.ifmap_words(self.tile_channels)[0]

    @cached_property
    def ifmap_tile_columns(self) -> int:
        """Ifmap columns of the widest tile."""
        how, x = self.schedule, self.schedule.shape.axes[1]
        return x.size if how.strips == 1 else min((how.tile_width - 1) * x.stride + x.reach, x.size)

    @cached_property
    def ifmap_columns(self) -> int:
        """Ifmap columns that all strips bring, halos included."""
        how, x = self.schedule, self.schedule.shape.axes[1]
        return x.size if how.strips == 1 else swept(x, how.shape.out_w, how.tile_width)

    def dram_bytes(self, size: int) -> int:
        """Bytes in DRAM of ifmap tiles that have `size` in L2, halos included: as many, but where folding made
        another map of it.
        """
        how = self.schedule
        if how.shape.unfolded is None:
            return size
        y, x = how.shape.unfolded[:2]
        wide = x.size if how.strips == 1 else swept(x, how.shape.out_w, how.tile_width)
        lines = how.ifmap_sweeps * swept(y, how.shape.out_h, how.tile_rows)
        return lines * (how.shape.line_bytes // x.size * wide)

    @cached_property
    def residual_tile_bytes(self) -> int:
        """Bytes of the largest residual tile, 0 without a residual operand."""
        how = self.schedule
        return WORD * how.tile_rows * how.tile_width * self.residual_words(self.tile_outputs)[0]

    @property
    def line_bytes(self) -> int:
        """Bytes of a line of one output group, which a pool keeps where a residual tile would be."""
        how = self.schedule
        columns = min(how.accelerator.columns, how.outputs)
        return how.tile_width * WORD * words(0, columns) if how.shape.pool else 0

    @property
    def ifmap_buffers(self) -> int:
        """Tiles that L1 holds: the next one loads while this one computes, or not."""
        acc = self.schedule.accelerator
        twice = (
            2 * self.ifmap_tile_bytes <= acc.ifmap_bytes
            and 2 * self.residual_tile_bytes <= acc.residual_bytes
        )
        return 2 if twice else 1

    # ---- psums and finished rows in L1

    @cached_property
    def psum_tile_bytes(self) -> int:
        """Bytes of the stored psums of a tile; none when one chunk finishes an output group."""
        how, acc = self.schedule, self.schedule.accelerator
        if how.trips[1] * how.trips[2] == 1:
            return 0
        columns = min(how.A * acc.columns, how.outputs)
        return (how.tile_rows * how.tile_width * columns * acc.psum_store_bits) // 8

    @cached_property
    def backlog_bytes(self) -> int:
        """Finished bytes of one output group and tile that wait in L1 for the DMA, at most."""
        how = self.schedule
        tokens = (
            (how.channel_groups - (how.trips[1] - 1) * how.B)
            * (how.positions - (how.trips[2] - 1) * how.D)
            * how.split
        )
        return how.tile_rows * how.tile_width * self.waiting_bytes(how.A, tokens)

    def waiting_bytes(self, A: int, tokens: int) -> int:
        """Finished bytes of a pixel that wait, if a last chunk has `tokens` for each output group."""
        how, acc = self.schedule, self.schedule.accelerator
        _, tail = how.part_of(how.parts - 1)
        stripes = _stripe_beats(
            how.parts, how.outputs, tail, acc.columns, A, how.shape.output_size, acc.dma_bits
        )
        return max(0, *(beats - rows * tokens for rows, beats in stripes)) * acc.dma_bits // 8

    @property
    def ofmap_buffers(self) -> int:
        """Output groups whose finished rows may wait in L1 at once."""
        return 2 if 2 * self.backlog_bytes <= self.schedule.accelerator.ofmap_bytes else 1

    def written(self, tile: int) -> range:
        """Output rows of tile number `tile` that are written, counted from its first one."""
        how = self.schedule
        (top, _), (lines, _), rows = how.tile_place(tile), how.tile_size(tile), how.shape.written
        first = max(0, -(-(top - rows.start) // rows.step)) * rows.step + rows.start - top
        return range(first, lines, rows.step)

    @property
    def write_period(self) -> int:
        """After how many tiles of a strip the rows that are written lie in a tile as before."""
        step = self.schedule.shape.written.step
        return step // gcd(step, self.schedule.tile_rows)

    @property
    def ofmap_words(self) -> int:
        """Words that the finished rows of a pixel touch; two rows may share one."""
        how = self.schedule
        _, tail = how.part_of(how.parts - 1)
        return _step_words(how.parts, how.outputs, tail, how.accelerator.columns, how.shape.output_size)[1]

    def write_words(self, part: int, i: int) -> list[int]:
        """Words of the finished rows of one pixel, step i of a part."""
        how, columns = self.schedule, self.schedule.accelerator.columns
        first = i * how.A * columns
        outputs = min(how.A * columns, how.part_of(part)[1] - first)
        return _row_words(part * how.outputs + first, outputs, columns, how.shape.output_size)

    def write_beats(self, part: int, i: int) -> int:
        """DMA beats of the finished rows of one pixel, step i of a part."""
        return _beats(self.write_words(part, i), self.schedule.accelerator.dma_bits)

    def phase(self, part: int, i: int = 0) -> tuple[int, int]:
        """Where in a word the channels of a part begin, and the outputs of its step i."""
        how = self.schedule
        first = part * how.outputs + i * how.A * how.accelerator.columns
        return part * how.channels % WORD, first % WORD

    # ---- weights in L2

    @cached_property
    def keeps_weights(self) -> bool:
        """Whether L2 keeps the weights that the next spatial tile needs again, as they lie there: in whole beats."""
        how = self.schedule
        steps = 1 if how.outputs_outer else how.trips[0]
        beats = (steps - 1) * self._weight_beats(0) + self._weight_beats(steps - 1)
        return beats * how.accelerator.weight_port_bits <= 8 * how.accelerator.weight_bytes

    def _weight_beats(self, i: int) -> int:
        """Beats of all chunks of step i over output groups of a full part; each chunk fills its last beat up."""
        how = self.schedule
        before = how.rows_bits(i * how.A) if i else 0
        bits = how.rows_bits(min((i + 1) * how.A, how.output_groups)) - before
        _, trips_j, trips_k = how.trips
        beats = 0
        for j, times_j in ((0, trips_j - 1), (trips_j - 1, 1)):
            rows = min(how.B * how.accelerator.rows, how.channels - j * how.B * how.accelerator.rows)
            for k, times_k in ((0, trips_k - 1), (trips_k - 1, 1)):
                positions = min(how.D, how.positions - k * how.D)
                sent = how.stream.rows_sent(how.accelerator, rows) * positions * how.split * bits
                beats += times_j * times_k * -(-sent // how.accelerator.weight_port_bits)
        return beats
