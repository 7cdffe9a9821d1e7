"""Vectors for the storer: streams of stripes, their psum rows and passes, cycle by cycle."""

from __future__ import annotations

from collections import defaultdict, deque
from functools import partial

import numpy as np

from evidence.mutation.storer_layers import Row, Stripe, layer, stream
from evidence.mutation.storing import PassTotals, requantized, signed, sum_near, summed
from evidence.mutation.stripes import PassVector
from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, int8, number, pack
from rtl.storer.storer import Storer
from rtl.storer.stripe_buffer import SLOTS
from sim.accelerator import Accelerator, load

_KINDS = ("rows", "residual", "average", "wide", "max")
_LAYERS = 40


class _Time:
    """The cycle at hand, and what is known of inputs and outputs in later ones, by cycle."""

    def __init__(self) -> None:
        self.cycle = 0
        self.inputs: dict[int, dict[str, int]] = defaultdict(dict)
        self.outputs: dict[int, dict[str, int | tuple[int, int]]] = defaultdict(dict)

    def write(self, after: int, group: int, row: Row, offset: int, data: int, length: int) -> None:
        """`length` bytes of a row, from byte `offset` of it on, are written `after` cycles from now."""
        byte = row.byte + offset
        low = byte & 4
        self.outputs[self.cycle + after].update(
            write_map=group,
            write_word=(row.word + byte // 8) % (1 << 16),
            write_enable=(1 << length) - 1 << low,
            write_data=(data << 8 * low, (1 << 8 * length) - 1 << 8 * low),
        )


class _Stripes:
    """Packets and parameters: the stream, and the stripes that are complete.

    Attributes:
        kept: complete stripes with rows that have not left; `running`: which of them is at work.
        complete, done: stripes that ever were complete; that have run.
        loaded: a stripe of rows became complete in the cycle before.
    """

    def __init__(self, acc: Accelerator, order: list[Stripe], rng: np.random.Generator) -> None:
        self.pending = deque((stripe, *stream(acc, stripe, rng)) for stripe in order)
        self.kept: list[Stripe] = []
        self.running = self.loaded = self.complete = self.done = self.departed = 0
        self.taken = False

    @property
    def current(self) -> Stripe | None:
        return self.kept[self.running] if self.running < len(self.kept) else None

    def offer(self, rng: np.random.Generator, eager: float) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and outputs of the stream."""
        self.taken = False
        if not self.pending:
            return {}, {}
        _, words, parameters = self.pending[0]
        in_packet = len(words) > parameters
        ready = len(self.kept) < SLOTS if in_packet else len(self.kept) - self.running <= 1
        valid = chance(rng, eager)
        self.taken = bool(valid and ready)
        return {"word_valid": valid, "word": words[0] if valid else number(rng, 64)}, {"word_ready": ready}

    def clock(self, done: bool, left: bool) -> Stripe | None:
        """`done`: the stripe at work has run; `left`: rows of the oldest one. Returns one that got complete."""
        self.loaded = 0
        self.departed += left
        del self.kept[:left]
        self.running += done - left
        self.done += done
        if not self.taken:
            return None
        stripe, words, parameters = self.pending[0]
        words.pop(0)
        if words:
            return None
        self.pending.popleft()
        self.kept.append(stripe)
        self.complete += 1
        self.loaded = int(parameters > 0)
        return stripe


class _Rows:
    """Psum rows from their slots to the lanes, part by part.

    Attributes:
        stripe: whose slots run; `coming`: its rows, by the cycle in which they come.
        arrived: rows that have come, their psums and when; `column`: of the first one, the next to enter.
        free_from: cycle from which the slots of another stripe may run.
    """

    def __init__(self, acc: Accelerator, rng: np.random.Generator, time: _Time) -> None:
        self.acc, self.rng, self.time = acc, rng, time
        self.coming: deque[tuple[int, Row]] = deque()
        self.arrived: deque[tuple[Row, list[int], int]] = deque()
        self.column = self.free_from = 0

    def __bool__(self) -> bool:
        return bool(self.coming or self.arrived)

    def begin(self, stripe: Stripe) -> None:
        """Slot after slot, a pixel each."""
        self.stripe = stripe
        first = self.time.cycle + 1
        for row in stripe.rows:
            self.coming.append((first + row.s, row))
            if row.pixel_end:
                first += max(stripe.f["a"], stripe.f["store"]) + below(self.rng, 3)
        self.free_from = first

    def come(self) -> dict[str, int]:
        """Inputs of a row that comes in this cycle."""
        if not self.coming or self.coming[0][0] != self.time.cycle:
            return {}
        _, row = self.coming.popleft()
        psums = [
            signed(sum_near(self.rng, multiplier, shift) - bias, 32)
            for bias, multiplier, shift in self._parameters(self.stripe, row)
        ]
        self.arrived.append((row, psums, self.time.cycle))
        return {"row_valid": 1, "row": pack(psums, 32)}

    def _parameters(self, stripe: Stripe, row: Row) -> list[tuple[int, int, int]]:
        return stripe.parameters[row.s * self.acc.columns :][: self.acc.columns]

    def enter(self, current: Stripe) -> tuple[Row, int] | None:
        """A part enters the lanes. Returns the row and when it came if it was the last part."""
        f, (row, psums, arrival) = current.f, self.arrived[0]
        count = min(self.acc.wide_lanes if f["wide"] else self.acc.requant_lanes, row.columns - self.column)
        others = self._residual(f, row) if f["residual"] else []
        chosen = slice(self.column, self.column + count)
        data = []
        for psum, (bias, multiplier, shift) in zip(
            psums[chosen], self._parameters(current, row)[chosen], strict=True
        ):
            total = signed(psum + bias, 32)
            data.append(
                total if f["wide"] else requantized(total, multiplier, shift, f["zero"], f["low"], f["high"])
            )
        if f["residual"]:
            data = summed(f, data, others[:count])
        size = 4 if f["wide"] else 1
        offset, length = self.column * size, count * size
        self.time.write(3 + f["residual"], f["map"], row, offset, pack(data, 8 * size), length)
        self.column += count
        if self.column < row.columns:
            return None
        self.column = 0
        self.arrived.popleft()
        return row, arrival

    def _residual(self, f: dict[str, int], row: Row) -> list[int]:
        """The other operand is read in the next cycle and there in the one after; its value for each lane."""
        lanes, data_bits = self.acc.requant_lanes, 64 * self.acc.map_banks
        byte = f["from_channel"] + row.s * self.acc.columns + self.column
        word = (f["from"] + row.pixel * f["from_pitch"] + byte // 8) % (1 << 16)
        self.time.outputs[self.time.cycle + 1].update(residual_read=1, residual_word=word)
        content = number(self.rng, data_bits)
        self.time.inputs[self.time.cycle + 2]["residual_data"] = content
        return [signed(content >> (32 if byte & 4 else 0) + 8 * n, 8) for n in range(lanes)]


class _Pass:
    """A pass: vectors are read, and enter the lanes in the next cycle.

    Attributes:
        walk: vectors to be read; `entering`: the one that was.
        waiting: a pass is at hand and has not begun.
    """

    def __init__(self, acc: Accelerator, rng: np.random.Generator, time: _Time) -> None:
        self.acc, self.rng, self.time = acc, rng, time
        self.walk: deque[PassVector] = deque()
        self.entering: tuple[PassVector, list[int]] | None = None
        self.totals = PassTotals()
        self.begun = self.waiting = False

    def __bool__(self) -> bool:
        return bool(self.walk or self.entering)

    def enter(self, stripe: Stripe) -> Row | None:
        """A vector enters the lanes. Returns the row that its window gives if it was the last one of it."""
        assert self.entering is not None
        vector, values = self.entering
        self.entering = None
        self.totals.take(stripe.f, values, inside=vector.inside, first=vector.first)
        if not vector.last:
            return None
        row = stripe.rows[vector.row]
        results = self.totals.results(stripe.f)[: row.columns]
        self.time.write(3, stripe.f["map"], row, 0, pack(results, 8), row.columns)
        return row

    def read(self, stripe: Stripe) -> dict[str, int]:
        """Outputs of the read of a vector."""
        lanes, data_bits = self.acc.requant_lanes, 64 * self.acc.map_banks
        vector = self.walk.popleft()
        values = int8(self.rng, lanes).tolist()
        self.entering = vector, values
        if not vector.inside:
            return {}
        low = 32 * vector.half
        around = number(self.rng, data_bits) & ~((1 << 8 * lanes) - 1 << low)
        data = (around | pack(values, 8) << low) & (1 << data_bits) - 1
        self.time.inputs[self.time.cycle + 1]["pass_data"] = data
        return {"pass_read": 1, "pass_map": 1 - stripe.f["map"], "pass_word": vector.word}

    def clock(self, current: Stripe | None, starts: Stripe | None, done: bool) -> None:
        if starts is not None:
            self.walk = deque(starts.vectors)
        self.waiting = bool(current is not None and current.vectors and not self.begun and not starts)
        self.begun = (self.begun or starts is not None) and not done


class _Leaving:
    """Finished rows, handed over when all of a pixel is written and its store cycles are over.

    Attributes:
        handed: cycle from which they wait, cycle in which they are due, how many.
        waiting: rows to leave, the first ones of `entries`.
    """

    def __init__(self) -> None:
        self.entries: deque[dict[str, int]] = deque()
        self.handed: deque[tuple[int, int, int]] = deque()
        self.waiting = 0

    def __bool__(self) -> bool:
        return bool(self.waiting or self.handed)

    def clock(self, cycle: int, ready: int) -> bool:
        """Returns whether the last row of a stripe has left."""
        stripe_left = False
        if self.waiting and ready:
            self.waiting -= 1
            stripe_left = bool(self.entries.popleft()["out_ends_unit"])
        if self.handed and max(self.handed[0][:2]) <= cycle:
            self.waiting += self.handed.popleft()[2]
        return stripe_left


class _Storer:
    """All of it.

    Attributes:
        started: stripes whose slots or pass have begun.
        quiet: cycles for which nothing has been on its way.
    """

    def __init__(self, acc: Accelerator, layers: list[list[Stripe]], rng: np.random.Generator) -> None:
        self.acc, self.rng = acc, rng
        self.order = [stripe for stripes in layers for stripe in stripes]
        self.layer_of = [n for n, stripes in enumerate(layers) for _ in stripes]
        self.time, self.leaving = _Time(), _Leaving()
        self.stripes = _Stripes(acc, self.order, rng)
        self.rows, self.passes = _Rows(acc, rng, self.time), _Pass(acc, rng, self.time)
        self.started = self.quiet = 0

    @property
    def over(self) -> bool:
        return self.stripes.done == len(self.order) and self.quiet > 6

    def _begin(self, eager: float) -> Stripe | None:
        """Starts the next stripe when what is before it allows; returns it if it is a pass."""
        n = self.started
        if self.rows or self.passes or n == len(self.order):
            return None
        if n and self.layer_of[n] != self.layer_of[n - 1] and self.quiet <= 6:
            return None
        stripe = self.order[n]
        if stripe.vectors:
            starts = self.passes.waiting and chance(self.rng, eager)
            self.started += bool(starts)
            return stripe if starts else None
        # Rows of one stripe before it may wait.
        gone = n - self.stripes.departed if self.stripes.kept else 0
        free = self.time.cycle >= self.rows.free_from
        if self.stripes.complete > n and gone <= 1 and free and chance(self.rng, eager):
            self.rows.begin(stripe)
            self.started += 1
        return None

    def cycle(self, eager: float) -> tuple[dict[str, int], dict[str, int | tuple[int, int]]]:
        """Inputs and outputs of a cycle; then the clock ticks."""
        rng, time, stripes, leaving = self.rng, self.time, self.stripes, self.leaving
        expected: dict[str, int | tuple[int, int]] = {
            "overflow": 0,
            "write_enable": 0,
            "residual_read": 0,
            "unit_loaded": stripes.loaded,
            "out_valid": leaving.waiting > 0,
            "pass_waiting": self.passes.waiting,
            "pass_busy": len(self.passes.walk) > 0,
            "pass_read": 0,
            **time.outputs.pop(time.cycle, {}),
        }
        data_bits = 64 * self.acc.map_banks
        widths = {"residual_data": data_bits, "pass_data": data_bits, "row": 32 * self.acc.columns}
        inputs = {name: number(rng, width) for name, width in widths.items()}
        inputs |= time.inputs.pop(time.cycle, {})
        offered, ready = stripes.offer(rng, eager)
        current = stripes.current
        starts = self._begin(eager)
        inputs |= offered | self.rows.come()
        expected |= ready
        done, reads = self._work(current)
        expected |= reads
        if starts:
            inputs["pass_start"] = 1
        if leaving.waiting:
            expected.update(leaving.entries[0])
        inputs["out_ready"] = chance(rng, eager)
        self._clock(current, starts, done, inputs["out_ready"])
        return inputs, expected

    def _work(self, current: Stripe | None) -> tuple[bool, dict[str, int]]:
        """Of rows and passes: whether the stripe at work is done, and outputs."""
        now, handed = self.time.cycle, self.leaving.handed
        row, reads = None, {}
        if self.rows.arrived:
            assert current is not None
            whole = self.rows.enter(current)
            if whole:
                row, arrival = whole
                if row.pixel_end:
                    due = arrival + current.f["store"] + 2
                    handed.append((now + 3 + current.f["residual"], due, current.f["a"]))
        if self.passes.entering:
            assert current is not None
            row = self.passes.enter(current)
            if row:
                handed.append((now + 3, now, 1))
        if self.passes.walk:
            assert current is not None
            reads = self.passes.read(current)
        return current is not None and row is current.rows[-1], reads

    def _clock(self, current: Stripe | None, starts: Stripe | None, done: bool, ready: int) -> None:
        self.passes.clock(current, starts, done)
        left = self.leaving.clock(self.time.cycle, ready)
        complete = self.stripes.clock(done, left)
        if complete:
            self.leaving.entries.extend(row.entry for row in complete.rows)
        busy = self.rows or self.passes or self.leaving or self.time.outputs
        self.quiet = 0 if busy else self.quiet + 1
        self.time.cycle += 1


def _storer(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    layers = [layer(acc, rng, _KINDS[n % len(_KINDS)]) for n in range(_LAYERS)]
    model = _Storer(acc, layers, rng)
    eager = 0.9
    while not model.over:
        if model.time.cycle % 200 == 0:
            eager = (0.95, 0.5, 0.25)[below(rng, 3)]
        yield model.cycle(eager)


_HALF = load("ews-8", {"requant_lanes": 4})
SUITES = (VectorSuite("storer", partial(Storer, accelerator=_HALF), partial(_storer, _HALF), view=None),)
