"""What the closed form walks over: demands of chunks and of ifmap tiles (docs/timing.md 2, 3 and 7)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import product
from math import ceil

from sim.shapes import WORD, words
from sim.systolic.closed_form.accesses import WeightBytes
from sim.systolic.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Chunk:
    """The demands of one chunk, whatever its place."""

    tokens: int
    load: int  # cycles from the first accepted beat to the last written row
    lookups: int  # of these, what more than one ROM look-up a row adds (expected)
    beats: int
    fetch_row: int
    fetch_in: int
    read: int
    write: int
    store: int
    last: bool


@dataclass(frozen=True)
class Visit:
    """An ifmap tile to bring in: cycles of its DMA descriptors, and bytes from DRAM."""

    dma: int
    dram_bytes: int


Groups = dict[tuple[bool, bool], list[tuple[Chunk, ...]]]


def weight_bytes(schedule: Schedule, groups: Groups) -> WeightBytes:
    """Of a layer, the codebook included, in whole beats."""
    parts, trips_i = schedule.parts, schedule.trips[0]
    stored = 0
    for (last_part, last_i), group in groups.items():
        times = (1 if last_part else parts - 1) * (1 if last_i else trips_i - 1)
        stored += times * sum(chunk.beats for chunks in group for chunk in chunks)
    width, codebook = schedule.accelerator.weight_port_bits // 8, codebook_beats(schedule)
    fetched = stored if schedule.tiling.keeps_weights else schedule.tiles * stored
    from_dram = not schedule.shape.dynamic or schedule.spills
    return WeightBytes((codebook + schedule.tiles * stored) * width, (codebook + fetched) * width * from_dram)


def codebook_beats(schedule: Schedule) -> int:
    """Beats of the codebook job, 0 without one."""
    if not schedule.loads_codebook:
        return 0
    bits = schedule.codewords * schedule.accelerator.codeword_length * 8
    return -(-bits // schedule.accelerator.weight_port_bits)


def load_cycles(runs: list[tuple[int, int]], schedule: Schedule) -> int:
    """Cycles from the first beat to the last written row of (rows, bits a row) runs.

    x(last) = max over rows i of beat(i) + 1 + rows after i, which is greatest at the end of a
    run of rows wider than a beat, at the first row, or at the last.
    """
    port = schedule.accelerator.weight_port_bits
    total = sum(rows for rows, _ in runs)
    latest = -(-runs[0][1] // port) + total - 1
    seen = bits = 0
    for rows, width in runs:
        seen, bits = seen + rows, bits + rows * width
        latest = max(latest, -(-bits // port) + total - seen)
    return latest - 1 + schedule.accelerator.loader_stages


@cache
def expected_lookups(codewords: int, banks: int, ports: int) -> float:
    """Expected cycles in which `banks` serve the codewords of a row, drawn evenly.

    E[ceil(max / ports)] for balls in bins; P(max <= m) by the m-bounded exponential generating
    function, expanded to the power `banks`.
    """
    expected, bound = 0.0, 0
    while True:
        # Coefficients of (1 + x + x^2/2! .. x^bound/bound!)^banks, up to x^codewords.
        term = [1.0]
        for n in range(1, bound + 1):
            term.append(term[-1] / n)
        power = [1.0] + [0.0] * codewords
        for _ in range(banks):
            power = [
                sum(power[n - m] * term[m] for m in range(min(n, bound) + 1)) for n in range(codewords + 1)
            ]
        ways = power[codewords]
        for n in range(1, codewords + 1):
            ways *= n / banks
        expected += 1.0 - ways
        bound += ports
        if bound >= codewords:
            return expected


def output_groups(schedule: Schedule) -> Groups:
    """The chunks of each kind of output group: of the last part or not, the last of its part or not."""
    # They are the same for all tiles and loop orders, of which a search tries many.
    same = replace(
        schedule,
        overlap=False,
        tile_rows=1,
        outputs_outer=False,
        split_channels=True,
        source="dram" if schedule.spills else "l2",
    )
    kinds = product({schedule.parts == 1, True}, {schedule.trips[0] == 1, True})
    return {kind: _output_group(same, *kind) for kind in kinds}


def forget() -> None:
    """Empties the memory of chunks; for benchmarks."""
    _output_group.cache_clear()


@lru_cache(maxsize=4096)
def _output_group(schedule: Schedule, last_part: bool, last_i: bool) -> list[tuple[Chunk, ...]]:
    """The chunks of an output group by j and k; equal steps of j share one tuple."""
    trips_i, trips_j, trips_k = schedule.trips
    channels, outputs = schedule.part_of(schedule.parts - 1 if last_part else 0)
    i = trips_i - 1 if last_i else 0
    a = min(schedule.a, -(-outputs // schedule.accelerator.columns) - i * schedule.a)
    differing = {
        j: tuple(_chunk(schedule, channels, outputs, a, i, j, k) for k in range(trips_k))
        for j in {0, min(1, trips_j - 1), trips_j - 1}
    }
    return [differing[j if j in (0, trips_j - 1) else 1] for j in range(trips_j)]


def _chunk(schedule: Schedule, channels: int, outputs: int, a: int, i: int, j: int, k: int) -> Chunk:
    acc = schedule.accelerator
    b = min(schedule.b, -(-channels // acc.rows) - j * schedule.b)
    d = min(schedule.d, schedule.positions - k * schedule.d)
    widths = [schedule.row_bits(schedule.columns_of(i * schedule.a + s, outputs)) for s in range(a)]
    rows = [schedule.rows_of(j * schedule.b + r, channels) for r in range(b)]
    if len(set(widths)) == 1:
        runs = [(d * schedule.split * a * sum(rows), widths[0])]
    else:
        runs = [(n, w) for _ in range(d) for n in rows for _ in range(schedule.split) for w in widths]
    vectors = schedule.fetch_cycles(j * schedule.b, b, channels)
    first, last = j == k == 0, (j + 1, k + 1) == schedule.trips[1:]
    psum = schedule.psum_cycles(a)
    load, lookups = load_cycles(runs, schedule), 0
    if schedule.stream.universal:
        each = (
            expected_lookups(
                -(-schedule.columns_of(g, outputs) // acc.codeword_length), acc.rom_banks, acc.rom_ports
            )
            for g in range(i * schedule.a, i * schedule.a + a)
        )
        busy = ceil(sum(each) * d * sum(rows)) + acc.loader_stages - 1
        lookups = max(0, busy - load)
    return Chunk(
        tokens=a * b * d * schedule.split,
        load=load + lookups,
        lookups=lookups,
        beats=-(-sum(n * w for n, w in runs) // acc.weight_port_bits),
        fetch_row=vectors * schedule.new_vectors(k * schedule.d, True),
        fetch_in=vectors * schedule.new_vectors(k * schedule.d, False),
        read=0 if first else psum,
        write=0 if last else psum,
        store=schedule.store_cycles(a) if last else 0,
        last=last,
    )


def visit(schedule: Schedule, part: int, i: int, tile: int, j: int) -> Visit:
    """The ifmap tile of one step j, brought in for output group i where it comes again for each."""
    acc, layer = schedule.accelerator, schedule.shape
    channels, outputs = schedule.part_of(part)
    low = j * schedule.tiling.tile_channels if schedule.split_channels else 0
    line = (
        WORD
        * layer.size[1]
        * words(part * schedule.channels + low, min(schedule.tiling.tile_channels, channels - low))
    )
    residual = 0
    if layer.residual and (j == schedule.trips[1] - 1 or not schedule.split_channels):
        low = i * schedule.tiling.tile_outputs if schedule.ifmap_passes > 1 else 0
        residual = (
            WORD
            * schedule.tile_lines(tile)
            * layer.out_w
            * words(part * schedule.outputs + low, min(schedule.tiling.tile_outputs, outputs - low))
        )
    lines = schedule.tile_ifmap_lines(tile)
    dma = 0
    for size in (lines * line * (schedule.source != "l1"), residual):
        if size:
            beats = -(-size * 8 // acc.dma_bits)
            dma += acc.dma_setup + acc.l2_latency + beats + (-(-beats // 16) - 1) * acc.dma_burst_gap
    from_dram = lines * (layer.line_bytes or line) + residual
    return Visit(dma, from_dram if schedule.source == "dram" else 0)
