"""What the closed form walks over: demands of chunks (docs/timing.md sections 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from math import ceil

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
    """The chunks of each kind of output group: of the last part or not, the last of its part or not.

    Equal output groups, and equal steps over channel groups in them, are the same object.
    """
    trips_i, _, trips_k = schedule.trips
    fresh = [
        (schedule.new_vectors(k * schedule.D, True), schedule.new_vectors(k * schedule.D, False))
        for k in range(trips_k)
    ]
    known: dict[tuple[int, tuple[int, ...]], list[tuple[Chunk, ...]]] = {}
    groups = {}
    for last_part, last_i in product({schedule.parts == 1, True}, {trips_i == 1, True}):
        channels, outputs = schedule.part_of(schedule.parts - 1 if last_part else 0)
        first = schedule.A * (trips_i - 1 if last_i else 0)
        stop = min(first + schedule.A, -(-outputs // schedule.accelerator.columns))
        columns = tuple(schedule.columns_of(g, outputs) for g in range(first, stop))
        if (channels, columns) not in known:
            known[channels, columns] = _output_group(schedule, channels, columns, fresh)
        groups[last_part, last_i] = known[channels, columns]
    return groups


def _output_group(
    schedule: Schedule, channels: int, columns: tuple[int, ...], fresh: list[tuple[int, int]]
) -> list[tuple[Chunk, ...]]:
    """The chunks of an output group by j and k.

    Args:
        channels: of the part.
        columns: of each group of the step over output groups.
        fresh: vectors fetched at a row's start and inside, for each k.
    """
    trips_j = schedule.trips[1]
    differing = {
        j: _step(schedule, channels, columns, fresh, j) for j in {0, min(1, trips_j - 1), trips_j - 1}
    }
    return [differing[j if j in (0, trips_j - 1) else 1] for j in range(trips_j)]


def _step(
    schedule: Schedule, channels: int, columns: tuple[int, ...], fresh: list[tuple[int, int]], j: int
) -> tuple[Chunk, ...]:
    """The chunks of step j over channel groups."""
    acc, (_, trips_j, trips_k) = schedule.accelerator, schedule.trips
    A, B = len(columns), min(schedule.B, -(-channels // acc.rows) - j * schedule.B)
    rows = [schedule.rows_of(j * schedule.B + r, channels) for r in range(B)]
    tail = schedule.positions - (trips_k - 1) * schedule.D
    jobs = {D: _job(schedule, columns, rows, D) for D in {tail, min(schedule.D, schedule.positions)}}
    vectors, psum = schedule.fetch_cycles(j * schedule.B, B, channels), schedule.psum_cycles(A)
    chunks = []
    for k, (at_start, inside) in enumerate(fresh):
        D = min(schedule.D, schedule.positions - k * schedule.D)
        first, last = j == k == 0, (j + 1, k + 1) == (trips_j, trips_k)
        load, lookups, beats = jobs[D]
        chunks.append(
            Chunk(
                tokens=A * B * D * schedule.split,
                load=load,
                lookups=lookups,
                beats=beats,
                fetch_row=vectors * at_start,
                fetch_in=vectors * inside,
                read=0 if first else psum,
                write=0 if last else psum,
                store=schedule.store_cycles(A) if last else 0,
                last=last,
            )
        )
    return tuple(chunks)


def _job(schedule: Schedule, columns: tuple[int, ...], rows: list[int], D: int) -> tuple[int, int, int]:
    """Cycles of a weight job, of them those of further ROM look-ups, and its beats."""
    acc = schedule.accelerator
    widths = [schedule.row_bits(count) for count in columns]
    sent = [schedule.stream.rows_sent(acc, n) for n in rows]
    if len(set(widths)) == 1:
        runs = [(D * schedule.split * len(columns) * sum(sent), widths[0])]
    else:
        runs = [(n, w) for _ in range(D) for n in sent for _ in range(schedule.split) for w in widths]
    load, lookups = load_cycles(runs, schedule), 0
    if schedule.stream.universal:
        each = (
            expected_lookups(-(-count // acc.codeword_length), acc.rom_banks, acc.rom_ports)
            for count in columns
        )
        busy = ceil(sum(each) * D * sum(rows)) + acc.loader_stages - 1
        lookups = max(0, busy - load)
    return load + lookups, lookups, -(-sum(n * w for n, w in runs) // acc.weight_port_bits)
