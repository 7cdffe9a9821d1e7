"""The loader against docs/timing.md section 3, written out here as recurrences."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.geometry import Geometry
from rtl.loader import Loader
from rtl.verify import stimulus
from sim.accelerator import preset
from sim.network import CodebookWeight, Conv, DenseWeight
from sim.program import lower
from sim.schedule import Schedule
from sim.shapes import ConvShape
from tests.rtl.simulate import fields, int8, pack, run

HOLD = 9  # cycles from a full bank to its retirement


def _layer(name, outputs, channels, factors, overlap, form):
    acc = preset(name)
    rng = np.random.default_rng(outputs)
    shape = (outputs, channels, 1, 2)
    if form in ("dense", "split"):
        weight = DenseWeight(int8(rng, *shape).astype(np.int8))
    else:
        d = acc.codeword_length
        assignments = rng.integers(0, 5, (outputs // d, *shape[1:])).astype(np.uint16)
        codes = rng.integers(0, acc.group, (*assignments.shape, 1)).astype(np.uint16)
        masked = dict(mask_codes=codes, keep=acc.keep, group=acc.group) if form == "mvq" else {}
        weight = CodebookWeight(int8(rng, 5, d).astype(np.int8), assignments, **masked)
    layer = Conv("layer", "input", weight, np.zeros(outputs, np.int32))
    schedule = Schedule(acc, ConvShape("layer", channels, outputs, (1, 2), size=(1, 3)), form,
                        5 if form in ("vq", "mvq") else 0, *factors, overlap, 1)
    return lower(layer, schedule), weight.decode().reshape(outputs, channels, 2)


def _expected_rows(program, weights):
    """(job, address within the bank, array row, weights of the valid columns), in stream order."""
    acc = program.schedule.accelerator
    for job, chunk in enumerate(program.chunks):
        e = 0
        for q in range(chunk["d"]):
            for r in range(chunk["b"]):
                low = chunk["channel"] + r * acc.rows
                used = min(acc.rows, weights.shape[1] - low)
                for u in range(chunk["u"]):
                    for s in range(chunk["a"]):
                        first = chunk["output"] + s * acc.columns
                        tile = weights[first : first + acc.columns, low : low + used,
                                       chunk["position"] + q].copy()
                        if chunk["u"] > 1:
                            lane = np.arange(len(tile)) % acc.codeword_length
                            tile[lane // acc.multipliers_per_codeword != u] = 0
                        for h in range(used):
                            yield job, e, h, tile[:, h]
                        e += 1


def _timing(program, rows_of_job, widths, frees):
    """Write cycle of every row of a job list: section 3, equation by equation."""
    port = program.schedule.accelerator.weight_port_bits
    start, cycles = 0, []
    for job, count in enumerate(rows_of_job):
        ls = max(start, frees(job, cycles))
        x, bits, written = -1, 0, []
        for row in range(count):
            bits += widths[job][row]
            x = max(x + 1, ls + (bits - 1) // port + 1)
            written.append(x + 1)
        cycles.append(written)
        start = written[-1] + 1
    return cycles


CASES = [
    ("ews-4", 9, 6, (2, 2, 2), True, "dense"),
    ("ews-4", 9, 6, (3, 1, 2), False, "dense"),
    ("ws-4", 6, 9, (1, 1, 1), True, "dense"),
    ("ews-cms-4", 9, 6, (1, 1, 2), True, "split"),
    ("ews-cms-4", 12, 6, (2, 2, 2), True, "mvq"),
    ("ews-cms-8", 24, 20, (2, 1, 1), False, "mvq"),
    ("ews-c-4", 12, 6, (2, 1, 2), True, "vq"),
    # Wide rows after narrow ones: the buffer must have kept the beats of the narrow ones.
    ("ews-16", 33, 16, (3, 1, 2), True, "dense"),
    ("ews-cms-16", 33, 40, (2, 1, 2), False, "split"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[-1]}-{case[3]}")
def test_rows_and_their_cycles(case):
    program, weights = _layer(*case)
    expected = list(_expected_rows(program, weights))
    cycles = _expected_cycles(program, expected)
    found = _run(program, len(cycles), cycles[-1] + 3, lambda: True)
    assert [cycle for cycle, *_ in found] == cycles
    _check_rows(program, expected, found)


@pytest.mark.parametrize("case", [CASES[0], CASES[4]], ids=lambda case: case[0])
def test_a_starved_port_delays_but_loses_nothing(case):
    program, weights = _layer(*case)
    expected = list(_expected_rows(program, weights))
    rng = np.random.default_rng(0)
    limit = 10 * _expected_cycles(program, expected)[-1]
    found = _run(program, len(expected), limit, lambda: rng.random() < 0.3)
    _check_rows(program, expected, found)


def _expected_cycles(program, expected):
    """The cycle in which each row of the chunks is written."""
    acc, chunks = program.schedule.accelerator, program.chunks
    coded = len(program.codebook) > 0
    widths = [[acc.codeword_length * 8] * program.schedule.codewords] if coded else []
    for job, chunk in enumerate(chunks):
        tails = [e % chunk["a"] == chunk["a"] - 1 for n, e, _, _ in expected if n == job]
        widths.append([int(chunk["row_bits_tail" if tail else "row_bits"]) for tail in tails])
    banks = 2 if program.schedule.overlap else 1

    def free(job, cycles):
        return 0 if job - coded < banks else cycles[job - banks][-1] + 1 + HOLD + 1

    cycles = _timing(program, [len(w) for w in widths], widths, free)
    return [cycle for job in cycles[coded:] for cycle in job]


def _run(program, count, limit, valid):
    """(cycle, enable, address, data) of every row written, until `count` or the limit.

    A full bank is taken at once and retired HOLD cycles later. `valid` says whether the port has
    a beat.
    """
    acc, chunks = program.schedule.accelerator, program.chunks
    layout = Geometry(acc).loader_chunk
    dut = Loader(accelerator=acc)
    beats = np.concatenate([program.codebook, *(program.beats[c["beat"] : c["beat"] + c["beats"]]
                                                for c in chunks)])
    found = []

    async def bench(ctx):
        for name, value in stimulus.layer_values(program).items():
            ctx.set(getattr(dut, name), value)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        sent, retire_at = 0, {}
        for cycle in range(limit):
            job = min(ctx.get(dut.chunk_index), len(chunks) - 1)
            ctx.set(dut.chunk, stimulus.pack_chunk(chunks[job], layout))
            ctx.set(dut.weight_data, pack(beats[min(sent, len(beats) - 1)], 64))
            ctx.set(dut.weight_valid, valid())
            full = ctx.get(dut.full)
            ctx.set(dut.take, full != 0)
            ctx.set(dut.take_bank, full >> 1)
            if full:
                retire_at[cycle + HOLD] = full >> 1
            ctx.set(dut.retire, cycle in retire_at)
            ctx.set(dut.retire_bank, retire_at.get(cycle, 0))
            sent += ctx.get(dut.beat_accepted)
            if ctx.get(dut.row_written):
                found.append((cycle, ctx.get(dut.write_enable), ctx.get(dut.write_address),
                              ctx.get(dut.write_data)))
            await ctx.tick()
            if len(found) == count:
                break
        assert sent == len(beats)

    run(dut, bench)
    return found


def _check_rows(program, expected, found):
    acc = program.schedule.accelerator
    geometry, banks = Geometry(acc), 2 if program.schedule.overlap else 1
    for (_, enable, address, data), (job, e, h, values) in zip(found, expected, strict=True):
        assert enable == 1 << h
        assert address == job % banks * (acc.wrf_depth // 2) + e
        assert _columns(geometry, data)[: len(values)] == values.tolist()


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
