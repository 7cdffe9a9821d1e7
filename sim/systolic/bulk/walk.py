"""The cycles of a layer: a recurrence over chunks (docs/timing.md sections 3, 4 and 7), compiled.

Four loops, over parts, output groups, spatial tiles and channel groups. The times are max-plus linear: a loop that has
come back to a state that it was in before goes on in whole rounds.
"""

from __future__ import annotations

import numpy as np

from sim.shapes import WORD
from sim.systolic.bulk.chunks import FIRST, LAST, MIDDLE, chunks_of, even_load
from sim.systolic.bulk.compiled import step
from sim.systolic.bulk.factors import transfer
from sim.systolic.bulk.tiles import ceil_div, extents, row_beats, written_rows
from sim.systolic.bulk.visits import LONG_AGO, open_tile
from sim.systolic.results import CONTROL_CYCLES, STORER_STAGES, Handover

SPENT = ("compute", "dram", "dma", "rom", "weight", "psum", "store", "ifmap", "control", "drain")
_CAUSES = len(SPENT)
(_COMPUTE, _DRAM, _DMA, _ROM, _WEIGHT, _PSUM, _STORE, _IFMAP, _CONTROL, _DRAIN) = range(_CAUSES)
_TIMES = (
    "end",
    "written",
    "written_before",
    "free",
    "free_before",
    "last_token",
    "dram",
    "sent",
    "sent_before",
)
_VISIT = ("tile_there", "visit_end", "next_map")
CLOCK = np.dtype(
    [(name, np.int64) for name in (*_TIMES, *_VISIT, "last_write")]
    + [
        (name, np.int64)
        for name in (
            *("part", "i", "tile", "top", "pixels", "width", "is_fetched", "opens", "beats", "first"),
            *("write_from", "writes"),
        )
    ]
    + [("spent", np.int64, _CAUSES)]
)
"""Times, as in `closed_form.clock.Clock`, the place in the loops, and the stripe there."""
_STATE = 12
_SEEN = 64
"""States of a loop that are kept at a time."""
LEFT = len(Handover._fields)


@step
def walk(p, h, r, found, spent):
    """Walks a layer: cycles by cause into int64 [SPENT]; `found`, int64 [LEFT], becomes what it leaves.

    Returns:
        chunks of the layer.
    """
    chunks = chunks_of(p, h, r)
    clocks = np.zeros(1, CLOCK)
    c = clocks[0]
    c.end = c.sent = c.sent_before = CONTROL_CYCLES
    c.spent[_CONTROL] = CONTROL_CYCLES
    c.written, c.written_before, c.free, c.free_before, c.dram = (
        found[0],
        found[1],
        found[2],
        found[3],
        found[4],
    )
    c.tile_there = c.visit_end = c.next_map = LONG_AGO
    seen = np.empty((4, _SEEN, _STATE + 3 + _CAUSES), np.int64)
    _over_parts(p, h, r, chunks, c, seen)
    ready = c.written + 1
    found[0], found[1] = c.written - c.end, c.written_before - c.end
    found[2], found[3] = max(c.free, ready) - c.end, max(c.free_before, ready) - c.end
    found[4] = max(c.dram, c.written_before + 1) - c.end
    spent[:] = clocks[0].spent  # a record alone does not keep its array
    return chunks


# ---- repetition


@step
def _state(p, h, c, visits, row):
    """Of the times, what matters later, as offsets to the end."""
    end, lowest = c.end, c.written_before + 1
    if visits and h.source == 2:
        lowest = min(lowest, c.tile_there)
    row[0], row[1], row[2] = c.written - end, c.written_before - end, c.free - end
    row[3], row[4], row[5] = c.free_before - end, c.last_token - end, c.last_write
    row[6] = max(c.dram, lowest) - end
    row[7], row[8] = max(c.sent - end, 0), max(c.sent_before - end, 0)
    row[9] = row[10] = row[11] = 0
    if visits:
        row[9], row[10] = c.tile_there - end, c.visit_end - end
        row[11] = max(c.next_map, c.tile_there) - end


@step
def _skip(c, times, before, visits):
    """Goes on by `times` rounds as long as the last one, which began with `before`."""
    cycles = times * (c.end - before[_STATE + 1])
    c.end += cycles
    c.written += cycles
    c.written_before += cycles
    c.free += cycles
    c.free_before += cycles
    c.last_token += cycles
    c.sent += cycles
    c.sent_before += cycles
    if c.dram != before[_STATE + 2]:
        c.dram += cycles
    if visits:
        c.tile_there += cycles
        c.visit_end += cycles
        c.next_map += cycles
    for cause in range(_CAUSES):
        c.spent[cause] += times * (c.spent[cause] - before[_STATE + 3 + cause])


@step
def _alike(one, other):
    for n in range(_STATE):  # noqa: SIM110
        if one[n] != other[n]:
            return False
    return True


