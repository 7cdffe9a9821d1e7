"""A machine around the storer, in plain Python: what it must write and offer, in which cycle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rtl.geometry import Geometry
from rtl.packets import PARAMETER, PASS_KINDS, stripe, words
from rtl.storer.storer import Storer
from tests.rtl.simulate import pack, run

WORDS = 1024
STAGES, PASS_STAGES = 9, 13


def clamp(value, low, high):
    return min(max(value, low), high)


def rounded(value, shift):
    return (value + (1 << shift - 1)) >> shift


def banks(accelerator):
    return next(n for n in (1, 2, 4, 8) if 8 * n >= max(accelerator.rows, accelerator.columns))


def wide_lanes(accelerator):
    """32-bit values written in a cycle."""
    most = 2 * banks(accelerator)
    return max(n for n in range(1, most + 1) if accelerator.requant_lanes % n == 0)


@dataclass
class Stripe:
    """A stripe, its operands, and what must become of it.

    Attributes:
        fields: of the packet.
        psums: [pixels][a] lists of L psums.
        parameters: [a][L] tuples (bias, multiplier, shift).
        slot: cycles of a pixel's tokens.
        gaps: cycles that a slot of each pixel takes longer than it must.
        shrinks: a is larger in a stripe before it in the layer.
    """

    fields: dict[str, int]
    psums: list = field(default_factory=list)
    parameters: list = field(default_factory=list)
    slot: int = 0
    gaps: list = field(default_factory=list)
    shrinks: bool = False

    @property
    def is_pass(self):
        return self.fields["pass"] != PASS_KINDS["rows"]


class Machine:
    """Feeds stripes to a storer and checks every cycle.

    `layers` are lists of stripes; a layer begins when the one before has left. With `exact` the row mover takes
    an entry a cycle and cycles are checked, otherwise it takes them at random.
    """

    def __init__(self, accelerator, layers, seed, exact=True):
        self.acc, self.layers, self.exact = accelerator, layers, exact
        self.rng = np.random.default_rng(seed)
        self.banks = banks(accelerator)
        self.layout = stripe(Geometry(accelerator))
        self.maps = self.rng.integers(0, 256, (2, WORDS * 8)).astype(np.uint8)
        self.residual = self.rng.integers(0, 256, WORDS * 8).astype(np.uint8)
        self.wanted = self.maps.copy()
        self.offers = []  # (earliest cycle, entry, bytes) in order
        self.taken = 0
        self.cycle = 0
        self.free = 0  # cycle in which the lanes are free
        self.last_offer = -1

    # ---- what the stripes say

    def stream(self):
        for layer in self.layers:
            for item in layer:
                bits = sum(
                    (int(item.fields.get(name, 0)) & (1 << place.width) - 1) << place.offset
                    for name, place in self.layout
                )
                yield from (bits >> 64 * n & 2**64 - 1 for n in range(words(self.layout)))
                for group in item.parameters:
                    for bias, multiplier, shift in group:
                        assert PARAMETER.size == 54
                        yield bias & 2**32 - 1 | multiplier << 32 | shift << 48

    def finished_row(self, item, p, s):
        """Bytes of row s of pixel p."""
        f = item.fields
        columns = f["columns_tail"] if s == f["a"] - 1 else f["columns"]
        out = bytearray()
        for k in range(columns):
            bias, multiplier, shift = item.parameters[s][k]
            total = item.psums[p][s][k] + bias
            if f["wide"]:
                out += total.to_bytes(4, "little", signed=True)
                continue
            y = clamp(rounded(total * multiplier, shift) + f["zero"], f["low"], f["high"])
            if f["residual"]:
                at = (f["from"] + p * f["from_pitch"]) * 8 + f["from_channel"] + s * self.acc.columns + k
                other = int(self.residual[at].astype(np.int8))
                total = (y - f["own_zero"]) * f["own_multiplier"]
                total += (other - f["other_zero"]) * f["other_multiplier"]
                y = clamp(rounded(total, f["shift"]) + f["add_zero"], f["add_low"], f["add_high"])
            out.append(y & 255)
        return bytes(out)

    def entry(self, item, p, s, rows, step, length):
        """Fields of the entry of row s (of `rows`, `step` bytes apart) of pixel p."""
        f = item.fields
        byte = f["channel"] + s * step
        ends = p == f["pixels"] - 1 and s == rows - 1
        ended = p // f["width"] if f["width"] else 0
        word = (f["to"] + p * f["to_pitch"]) % f["ring"] + byte // 8
        return dict(
            map=f["map"],
            word=word,
            offset=byte % 8,
            bytes=length,
            address=(f["address"] + (p - ended) * f["stride"] + ended * f["line_step"] + byte) % 2**32,
            ring=f["ring"],
            ends_unit=int(ends),
            ends=int(ends and f["ends"] == 1),
        )

    def expect(self, cycle, entry, data):
        cycle = max(cycle, self.last_offer + 1)
        self.last_offer = cycle
        self.offers.append((cycle, entry, data))
        at = entry["word"] * 8 + entry["offset"]
        self.wanted[entry["map"], at : at + len(data)] = list(data)

    def expect_pixel(self, item, p, arrivals):
        """Rows of pixel p that came in the given cycles."""
        f = item.fields
        per_cycle = self.acc.requant_lanes
        if f["wide"]:
            per_cycle = wide_lanes(self.acc)
        data = [self.finished_row(item, p, s) for s in range(f["a"])]
        for s, cycle in enumerate(arrivals):
            columns = f["columns_tail"] if s == f["a"] - 1 else f["columns"]
            self.free = max(self.free, cycle) + -(-columns // per_cycle)
        readable = self.free + STAGES + f["residual"]
        due = arrivals[-1] + STAGES + f["store"]
        # The contract's exceptions: wide rows, and less than L lanes behind a stripe of larger a.
        if not f["wide"] and (self.acc.requant_lanes == self.acc.columns or not item.shrinks):
            assert readable <= due
        step = self.acc.columns * (4 if f["wide"] else 1)
        for s, row in enumerate(data):
            self.expect(max(due, readable), self.entry(item, p, s, f["a"], step, len(row)), row)

    def expect_pass(self, item, start):
        """Returns the last cycle of work."""
        f, lanes = item.fields, self.acc.requant_lanes
        cycle = start
        source = self.wanted[1 - f["map"]].view(np.int8)
        for p in range(f["pixels"]):
            oy, ox = divmod(p, f["width"])
            for g in range(f["groups"]):
                window = []
                for wy in range(f["window_y"]):
                    for wx in range(f["window_x"]):
                        cycle += 1
                        y, x = oy * f["stride_y"] + wy - f["pad_y"], ox * f["stride_x"] + wx - f["pad_x"]
                        if 0 <= y < f["lines"] and 0 <= x < f["line_pixels"]:
                            at = (f["from"] + (y * f["line_pixels"] + x) * f["from_pitch"]) * 8 + g * lanes
                            window.append([int(v) for v in source[at : at + lanes]])
                out = bytearray()
                for values in zip(*window, strict=True):
                    if f["pass"] == PASS_KINDS["average"]:
                        total = sum(v - f["own_zero"] for v in values)
                        y = rounded(total * f["own_multiplier"], f["shift"]) + f["zero"]
                    else:
                        y = max(values)
                    out.append(clamp(y, f["low"], f["high"]) & 255)
                length = f["columns_tail"] if g == f["groups"] - 1 else f["columns"]
                entry = self.entry(item, p, g, f["groups"], lanes, length)
                self.expect(cycle + PASS_STAGES, entry, bytes(out[:length]))
        return cycle

    # ---- the run

    def run(self):
        self.dut = dut = Storer(accelerator=self.acc)

        async def bench(ctx):
            self.ctx, self.pending, self.answers, self.loaded = ctx, list(self.stream()), {}, 0
            stripes = 0
            for layer in self.layers:
                start, ends = self.cycle, []
                for n, item in enumerate(layer):
                    if item.is_pass:
                        await self.run_pass(item)
                        continue
                    stripes += 1
                    # As the sequencer: parameters are there, and of two stripes before the rows have left.
                    while self.loaded < stripes or (n >= 2 and self.taken < ends[n - 2]):
                        await self.step()
                    start = await self.run_rows(item, max(start, self.cycle))
                    ends.append(len(self.offers))
                limit = self.cycle + 10 * (len(self.offers) - self.taken) + 100 + layer[-1].fields["store"]
                while self.taken < len(self.offers):
                    assert self.cycle < limit, "rows do not leave"
                    await self.step()
            for _ in range(8):
                await self.step()
            assert not self.pending
            assert (self.maps == self.wanted).all()

        run(dut, bench)

    async def run_rows(self, item, start):
        """Slots from `start` on; returns when the next stripe's first slot may start."""
        a = item.fields["a"]
        for p in range(item.fields["pixels"]):
            arrivals = [start + item.slot - a + s for s in range(a)]
            for s, cycle in enumerate(arrivals):
                while self.cycle < cycle:
                    await self.step()
                assert not self.ctx.get(self.dut.pass_waiting)
                if s == 0:
                    self.expect_pixel(item, p, arrivals)
                await self.step(item.psums[p][s])
            start += max(item.slot, item.fields["store"]) + item.gaps[p]
        return start

    async def run_pass(self, item):
        ctx, dut = self.ctx, self.dut
        limit = self.cycle + 1000
        while not ctx.get(dut.pass_waiting):
            assert self.cycle < limit
            await self.step()
        for _ in range(int(self.rng.integers(0, 3))):
            await self.step()
            assert ctx.get(dut.pass_waiting)
        ctx.set(dut.pass_start, 1)
        last = self.expect_pass(item, self.cycle)
        await self.step()
        ctx.set(dut.pass_start, 0)
        while self.cycle <= last:
            assert not ctx.get(dut.pass_waiting)
            await self.step(busy=1)

    async def step(self, row=None, busy=0):
        """One cycle."""
        ctx, dut, rng = self.ctx, self.dut, self.rng
        values = rng.integers(-(2**31), 2**31, self.acc.columns).tolist() if row is None else row
        ctx.set(dut.row_valid, row is not None)
        ctx.set(dut.row, pack(values, 32))
        word_valid = bool(self.pending) and rng.random() < 0.8
        ctx.set(dut.word_valid, word_valid)
        ctx.set(dut.word, self.pending[0] if word_valid else int(rng.integers(0, 2**62)))
        ready = self.exact or rng.random() < 0.4
        ctx.set(dut.out_ready, ready)
        for name in ("residual", "pass"):  # data stay for the one cycle in which they were promised
            garbage = int.from_bytes(rng.bytes(8 * self.banks), "little")
            ctx.set(getattr(dut, f"{name}_data"), self.answers.pop(name, garbage))

        assert not ctx.get(dut.overflow)
        assert ctx.get(dut.pass_busy) == busy
        self.loaded += ctx.get(dut.unit_loaded)
        if word_valid and ctx.get(dut.word_ready):
            del self.pending[0]
        self.check_offer(ready)
        if ctx.get(dut.residual_read):
            self.answers["residual"] = self.words_at(self.residual, ctx.get(dut.residual_word))
        if ctx.get(dut.pass_read):
            self.answers["pass"] = self.words_at(self.maps[ctx.get(dut.pass_map)], ctx.get(dut.pass_word))
        enable = ctx.get(dut.write_enable)
        if enable:
            data, at = ctx.get(dut.write_data), ctx.get(dut.write_word) * 8
            for n in range(8 * self.banks):
                if enable >> n & 1:
                    self.maps[ctx.get(dut.write_map), at + n] = data >> 8 * n & 255
        await ctx.tick()
        self.cycle += 1

    def check_offer(self, ready):
        valid = self.ctx.get(self.dut.out_valid)
        if self.taken == len(self.offers):
            assert not valid, "a row that nobody expects"
            return
        cycle, entry, data = self.offers[self.taken]
        if self.exact:
            assert valid == (self.cycle >= cycle), (self.cycle, cycle)
            assert not valid or self.cycle == cycle
        assert not valid or self.cycle >= cycle
        if valid:
            found = {name: self.ctx.get(getattr(self.dut, f"out_{name}")) for name in entry}
            assert found == entry, (found, entry)
            at = entry["word"] * 8 + entry["offset"]
            assert bytes(self.maps[entry["map"], at : at + len(data)]) == data
            self.taken += ready

    def words_at(self, memory, word):
        return int.from_bytes(bytes(memory[word * 8 : (word + self.banks) * 8]), "little")
