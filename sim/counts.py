"""The closed form of the machine: cycles and accesses from a Schedule, without running it.

Formulas over slot classes and a recurrence over chunks; never a loop over cycles or pixels. Written from
docs/timing.md, sharing nothing with the engine but the Schedule; tests hold the two equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from sim.accelerator import Accelerator
from sim.results import CAUSES, CONTROL_CYCLES, STORER_STAGES, LayerCounts
from sim.schedule import Schedule
from sim.shapes import ConvShape, PassShape

_CAUSES = ("compute", "weight", "psum", "store", "ifmap", "drain")
_COMPUTE, _WEIGHT, _PSUM, _STORE, _IFMAP, _DRAIN = range(6)


@dataclass(frozen=True)
class _Chunk:
    """The demands of one chunk, whatever its place."""

    tokens: int
    load: int  # cycles from the first accepted beat to the last written row
    beats: int
    fetch_row: int
    fetch_in: int
    read: int
    write: int
    store: int
    a: int


def core_counts(schedule: Schedule) -> dict[str, int]:
    """Every counter of the core (docs/timing.md sections 5, 6 and 8), by the engine's names."""
    layer, acc = schedule.shape, schedule.accelerator
    pixels = layer.out_h * layer.out_w
    trips_i, trips_j, trips_k = schedule.trips
    chunks_per_output = trips_j * trips_k
    taps = schedule.positions * schedule.split
    columns = [schedule.columns_of(g) for g in range(schedule.output_groups)]
    d, q = acc.codeword_length, acc.multipliers_per_codeword
    coded = schedule.format in ("vq", "mvq")
    # Multipliers that a row of `c` columns uses, and weights it stores: whole records but for dense.
    used = sum(-(-c // d) * q if acc.sparse_tile else c for c in columns)
    kept = used if not coded or acc.sparse_tile else sum(-(-c // d) * d for c in columns)
    records = sum(-(-c // d) for c in columns)
    words = acc.psum_store_bits // 8
    reads, new = _ifmap_reads(schedule)
    cycles, beats = _cycles(schedule)
    counts = {
        "tokens": pixels * schedule.output_groups * schedule.channel_groups * taps,
        "vectors": pixels * trips_i * schedule.channel_groups * schedule.positions,
        "wrf_rows": schedule.tiles * layer.channels * taps * schedule.output_groups,
        "beats": beats,
        "psum_rows_read": pixels * schedule.output_groups * (chunks_per_output - 1),
        "psum_rows_written": pixels * schedule.output_groups * (chunks_per_output - 1),
        "finished_rows": pixels * schedule.output_groups,
        "mac": pixels * layer.channels * taps * used,
        "wrf_read": pixels * layer.channels * taps * used,
        "wrf_write": schedule.tiles * layer.channels * taps * kept,
        "arf_read": trips_i * layer.channels * reads,
        "arf_write": trips_i * layer.channels * new,
        "l1_ifmap_read": trips_i * layer.channels * new,
        "prf_read": pixels * schedule.channel_groups * taps * layer.outputs,
        "prf_write": pixels * schedule.channel_groups * taps * layer.outputs,
        "crf_read": schedule.tiles * layer.channels * schedule.positions * records * d * coded,
        "crf_write": schedule.codewords * d * coded,
        "l1_psum_read": pixels * layer.outputs * (chunks_per_output - 1) * words,
        "l1_psum_write": pixels * layer.outputs * (chunks_per_output - 1) * words,
    }
    return counts | cycles | {"core_cycles": sum(cycles.values())}


def layer_counts(schedule: Schedule, shape: ConvShape) -> LayerCounts:
    """Counts of a convolution.

    Args:
        schedule: how it runs (its shape may be folded).
        shape: the layer itself.
    """
    acc = schedule.accelerator
    core = core_counts(schedule)
    cycles = {cause: core.get(cause, 0) for cause in CAUSES}
    cycles["control"] = CONTROL_CYCLES
    last_a = schedule.output_groups - (schedule.trips[0] - 1) * schedule.a
    cycles["drain"] += STORER_STAGES + schedule.store_cycles(last_a)

    port = acc.weight_port_bits // 8
    streamed = core["beats"] * port
    codebook = _codebook_beats(schedule) * port
    weights = codebook + (streamed - codebook) // schedule.tiles
    ifmap = _tiled_ifmap_bytes(schedule)
    ofmap = shape.ofmap_bytes
    residual = ofmap if shape.residual else 0
    spilled = shape.ifmap_bytes + ofmap if shape.ifmap_bytes + ofmap > acc.l2_bytes else 0
    accesses = {
        "dram": weights + spilled,
        "l2": weights + streamed + ifmap + ofmap + residual + spilled,
        "l1": (ifmap + core["l1_ifmap_read"] + core["l1_psum_read"] + core["l1_psum_write"]
               + 2 * ofmap + 2 * residual),
        "arf": core["arf_read"] + core["arf_write"],
        "wrf": core["wrf_read"] + core["wrf_write"],
        "prf": core["prf_read"] + core["prf_write"],
        "crf": core["crf_read"] + core["crf_write"],
        "mac": core["mac"],
    }
    return LayerCounts(shape.name, shape.macs, cycles, accesses, schedule, core["core_cycles"])


def pass_counts(shape: PassShape, accelerator: Accelerator) -> LayerCounts:
    """Counts of a pass over feature maps on the storer lanes."""
    cycles = dict.fromkeys(CAUSES, 0)
    cycles["vector"] = -(-shape.elements // accelerator.requant_lanes)
    cycles["control"] = CONTROL_CYCLES
    cycles["drain"] = STORER_STAGES
    read, written = shape.elements * shape.operands, shape.results
    accesses = dict.fromkeys(("dram", "arf", "wrf", "prf", "crf", "mac"), 0)
    accesses |= {"l2": read + written, "l1": 2 * read + 2 * written}
    return LayerCounts(shape.name, 0, cycles, accesses)


def _tiled_ifmap_bytes(schedule: Schedule) -> int:
    """Ifmap bytes of all spatial tiles, halos included."""
    layer = schedule.shape
    stride, pad, height = layer.stride[0], layer.padding[0], layer.size[0]
    rows = 0
    for tile in range(schedule.tiles):
        first = tile * schedule.tile_rows
        last = min(first + schedule.tile_rows, layer.out_h) - 1
        low = max(first * stride - pad, 0)
        high = min(last * stride - pad + layer.kernel[0], height)
        rows += max(high - low, 0)
    return rows * layer.size[1] * layer.channels


def _inside(low: int, high: int, offset: int, stride: int, size: int) -> int:
    """How many o in low..high-1 have 0 <= o*stride + offset < size."""
    first = max(low, -(offset // stride))  # ceil(-offset / stride)
    last = min(high - 1, (size - 1 - offset) // stride)
    return max(0, last - first + 1)


def _ifmap_reads(schedule: Schedule) -> tuple[int, int]:
    """Unpadded (pixel, position) pairs: all of them, and those that a fetch must deliver."""
    layer = schedule.shape
    (_, kx), (sy, sx), (py, px) = layer.kernel, layer.stride, layer.padding
    reads = new = 0
    for position in range(schedule.positions):
        y, x = divmod(position, kx)
        in_rows = _inside(0, layer.out_h, y - py, sy, layer.size[0])
        first = _inside(0, 1, x - px, sx, layer.size[1])
        others = _inside(1, layer.out_w, x - px, sx, layer.size[1])
        reads += in_rows * (first + others)
        # The last resident position of this kernel row; closer than a stride to it is new.
        end = min((position // schedule.d + 1) * schedule.d, (y + 1) * kx, schedule.positions)
        fresh = not schedule.accelerator.arf_reuse or position + sx >= end
        new += in_rows * (first + others * fresh)
    return reads, new


def _codebook_beats(schedule: Schedule) -> int:
    bits = schedule.codewords * schedule.accelerator.codeword_length * 8
    return -(-bits // schedule.accelerator.weight_port_bits)


def _load_cycles(runs: list[tuple[int, int]], port: int) -> int:
    """Cycles from the first beat to the last written row of (rows, bits a row) runs.

    x(last) = max over rows i of beat(i) + 1 + rows after i, which is greatest at the end of a
    run of rows wider than a beat, at the first row, or at the last.
    """
    total = sum(rows for rows, _ in runs)
    latest = -(-runs[0][1] // port) + total - 1
    seen = bits = 0
    for rows, width in runs:
        seen, bits = seen + rows, bits + rows * width
        latest = max(latest, -(-bits // port) + total - seen)
    return latest + 1


def _chunk(schedule: Schedule, a: int, first_output: int, j: int, k: int) -> _Chunk:
    acc = schedule.accelerator
    b = min(schedule.b, schedule.channel_groups - j * schedule.b)
    d = min(schedule.d, schedule.positions - k * schedule.d)
    widths = [schedule.row_bits(schedule.columns_of(first_output + s)) for s in range(a)]
    rows = [schedule.rows_of(j * schedule.b + r) for r in range(b)]
    runs = [(n, w) for _ in range(d) for n in rows for _ in range(schedule.split) for w in widths]
    bits = sum(n * w for n, w in runs)
    vectors = sum(schedule.vector_cycles[j * schedule.b : j * schedule.b + b])
    first, last = j == k == 0, (j + 1, k + 1) == schedule.trips[1:]
    psum = schedule.psum_cycles(a)
    return _Chunk(
        tokens=a * b * d * schedule.split, load=_load_cycles(runs, acc.weight_port_bits),
        beats=-(-bits // acc.weight_port_bits),
        fetch_row=vectors * schedule.new_vectors(k * schedule.d, True),
        fetch_in=vectors * schedule.new_vectors(k * schedule.d, False),
        read=0 if first else psum, write=0 if last else psum,
        store=schedule.store_cycles(a) if last else 0, a=a,
    )


class _Clock:
    """Times of the recurrence (docs/timing.md sections 3 and 4) and the cycles spent so far."""

    def __init__(self, schedule: Schedule) -> None:
        acc = schedule.accelerator
        self.stages = acc.row_stages + acc.column_stages
        self.overlap = schedule.overlap
        self.end = 0  # first cycle after the last slot
        self.written = -1  # last row of the last job
        self.last_token = 0
        self.free = [0, 0]  # of the last chunk and of the one before it
        self.last_write = 0  # psum_write of the last chunk
        self.spent = [0] * len(_CAUSES)
        self.known: dict[tuple, tuple] = {}

    def once(self, key: tuple, body: Callable[[], None]) -> None:
        """Runs `body`, or advances by what it did when it last began in the same relative state.

        Only times that matter later count as state: the recurrence is max-plus linear, so equal
        offsets to `end` give equal steps.
        """
        ready = max(self.written + 1, self.free[1]) if self.overlap else self.written + 1
        key = (*key, ready - self.end, self.free[0] - self.end, self.last_token - self.end,
               self.last_write)
        if key in self.known:
            length, ready, free, last_token, self.last_write, spent = self.known[key]
            self.end += length
            self.written, self.free = self.end + ready - 1, [self.end + free, self.end + ready]
            self.last_token = self.end + last_token
            self.spent = [old + new for old, new in zip(self.spent, spent, strict=True)]
            return
        start, before = self.end, self.spent.copy()
        body()
        ready = max(self.written + 1, self.free[1]) if self.overlap else self.written + 1
        spent = [new - old for old, new in zip(before, self.spent, strict=True)]
        self.known[key] = (self.end - start, ready - self.end, self.free[0] - self.end,
                           self.last_token - self.end, self.last_write, spent)

    def run(
        self, chunk: _Chunk, pixels: int, width: int, following: _Chunk | None, earliest: int = 0
    ) -> None:
        """One chunk; `following` is the next one, None at the end of the layer."""
        bank_free = self.free[1] if self.overlap else self.free[0]
        self.written = max(self.written + 1, bank_free) + chunk.load
        begin = max(self.end, self.written + 1)
        self.spent[_WEIGHT] += begin - self.end
        if self._fenced(chunk, pixels):
            fence = self.last_token + self.stages + 1 + self.last_write + chunk.read
            self.spent[_PSUM] += max(0, fence - begin)
            begin = max(begin, fence)
        self.spent[_IFMAP] += max(0, earliest - begin)
        begin = max(begin, earliest)
        rows = pixels // width
        inner = chunk.write + chunk.read
        time = self._slots(chunk, pixels - rows, chunk.fetch_in, inner)
        time += self._slots(chunk, rows - 1, chunk.fetch_row, inner)
        self.last_token = begin + time + chunk.tokens - 1
        self.free = [self.last_token + self.stages, self.free[0]]
        self.last_write = chunk.write
        if following is None:
            self.spent[_COMPUTE] += chunk.tokens
            self.spent[_DRAIN] += self.stages + 1
        else:
            read = 0 if self._fenced(following, pixels) else following.read
            time += self._slots(chunk, 1, following.fetch_row, chunk.write + read)
        self.end = begin + time

    def _fenced(self, chunk: _Chunk, pixels: int) -> bool:
        return chunk.read > 0 and pixels - 1 < self.stages + 1 + chunk.read

    def _slots(self, chunk: _Chunk, count: int, ahead: int, psums: int) -> int:
        longest = max(ahead, psums, chunk.store)
        stall = max(0, longest - chunk.tokens)
        cause = _PSUM if psums == longest else _STORE if chunk.store == longest else _IFMAP
        self.spent[_COMPUTE] += count * chunk.tokens
        self.spent[cause] += count * stall
        return count * (chunk.tokens + stall)


def _cycles(schedule: Schedule) -> tuple[dict[str, int], int]:
    """Core cycles by cause, and accepted beats."""
    layer, port = schedule.shape, schedule.accelerator.weight_port_bits
    trips_i, trips_j, _ = schedule.trips
    clock = _Clock(schedule)
    beats = 0
    if schedule.format in ("vq", "mvq"):
        clock.written = _load_cycles(
            [(schedule.codewords, 8 * schedule.accelerator.codeword_length)], port)
        beats = _codebook_beats(schedule)
    groups = {}  # output groups that differ: those that are full, and the last one
    for i in {0, trips_i - 1}:
        a = min(schedule.a, schedule.output_groups - i * schedule.a)
        groups[i] = _channel_loop(schedule, a, i * schedule.a)
    opening = groups[0][0][0]

    def kernel_loop(chunks: tuple[_Chunk, ...], pixels: int, after: _Chunk | None, opens: bool) -> None:
        for n, chunk in enumerate(chunks):
            following = chunks[n + 1] if n + 1 < len(chunks) else after
            clock.run(chunk, pixels, layer.out_w, following, chunk.fetch_row if opens and n == 0 else 0)

    def output_group(group: list[tuple[_Chunk, ...]], pixels: int, opens: bool, closes: bool) -> None:
        for j, chunks in enumerate(group):
            last_j = j == trips_j - 1
            after = group[j + 1][0] if not last_j else None if closes else opening
            if opens or after is None:
                kernel_loop(chunks, pixels, after, opens and j == 0)
            else:
                clock.once((pixels, id(chunks), id(after)),
                           partial(kernel_loop, chunks, pixels, after, False))

    for tile in range(schedule.tiles):
        pixels = min(schedule.tile_rows, layer.out_h - tile * schedule.tile_rows) * layer.out_w
        for i in range(trips_i):
            group = groups[trips_i - 1 if i == trips_i - 1 else 0]
            beats += sum(chunk.beats for chunks in group for chunk in chunks)
            opens = (tile, i) == (0, 0)
            closes = (tile, i) == (schedule.tiles - 1, trips_i - 1)
            if opens or closes:
                output_group(group, pixels, opens, closes)
            else:
                clock.once((pixels, id(group)), partial(output_group, group, pixels, False, False))
    return dict(zip(_CAUSES, clock.spent, strict=True)), beats


def _channel_loop(schedule: Schedule, a: int, first_output: int) -> list[tuple[_Chunk, ...]]:
    """The chunks of an output group by j and k; equal steps of j share one tuple."""
    trips_j, trips_k = schedule.trips[1:]
    differing = {j: tuple(_chunk(schedule, a, first_output, j, k) for k in range(trips_k))
                 for j in {0, min(1, trips_j - 1), trips_j - 1}}
    return [differing[j if j in (0, trips_j - 1) else 1] for j in range(trips_j)]