def _loop(body, level):
    """A loop over `body`, whose steps first..stop-1 are alike, those `period` apart of one kind."""

    @step
    def loop(p, h, r, chunks, c, seen, count, first, stop, period, visits):
        stop = max(first, stop)
        n = kept = 0
        while n < count:
            if n < first or n + period >= stop:  # too few to skip any
                body(p, h, r, chunks, c, seen, n)
                n += 1
                continue
            if kept == _SEEN:
                kept = 0
            row = seen[level, kept]
            _state(p, h, c, visits, row)
            row[_STATE], row[_STATE + 1], row[_STATE + 2] = n, c.end, c.dram
            row[_STATE + 3 :] = c.spent
            again = -1
            for m in range(kept):
                if _alike(seen[level, m], row):
                    again = m
            if again >= 0:
                round_ = n - seen[level, again, _STATE]
                times = (stop - n) // round_
                _skip(c, times, seen[level, again], visits)
                n += times * round_
                kept = 0
                continue
            kept += 1
            for _ in range(period):
                body(p, h, r, chunks, c, seen, n)
                n += 1

    return loop


@step
def _period(size):
    """After how many steps of a size places in a word repeat."""
    a, b = WORD, size
    while b:
        a, b = b, a % b
    return WORD // a


# ---- loops, from the innermost one


@step
def _channel_step(p, h, r, chunks, c, seen, j):
    """All chunks of step j over channel groups; the ifmap tile comes for the first of them."""
    of = chunks[int(c.part == p.parts - 1), int(c.i == r.trips_i - 1)]
    kind = FIRST if j == 0 else LAST if j == r.trips_j - 1 else MIDDLE
    ends = c.i == r.trips_i - 1 and c.tile == r.tiles - 1
    final = c.part == p.parts - 1 and ends
    last_part = int(c.part == p.parts - 1 or (ends and c.part == p.parts - 2))
    for k in range(r.trips_k):
        opens = k == 0 and (h.split or (c.opens and j == 0))
        fetch_row = read = 0
        over = False
        if k + 1 < r.trips_k:
            fetch_row, read = of[kind, k + 1].fetch_row, of[kind, k + 1].read
        elif j + 1 < r.trips_j:
            after = of[LAST if j + 1 == r.trips_j - 1 else MIDDLE, 0]
            fetch_row, read = after.fetch_row, after.read
        elif final:
            over = True
        else:
            fetch_row = chunks[last_part, int(r.trips_i == 1), FIRST, 0].fetch_row
        _chunk(p, h, r, c, of[kind, k], j, opens, fetch_row, read, over, c.first and j == 0 and k == 0)


_over_channels = _loop(_channel_step, 3)


@step
def _stripe(p, h, r, chunks, c, seen):
    """One output group on one tile."""
    lines, columns, _, _, _ = extents(p, h, r, c.tile)
    c.pixels, c.width = lines * columns, columns
    c.write_from, c.writes = written_rows(p, h, r, c.tile)
    c.is_fetched = r.fetched and (c.tile == 0 or not r.keeps)
    c.opens = c.i == 0 or r.again
    c.beats = row_beats(p, c.part, c.i, h.A)[1]
    c.first = c.part == 0 and c.i == 0 and c.tile == 0
    period = _period(r.tile_channels) if h.split else 1
    _over_channels(p, h, r, chunks, c, seen, r.trips_j, 1, r.trips_j - 2, period, bool(h.split))


@step
def _stripe_of_i(p, h, r, chunks, c, seen, i):
    c.i = i
    _stripe(p, h, r, chunks, c, seen)


_outputs_inside = _loop(_stripe_of_i, 2)


@step
def _outputs_of_tile(p, h, r, chunks, c, seen, row):
    c.tile = c.top + row
    _outputs_inside(
        p, h, r, chunks, c, seen, r.trips_i, 1, r.trips_i - 2, _period(h.A * p.columns), bool(r.again)
    )


@step
def _stripe_of_tile(p, h, r, chunks, c, seen, row):
    c.tile = c.top + row
    _stripe(p, h, r, chunks, c, seen)


_rows_outside, _rows_inside = _loop(_outputs_of_tile, 1), _loop(_stripe_of_tile, 2)


@step
def _alike_rows(p, h, r):
    """First and behind the last of the tiles of a strip that are full and read no padding."""
    height = h.rows * p.stride_y
    first = min(max(1, ceil_div(p.padding_y, height)), r.row_tiles)
    last = (p.size_y - (height - p.stride_y + p.reach_y) + p.padding_y) // height
    return first, min(last, r.row_tiles - 2)


@step
def _tiles_of_i(p, h, r, chunks, c, seen, i):
    c.i = i
    first, stop = _alike_rows(p, h, r)
    for strip in range(r.strips):
        c.top = strip * r.row_tiles
        _rows_inside(p, h, r, chunks, c, seen, r.row_tiles, first, stop, r.period, True)


_outputs_outside = _loop(_tiles_of_i, 1)


