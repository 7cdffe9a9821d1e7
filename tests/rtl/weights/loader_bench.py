"""Jobs for the loader, its surroundings, and docs/timing.md section 3 as recurrences."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.geometry import Geometry
from rtl.weights.loader import Loader
from sim.formats import encoding
from sim.network import CodebookWeight, Conv, DenseWeight
from sim.shapes import ConvShape
from sim.systolic.program import lower
from sim.systolic.schedule import Schedule
from tests.rtl.simulate import fields, int8, pack, run
from tests.sim.systolic.cases import CODED, random_narrow

RAW = ("dense", "split", "block")


@dataclass
class Row:
    """A row of a job: its bits, look-up cycles, place and weights by column (those that count); none of a row of
    scales, which is not written."""

    width: int
    cycles: int = 1
    entry: int = 0
    h: int = 0
    weights: list[int] = field(default_factory=list)


@dataclass
class Job:
    packet: dict[str, int]
    beats: np.ndarray
    rows: list[Row]

    @property
    def codebook(self) -> bool:
        return self.packet["codebook"] == 1

    @property
    def serial(self) -> bool:
        return self.packet["serial"] == 1


# ---- layers and their jobs


def _weight(acc, rng, form, shape, rom, assignments):
    if form in RAW:
        return DenseWeight(int8(rng, *shape).astype(np.int8))
    if form not in CODED:
        return random_narrow(rng, acc, form, shape)
    d = acc.codeword_length
    units = (shape[0] // d, *shape[1:])
    if form == "rom":
        if assignments is None:
            assignments = rng.integers(0, len(rom), units)
        return CodebookWeight(rom, assignments.astype(np.uint16))
    k = int(rng.integers(2, acc.codebook_entries + 1))
    codebook = int8(rng, k, d).astype(np.int8)
    extra = {}
    if form == "mvq":
        legal = len(encoding.mask_table(acc.keep, acc.group))
        codes = rng.integers(0, legal, (*units, d // acc.group)).astype(np.uint16)
        extra = dict(mask_codes=codes, keep=acc.keep, group=acc.group)
    if form == "ssvq":
        codebook = np.maximum(codebook, -127).__abs__()
        extra = dict(signs=rng.integers(0, 2**d, units).astype(np.uint16))
    return CodebookWeight(codebook, rng.integers(0, k, units).astype(np.uint16), **extra)


def layer_jobs(acc, rng, form, outputs, channels, factors, overlap, groups=1, rom=None, assignments=None):
    """The jobs of one layer with a 1x2 kernel."""
    weight = _weight(acc, rng, form, (outputs, channels // groups, 1, 2), rom, assignments)
    layer = Conv("layer", "input", weight, np.zeros(outputs, np.int32), groups=groups)
    shape = ConvShape("layer", channels, outputs, (1, 2), size=(1, 3), groups=groups)
    k = len(weight.codebook) if hasattr(weight, "codebook") else 0
    program = lower(layer, Schedule(acc, shape, form, k, *factors, overlap, 1))
    # Fields that do not concern a job hold anything.
    common = {
        "address": int(rng.integers(2**32)),
        "wait": int(rng.integers(2)),
        "codebook": 0,
        "raw": int(form in RAW),
        "diagonal": int(form == "block"),
        "serial": int(not overlap),
        "block_inputs": channels // groups if form == "block" else int(rng.integers(acc.rows + 1)),
        "block_outputs": outputs // groups if form == "block" else int(rng.integers(acc.columns + 1)),
        "index_bits": acc.weights.index_bits(k)
        or encoding.index_bits(int(rng.integers(2, acc.codebook_entries + 1))),
        "entries": 1,
    }
    jobs = []
    if len(program.codebook):
        other = dict.fromkeys(("a", "b", "u", "d", "rows", "rows_tail", "row_bits", "row_bits_tail"), 1)
        jobs.append(
            Job(
                common | other | {"codebook": 1, "entries": k, "beats": len(program.codebook)},
                program.codebook,
                [Row(8 * acc.codeword_length)] * k,
            )
        )
    decoded = weight.decode().reshape(outputs, channels // groups, 2)
    for chunk in program.chunks:
        packet = {
            name: int(chunk[name.upper() if len(name) == 1 else name])
            for name in ("a", "b", "u", "d", "rows", "rows_tail", "row_bits", "row_bits_tail", "beats")
        }
        rows = list(
            _diagonal_rows(acc, chunk, decoded, groups)
            if form == "block"
            else _rows(acc, chunk, decoded, weight, form)
        )
        jobs.append(Job(common | packet, program.beats[chunk["beat"] : chunk["beat"] + chunk["beats"]], rows))
    return jobs


def _rows(acc, chunk, weights, weight, form):
    entry = 0
    for q in range(chunk["D"]):
        position = chunk["position"] + q
        for r in range(chunk["B"]):
            low = chunk["channel"] + r * acc.rows
            used = min(acc.rows, weights.shape[1] - low)
            for u in range(chunk["U"]):
                for s in range(chunk["A"]):
                    first = chunk["output"] + s * acc.columns
                    tile = weights[first : first + acc.columns, low : low + used, position].copy()
                    if chunk["U"] > 1:
                        lane = np.arange(len(tile)) % acc.codeword_length
                        tile[lane // acc.multipliers_per_codeword != u] = 0
                    width = int(chunk["row_bits_tail" if s == chunk["A"] - 1 else "row_bits"])
                    for h in range(used):
                        cycles = 1
                        if h % acc.weights.scale_span(acc) == 0 and form not in RAW:
                            for _ in range(acc.weights.scale_rows(acc)):
                                yield Row(width)
                        if form == "rom":
                            d = acc.codeword_length
                            read = weight.assignments.reshape(-1, weights.shape[1], 2)[
                                first // d : (first + acc.columns) // d, low + h, position
                            ]
                            fullest = np.bincount(read % acc.rom_banks).max()
                            cycles = int(-(-fullest // acc.rom_ports))
                        yield Row(width, cycles, entry, h, tile[:, h].tolist())
                    entry += 1


def _diagonal_rows(acc, chunk, weights, groups):
    outputs, inputs = len(weights) // groups, weights.shape[1]
    for q in range(chunk["D"]):
        for h in range(chunk["rows"]):
            group, member = divmod(int(chunk["channel"]) + h, inputs)
            row = np.zeros(acc.columns, int)
            first = group * outputs - chunk["output"]
            row[first : first + outputs] = weights[
                group * outputs : (group + 1) * outputs, member, chunk["position"] + q
            ]
            yield Row(8 * outputs, 1, q, h, row.tolist())


def network(acc, forms, rng, rom):
    """Jobs of a few random layers of these forms."""
    jobs = []
    for _ in range(4):
        form = str(rng.choice(forms))
        overlap = bool(rng.random() < 0.6)
        if form == "block":
            groups = int(rng.integers(2, 7))
            factors = (1, 1, int(rng.integers(1, 3)))
            jobs += layer_jobs(acc, rng, form, groups, groups, factors, overlap, groups)
            continue
        unit = 1 if form in RAW else acc.codeword_length
        outputs = unit * int(rng.integers(1, 2 * acc.columns // unit + 1))
        channels = int(rng.integers(1, 2 * acc.rows))
        factors = (
            (int(rng.integers(1, 3)), 1, 1)
            if form == "split"
            else tuple(int(n) for n in rng.integers(1, 3, 3))
        )
        jobs += layer_jobs(acc, rng, form, outputs, channels, factors, overlap, rom=rom)
    return jobs


# ---- section 3


@dataclass
class Events:
    """What the equations say: cycles of events, and the rows that are written."""

    starts: list[int]
    arrivals: list[int]
    job_written: set[int]
    full: list[tuple[int, int, int]]  # bank, first and last cycle
    again: set[int]
    idle_from: list[int]
    rows: list[tuple[int, int, int, list[int]]]  # cycle, address, array row, weights

    @property
    def end(self) -> int:
        return max(self.job_written) + 1


def events_of(acc, jobs, late, delays, holds):
    """`late`: cycles from the first in which job_valid could follow the job before, until it does;
    `delays`: from full to take; `holds`: from take to retirement."""
    events = Events([], [], set(), [], set(), [], [])
    free, before, turn, arrival = [0, 0], -1, 0, 0
    take = retire = -1
    for n, job in enumerate(jobs):
        bank = 0 if job.serial else turn
        claimed = [] if job.codebook else [0, 1] if job.serial else [turn]
        arrival += late[n]
        start = max([before + 1, arrival, *(free[b] for b in claimed)])
        events.starts.append(start)
        events.arrivals.append(arrival)
        x, bits = -1, 0
        stages = 1 if acc.format in ("dense", "rom") else 2  # with a decoder behind the look-up, or not
        for row in job.rows:
            bits += row.width
            visible = start + -(-bits // acc.weight_port_bits)
            x = max(x + 1, visible) + row.cycles - 1
            events.again |= set(range(x - row.cycles + 1, x))
            if row.weights:
                address = bank * (acc.wrf_depth // 2) + row.entry
                events.rows.append((x + stages, address, row.h, row.weights))
        before = x + stages
        events.job_written.add(before)
        arrival = start + 1
        if not job.codebook:
            take = max(take, before) + 1 + delays[n]
            retire = max(retire + 1, take + holds[n])
            events.full.append((bank, before + 1, take))
            for b in claimed:
                free[b] = retire + 1
            turn = 0 if job.serial else 1 - bank
    return events


# ---- the loader in its surroundings


def drive(acc, jobs, events, delays, holds, stalled=lambda: False, rom=None):
    """Inputs and outputs of the loader, by port for each cycle.

    `events` tell when jobs arrive; without them they are always there. `stalled` says whether the
    port has no beat.
    """
    layout = packets.job(Geometry(acc))
    dut = Loader(accelerator=acc, rom=rom)
    beats = np.concatenate([job.beats for job in jobs])
    total = sum(bool(row.weights) for job in jobs for row in job.rows)
    weight_jobs = [n for n, job in enumerate(jobs) if not job.codebook]
    banks, turn = {}, 0
    for n in weight_jobs:
        banks[n] = 0 if jobs[n].serial else turn
        turn = 0 if jobs[n].serial else 1 - banks[n]
    inputs, outputs = [], []

    async def bench(ctx):
        taken, retired = 0, 0
        take_at, retire_at = None, []
        sent = accepted = written = cycle = 0
        limit = events.end + 2 if events else 40 * total + 2000
        while cycle < limit and (events or written < total):
            shown = accepted < len(jobs) and (not events or cycle >= events.arrivals[accepted])
            ctx.set(dut.job_valid, shown)
            ctx.set(dut.job, _pack(jobs[accepted].packet, layout) if shown else 0)
            ctx.set(dut.weight_data, pack(beats[min(sent, len(beats) - 1)], 64))
            ctx.set(dut.weight_valid, sent < len(beats) and not stalled())
            full = ctx.get(dut.full)
            if take_at is None and taken < len(weight_jobs) and full >> banks[weight_jobs[taken]] & 1:
                take_at = cycle + delays[weight_jobs[taken]]
            takes = take_at == cycle
            ctx.set(dut.take, takes)
            if takes:
                n = weight_jobs[taken]
                ctx.set(dut.take_bank, banks[n])
                ctx.set(dut.take_serial, jobs[n].serial)
                retire_at.append(max([cycle + holds[n], *(c + 1 for c in retire_at[-1:])]))
                taken, take_at = taken + 1, None
            retires = retired < len(retire_at) and retire_at[retired] == cycle
            ctx.set(dut.retire, retires)
            if retires:
                n = weight_jobs[retired]
                ctx.set(dut.retire_bank, banks[n])
                ctx.set(dut.retire_serial, jobs[n].serial)
                retired += 1
            accepted += shown and ctx.get(dut.job_ready)
            sent += ctx.get(dut.beat_accepted)
            written += ctx.get(dut.row_written)
            for flow, values in ((In, inputs), (Out, outputs)):
                values.append(
                    {
                        name: ctx.get(getattr(dut, name))
                        for name, member in dut.signature.members.items()
                        if member.flow == flow
                    }
                )
            await ctx.tick()
            cycle += 1
        assert sent == len(beats)

    run(dut, bench)
    return inputs, outputs


def _pack(packet, layout):
    assert {name for name, _ in layout} == set(packet)
    word = 0
    for name, place in layout:
        assert packet[name] < 1 << place.width, name
        word |= packet[name] << place.offset
    return word


def check_rows(acc, events, outputs):
    """The rows that are written, and no others."""
    geometry = Geometry(acc)
    assert all(shown["row_written"] or shown["write_enable"] == 0 for shown in outputs)
    found = [shown for shown in outputs if shown["row_written"]]
    lanes = [h for _, _, h, _ in events.rows]
    for n, (shown, (_, at, h, weights)) in enumerate(zip(found, events.rows, strict=True)):
        used = next((m for m in range(n + 1, len(lanes)) if lanes[m] == 0), len(lanes)) - n
        assert shown["write_enable"] == (1 << h if h else 1 | (1 << acc.rows) - (1 << used))
        assert shown["write_address"] == at
        assert _columns(geometry, shown["write_data"])[: len(weights)] == weights


def _columns(geometry, data):
    """Weights by column of a WRF row."""
    acc = geometry.accelerator
    if not acc.sparse_tile:
        return fields(data, 8, acc.columns, True)
    columns = [0] * acc.columns
    for n, word in enumerate(fields(data, geometry.word_bits, geometry.words)):
        lane = n // acc.multipliers_per_codeword * acc.codeword_length + (word >> 8)
        columns[lane] += (word & 0xFF) - 256 * (word >> 7 & 1)
    return columns


def check(acc, events, inputs, outputs):
    """Every event in its cycle, and the rows."""

    def cycles(port):
        return [cycle for cycle, shown in enumerate(outputs) if shown[port]]

    starts = [cycle for cycle in cycles("job_ready") if inputs[cycle]["job_valid"]]
    assert starts == events.starts
    assert set(starts) <= set(cycles("idle")) & set(cycles("beat_accepted"))
    assert cycles("row_written") == [cycle for cycle, *_ in events.rows]
    assert set(cycles("job_written")) == events.job_written
    assert set(cycles("again")) == events.again
    busy = {
        cycle
        for start, end in zip(events.starts, sorted(events.job_written), strict=True)
        for cycle in range(start + 1, end + 1)
    }
    assert set(cycles("idle")) == set(range(len(outputs))) - busy
    for cycle, shown in enumerate(outputs):
        full = {1 << bank for bank, first, last in events.full if first <= cycle <= last}
        assert shown["full"] == sum(full)
    check_rows(acc, events, outputs)
