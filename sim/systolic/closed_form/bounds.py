"""What the closed form says at least of all schedules of a box: for branch and bound in the mapping search.

Accesses are in `accesses`, beside the exact ones. The cycles are the longest of several chains of waits, each of which
the recurrence walks too (`recurrence`, named beside each).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sim.shapes import WORD, Axis, ConvShape
from sim.systolic.candidates import Space
from sim.systolic.closed_form import demands
from sim.systolic.closed_form.accesses import MapBytes, WeightBytes, core_counts, least_accesses
from sim.systolic.closed_form.sweeps import codebook_load, parts_alike, sweeps
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES
from sim.systolic.tiling import swept
from sim.technology import off_chip

Count = np.ndarray
"""int64 [n] of boxes."""


class Bounds:
    """Lower bounds of the schedules of a space.

    Args:
        space: its factors.
        shape: the layer itself, not folded.
    """

    def __init__(self, space: Space, shape: ConvShape) -> None:
        self.space, self.shape, self.one = space, shape, space.base
        self.acc, self.memory = space.base.accelerator, off_chip(space.base.accelerator)
        self.sweeps, self.parts = sweeps(space), parts_alike(space.base)
        self.core = core_counts(space.base)
        self.fetched = not self.one.shape.dynamic or self.one.spills

    def least(self, boxes: np.ndarray) -> tuple[Count, dict[str, Count]]:
        """Cycles and accesses by memory of every schedule of each box; accesses of a single one are exact where all
        parts are alike.
        """
        return _Boxes(self, boxes).least()

    @cached_property
    def codebook(self) -> int:
        """Bytes."""
        return demands.codebook_beats(self.one) * self.acc.weight_port_bits // 8

    def transfer(self, size: int | Count, rows: int | Count = 0) -> Count:
        """Cycles of DRAM for so many bytes in at least so many rows (`_Layer._transfer`)."""
        bits, _, row_bytes, row_cycles = self.memory
        return np.asarray(-(-size * 8 // bits) + np.maximum(-(-size // row_bytes), rows) * row_cycles)


class _Boxes:
    """Some boxes of a space, and what all that follows needs of them."""

    def __init__(self, of: Bounds, boxes: np.ndarray) -> None:
        self.of, self.boxes = of, boxes
        self.one, self.acc, self.layer = of.one, of.acc, of.one.shape
        self.factors, self.sweep = of.space.factors[boxes["factors"]], of.sweeps[boxes["factors"]]
        out_h, out_w = self.layer.out_h, self.layer.out_w
        self.strips = -(-out_w // boxes["columns"])
        self.tiles = self.strips * -(-out_h // boxes["rows"])
        self.most_tiles = -(-out_h // boxes["low_rows"]) * -(-out_w // boxes["low_columns"])
        self.single = (boxes["rows"] == boxes["low_rows"]) & (boxes["columns"] == boxes["low_columns"])
        self.whole = (boxes["low_rows"] == out_h) & (boxes["low_columns"] == out_w)
        self.resident = self.whole & ~boxes["split"] & of.space.stays
        self.again = boxes["split"] | boxes["outer"]
        self.visits = (
            of.parts
            * self.tiles
            * np.where(self.again, self.sweep["steps"], 1)
            * np.where(boxes["split"], -(-self.one.channel_groups // self.factors["B"]), 1)
        )
        self.fences = self.tiles * np.where(
            boxes["rows"] * boxes["columns"] - 1 < self.acc.latency + self.sweep["psum"],
            self.sweep["fence"],
            0,
        )

    def least(self) -> tuple[Count, dict[str, Count]]:
        maps, weights = self.map_bytes(), self.weight_bytes()
        accesses = least_accesses(
            self.one, self.of.shape, self.of.core, self.factors, self.boxes, self.tiles, maps, weights
        )
        return self.cycles(maps, weights), accesses

    # ---- bytes

    @cached_property
    def keeps(self) -> Count:
        """L2 keeps the weights of the next tile (`Tiling.keeps_weights`)."""
        beats = np.where(self.boxes["outer"], self.sweep["step_beats"], self.sweep["beats"])
        return beats * self.acc.weight_port_bits <= 8 * self.acc.weight_bytes

    def weight_bytes(self) -> WeightBytes:
        """`demands.weight_bytes`, but for a last part that is smaller."""
        port = self.acc.weight_port_bits // 8
        stored = self.of.parts * self.sweep["beats"] * port
        fetched = stored * np.where(self.keeps, 1, self.tiles)
        return WeightBytes(
            self.of.codebook + self.tiles * stored, (self.of.codebook + fetched) * self.of.fetched
        )

    def map_bytes(self) -> MapBytes:
        """`accesses.map_bytes`; exact for a single schedule."""
        y, x = self.layer.axes
        times = np.where(self.again, self.sweep["steps"], 1)
        boxes = self.boxes
        lines = times * self._swept(y, self.layer.out_h, boxes["rows"], boxes["low_rows"])
        strips = self._swept(x, self.layer.out_w, boxes["columns"], boxes["low_columns"])
        columns = np.where(self.strips == 1, x.size, strips)
        which = np.arange(len(boxes)), self.boxes["split"].astype(int)
        line = WORD * columns * self.factors["ifmap"][which]
        words = self.factors["residual"][which[0], self.again.astype(int)]
        residual = WORD * self.layer.out_h * self.layer.out_w * words
        dram = lines * line
        if self.layer.unfolded is not None:
            y, x = self.layer.unfolded[:2]
            strips = self._swept(x, self.layer.out_w, boxes["columns"], boxes["low_columns"])
            wide = np.where(self.strips == 1, x.size, strips)
            high = times * self._swept(y, self.layer.out_h, boxes["rows"], boxes["low_rows"])
            dram = high * (self.layer.line_bytes // x.size * wide)
        from_dram = self.one.source == "dram"
        return MapBytes(np.where(self.resident, 0, lines * line), residual, (dram + residual) * from_dram)

    def _swept(self, axis: Axis, outputs: int, step: Count, low: Count) -> Count:
        """`tiling.swept`, exact where there is one step, else at least: all once, and the halos between the fewest
        tiles but for those that padding may cut; where strides leave gaps, those of the smallest tiles.
        """
        halo = axis.reach - axis.stride
        if halo <= 0:
            least = np.full(len(step), swept(axis, outputs, 1))
        else:
            end = (outputs - 1) * axis.stride + axis.reach - axis.padding - axis.size
            cut = sum(max(0, -(-pad // axis.stride) - 1) for pad in (axis.padding, max(0, end)))
            between = np.maximum(-(-outputs // step) - 1 - cut, 0)
            least = swept(axis, outputs, outputs) + between * halo
        one = step == low
        sizes, which = np.unique(step[one], return_inverse=True)
        exact = [swept(axis, outputs, size) for size in sizes.tolist()]
        least[one] = np.array(exact, np.int64)[which] if exact else 0
        return least

    # ---- cycles

    def cycles(self, maps: MapBytes, weights: WeightBytes) -> Count:
        """The longest chain of waits."""
        sweep, acc, boxes = self.sweep, self.acc, self.boxes
        slots, loads, moved = self.of.parts * self._slots(), self._loads(), self._moved(maps)
        fenced, loaded = slots + self.of.parts * self.fences, self._first_job()
        start = np.maximum(self._first_tile(), CONTROL_CYCLES) + sweep["first_fetch"]
        begin = np.maximum(start, loaded)
        jobs = self.tiles * sweep["steps"] * sweep["chunks"] * self.of.parts
        two_banks = (slots + loads - jobs + (jobs - 2) * acc.release) // 2
        one_bank = begin + slots + loads - sweep["first_load"] - 1 + (jobs - 1) * (acc.release - 1)
        # When all slots are done: one after the other, each behind its weights, each visit behind its tile.
        done = [
            begin + fenced,
            np.where(boxes["overlap"], two_banks, one_bank),
            np.where(self.of.space.fits_twice(boxes), 0, moved + slots),
        ]
        # When the last chunk begins: behind its job (`_load`), its tile (`_open`), DRAM, or the slots before it.
        last = [
            loaded - sweep["first_load"] + loads - 1,
            moved + self._before_last(),
            begin + moved + self._two_buffers(),
            self._from_dram(maps, weights),
            loaded + self._staged(),
        ]
        most = (self._last_pixels - 1) * sweep["last_wrap"] + sweep["last_tokens"]
        final = np.maximum.reduce([*last, *(np.where(self.single, time - most, 0) for time in done)])
        inside = (self._last_pixels - 1) * sweep["last_inside"]
        beats, behind = self._last_beats(), acc.latency + STORER_STAGES - 1 + sweep["last_store"]
        # `_send`: rows wait for the last slot, those of the last stripe for its first one, all for the first slot.
        sent = np.maximum.reduce(
            [
                np.maximum.reduce(done) + behind + beats,
                final
                + sweep["last_tokens"]
                + behind
                + np.maximum(inside + beats, self._last_written * beats),
                begin + self.of.shape.ofmap_bytes * 8 // acc.dma_bits,
            ]
        )
        return np.asarray(sent + acc.dma_setup + acc.l2_latency)

    def _slots(self) -> Count:
        """Slots of a part (`_Layer._slot`): inside rows, at their ends, and of the last pixel of each tile."""
        sweep, out_h, out_w = self.sweep, self.layer.out_h, self.layer.out_w
        ends = out_h * self.strips
        return (
            (out_h * out_w - ends) * sweep["inside"]
            + ends * sweep["wrap"]
            - self.most_tiles * (sweep["wrap"] - sweep["tokens"])
        )

    @cached_property
    def _last_pixels(self) -> Count:
        """Of the last tile."""
        rows = (self.layer.out_h - 1) % self.boxes["rows"] + 1
        columns = (self.layer.out_w - 1) % self.boxes["columns"] + 1
        return np.where(self.single, rows * columns, 1)

    @property
    def _last_written(self) -> Count:
        """Pixels of the last tile that are written, at least."""
        if self.layer.pool is None:
            return self._last_pixels
        rows = (self.layer.out_h - 1) % self.boxes["rows"] + 1
        columns = (self.layer.out_w - 1) % self.boxes["columns"] + 1
        written = np.minimum(-(-rows // self.layer.pool.stride), len(self.layer.written))
        return np.where(self.single, written * columns, 1)

    def _before_last(self) -> Count:
        """Slots of the last visit before its last chunk."""
        tokens = self.sweep["tokens"] - self.sweep["last_tokens"]
        return np.where(self.again, 0, self._last_pixels * tokens)

    def _loads(self) -> Count:
        """Weight jobs, each behind the one before it (`_Layer._load`)."""
        jobs = self.sweep["steps"] * self.sweep["chunks"]
        return self.of.parts * self.tiles * (self.sweep["load"] + jobs)

    def _first_job(self) -> Count:
        """When the first weights may be used."""
        load = self.sweep["first_load"] + 1
        codebook = codebook_load(self.one)
        if self.of.fetched:
            size = self.of.codebook + self.sweep["first_dram"] * self.acc.weight_port_bits // 8
            load = load + self.of.transfer(size) + self.of.memory.latency
        return load + (codebook + 1) * (codebook > 0)

    def _first_tile(self) -> Count:
        """When the first tile, and the residual one that belongs to it, are in L1 (`_Layer._open`)."""
        (y, x), boxes, acc = self.layer.axes, self.boxes, self.acc
        lines = np.clip((boxes["low_rows"] - 1) * y.stride + y.reach - y.padding, 0, y.size)
        columns = np.clip((boxes["low_columns"] - 1) * x.stride + x.reach - x.padding, 0, x.size)
        columns = np.where(boxes["low_columns"] == self.layer.out_w, x.size, columns)
        channels = np.where(
            boxes["split"], np.minimum(self.one.channels, self.factors["B"] * acc.rows), self.one.channels
        )
        size = WORD * lines * columns * -(-channels // WORD)
        begin: int | Count = 0
        if self.one.source == "dram":
            narrow = size if self.layer.unfolded is None else 0
            weights = self.sweep["first_dram"] * acc.weight_port_bits // 8 * self.of.fetched
            begin = self.of.transfer(narrow) + self.of.transfer(weights) + self.of.memory.latency
        start = acc.dma_setup + acc.l2_latency
        return np.where(self.resident | (size == 0), 0, begin + start + -(-size * 8 // acc.dma_bits))

    def _moved(self, maps: MapBytes) -> Count:
        """All tiles, one descriptor after the other (`_visit`)."""
        acc, split = self.acc, self.boxes["split"]
        residuals = (
            self.visits // np.where(split, -(-self.one.channel_groups // self.factors["B"]), 1)
            if self.layer.residual
            else 0
        )
        y = self.layer.axes[0]
        tiles = np.where(self.resident | (y.padding >= y.reach), 0, self.visits)
        beats = (maps.ifmap + maps.residual) * 8 // acc.dma_bits
        descriptors = tiles + residuals
        gaps = np.maximum(beats // 16 - descriptors, 0) * acc.dma_burst_gap
        return beats + gaps + descriptors * (acc.dma_setup + acc.l2_latency)

    def _two_buffers(self) -> Count:
        """Less than all tiles by the first two: the third one waits for the slots of the first visit."""
        (y, x), boxes, acc = self.layer.axes, self.boxes, self.acc
        lines = np.minimum((boxes["rows"] - 1) * y.stride + y.reach, y.size)
        columns = np.minimum((boxes["columns"] - 1) * x.stride + x.reach, x.size)
        columns = np.where(boxes["columns"] == self.layer.out_w, x.size, columns)
        ifmap = (
            lines * columns * self.factors["ifmap_most"][np.arange(len(boxes)), boxes["split"].astype(int)]
        )
        again = self.again.astype(int)
        residual = (
            self.factors["residual_most"][np.arange(len(boxes)), again] * boxes["rows"] * boxes["columns"]
        )
        beats = -(-8 * WORD * (ifmap + residual) // acc.dma_bits) + 1
        most = 2 * (acc.dma_setup + acc.l2_latency) + beats + (beats // 16 + 1) * acc.dma_burst_gap
        first = np.where(self.again, 0, boxes["low_rows"] * boxes["low_columns"] * self.sweep["tokens"])
        return np.where(self.visits > 2, first - 2 * most, -(1 << 40))

    def _staged(self) -> Count:
        """Jobs from DRAM, behind the first one: L2 stages two, so that each waits for the load of the one two before
        (`_Layer._job_from_dram`).
        """
        sweep, sweeps = self.sweep, np.where(self.keeps, 1, self.tiles) * self.of.parts
        if not self.of.fetched:
            return np.zeros(len(sweep), np.int64)
        each = self.of.memory.latency + 1
        first = (
            self.of.transfer(sweep["first_dram"] * self.acc.weight_port_bits // 8)
            + sweep["first_load"]
            + each
        )
        every = sweep["dram"] + sweep["load"] + sweep["steps"] * sweep["chunks"] * each
        return np.maximum(sweeps * every - 2 * first, 0) // 2

    def _from_dram(self, maps: MapBytes, weights: WeightBytes) -> Count:
        """Transfers, one after the other, and the load of the last chunk where its weights come last."""
        of, sweep = self.of, self.sweep
        sweeps = np.where(self.keeps, 1, self.tiles) * of.parts
        busy = of.transfer(maps.dram, self.visits * (self.one.source == "dram"))
        busy = np.where(maps.dram > 0, busy, 0)
        load: int | Count = 0
        if of.fetched:
            busy = busy + sweeps * sweep["dram"] + of.codebook * 8 // of.memory.bits
            # A single job comes before the map.
            alone = sweep["steps"] * sweep["chunks"] * self.tiles == 1
            load = np.where(self.keeps & (self.tiles > 1) | alone, 0, sweep["last_load"] + 1)
        return busy + np.where(busy > 0, of.memory.latency, 0) + load

    def _last_beats(self) -> Count:
        """DMA beats of a pixel of the last stripe, at least."""
        columns = self.one.outputs - (self.sweep["steps"] - 1) * self.factors["A"] * self.acc.columns
        if self.one.parts > self.of.parts:
            return np.ones(len(columns), np.int64)
        return -(-columns * self.layer.output_size * 8 // self.acc.dma_bits)