@step
def _part(p, h, r, chunks, c, seen, part):
    """All output groups and tiles of a part."""
    c.part = part
    if h.outer:
        period = _period(h.A * p.columns)
        _outputs_outside(p, h, r, chunks, c, seen, r.trips_i, 1, r.trips_i - 2, period, bool(r.again))
        return
    first, stop = _alike_rows(p, h, r)
    for strip in range(r.strips):
        c.top = strip * r.row_tiles
        _rows_outside(p, h, r, chunks, c, seen, r.row_tiles, first, stop, r.period, True)


_parts = _loop(_part, 0)


@step
def _over_parts(p, h, r, chunks, c, seen):
    period = max(_period(p.channels), _period(p.outputs))
    _parts(p, h, r, chunks, c, seen, p.parts, 1, p.parts - 2, period, True)


# ---- one chunk


@step
def _wait(c, begin, until, cause):
    """The later of two times; what lies between is spent on a cause."""
    if until <= begin:
        return begin
    c.spent[cause] += until - begin
    return until


@step
def _chunk(p, h, r, c, of, j, opens, next_fetch, next_read, over, first):
    pixels = c.pixels
    there = LONG_AGO
    codebook = p.codewords * p.codeword_length * 8 if first and p.books and not p.universal else 0
    if c.is_fetched:
        beats = of.beats + ceil_div(codebook, p.port)
        c.dram = max(c.dram, c.written_before + 1) + transfer(p, beats * p.port // 8, 0)
        there = c.dram + p.dram_latency
    map_there = open_tile(p, h, r, c, j, first) if opens else LONG_AGO
    ready = c.written
    if codebook:
        ready = max(ready + 1, there) + even_load(p, p.codewords, 8 * p.codeword_length)
    c.written_before = c.written
    bank = c.free_before if h.overlap else max(c.free, c.free_before)
    c.written = max(ready + 1, bank, there) + of.load

    full = c.written + 1
    begin = _wait(c, c.end, min(full, there), _DRAM)
    begin = _wait(c, begin, full - of.lookups, _WEIGHT)
    begin = _wait(c, begin, full, _ROM)
    if of.read > 0 and pixels - 1 < p.tile_stages + of.read:
        begin = _wait(c, begin, c.last_token + p.tile_stages + c.last_write + of.read, _PSUM)
    if of.last:
        begin = _wait(c, begin, c.sent if r.ofmap_buffers == 1 else c.sent_before, _STORE)
    if opens:
        begin = _wait(c, begin, map_there, _DRAM)
        begin = _wait(c, begin, c.tile_there, _DMA)
        begin = _wait(c, begin, max(c.tile_there, CONTROL_CYCLES) + of.fetch_row, _IFMAP)
    _slots(p, h, c, of, begin, next_fetch, next_read, over)


@step
def _slots(p, h, c, of, begin, next_fetch, next_read, over):
    """The slots of a chunk, and what comes behind them."""
    rows, pixels = c.pixels // c.width, c.pixels
    psums = _psums(p, of.write, of.read)
    inside = _slot(c, of, of.fetch_in, psums, pixels - rows)
    wrap = _slot(c, of, of.fetch_row, psums, rows - 1)
    time = (pixels - rows) * inside + (rows - 1) * wrap
    c.last_token = begin + time + of.tokens - 1
    c.free_before, c.free = c.free, c.last_token + p.release
    if not h.overlap:
        c.free_before = c.free
    c.last_write = of.write
    if of.last:
        _send(p, c, of, begin, inside, wrap)
    if over:
        c.spent[_COMPUTE] += of.tokens
        c.end = c.sent + p.dma_start
        c.spent[_DRAIN] += c.end - c.last_token - 1
        return
    if next_read > 0 and pixels - 1 < p.tile_stages + next_read:
        next_read = 0
    c.end = begin + time + _slot(c, of, next_fetch, _psums(p, of.write, next_read), 1)


@step
def _psums(p, write, read):
    return max(write, read) if p.psum_ports == 2 else write + read


@step
def _slot(c, of, ahead, psums, count):
    """Length of a slot; `count` of them are spent."""
    longest = max(ahead, psums, of.store)
    stall = max(0, longest - of.tokens)
    cause = _PSUM if psums == longest else _STORE if of.store == longest else _IFMAP
    c.spent[_COMPUTE] += count * of.tokens
    c.spent[cause] += count * stall
    return of.tokens + stall


@step
def _send(p, c, of, begin, inside, wrap):
    """When the DMA has taken the last finished row: behind the group before, or behind a pixel at a corner."""
    width, beats = c.width, c.beats
    done = of.tokens - 1 + p.tile_stages + STORER_STAGES + of.store
    latest = c.sent + c.writes * width * beats
    for n in (0, c.writes - 1):
        row = c.write_from + n * p.write_step
        for column in (0, width - 1):
            start = begin + (row * width + column) * inside + row * (wrap - inside)
            latest = max(latest, start + done + ((c.writes - n) * width - column) * beats)
    c.sent_before, c.sent = c.sent, latest
