"""What leaves one memory arrives in the next: every hop against a count that knows only the layer."""

from __future__ import annotations

from dataclasses import replace
from math import gcd

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.engine import memory, run_program
from sim.systolic.program import lower, token_ifmap
from tests.sim.systolic.cases import layer_cases

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


SCALED = {"int4": (4, 1), "int3": (3, 2), "int2": (2, 3), "mxfp4": (4, 1), "nvfp4": (4, 1), "mxint8": (8, 1)}
"""Formats with group scales: bits of an element, rows of scales (docs/timing.md section 3)."""


def weight_bits(case, outputs: int, channels: int = 0, positions: int = 0) -> int:
    """Bits of the weights of `outputs` output channels of one part, without codebook.

    Args:
        channels, positions: of the inputs and of the kernel that they read; by default all.
    """
    schedule, machine = case.schedule, case.schedule.accelerator
    layer = schedule.shape
    channels = channels or layer.channels // layer.groups
    positions = positions or layer.kernel[0] * layer.kernel[1]
    inputs = channels * positions
    d = machine.codeword_length
    if schedule.format == "block":
        return 8 * inputs * outputs
    whole, rest = divmod(outputs, machine.columns)
    padded = whole * machine.columns + -(-rest // d) * d
    if schedule.format == "dense":
        return 8 * inputs * outputs
    if schedule.format == "split":  # every sub-record of every codeword: d weights in all
        return 8 * inputs * padded
    if schedule.format in SCALED:  # no group of channels that share a scale crosses the height of the array
        bits, rows = SCALED[schedule.format]
        span = gcd(machine.rows, machine.scale_group)
        heights = [min(machine.rows, channels - c) for c in range(0, channels, machine.rows)]
        return bits * outputs * (inputs + rows * positions * sum(-(-height // span) for height in heights))
    if schedule.format == "ternary":  # five digits a byte
        return inputs * padded // d * (8 * (d // 5) + (0, 2, 4, 5, 7)[d % 5])
    if schedule.format == "aqlm":
        return inputs * padded // d * 2 * max(1, int(np.ceil(np.log2(schedule.codewords // 2))))
    index = max(1, int(np.ceil(np.log2(schedule.codewords))))
    extra = {"vq": 0, "rom": 0, "ssvq": d, "mvq": (d // machine.group) * machine.mask_code_bits}
    return inputs * padded // d * (index + extra[schedule.format])


def bytes_in_l2(case) -> int:
    """Of the weights that a spatial tile uses before the next one needs them again: chunks of whole beats."""
    schedule, layer = case.schedule, case.schedule.shape
    machine, port = schedule.accelerator, schedule.accelerator.weight_port_bits
    inputs, positions = layer.channels // layer.groups, layer.kernel[0] * layer.kernel[1]
    step, deep = schedule.A * machine.columns, schedule.B * machine.rows
    firsts = [0] if schedule.outputs_outer else range(0, schedule.outputs, step)
    chunks = [
        weight_bits(
            case, min(step, schedule.outputs - o), min(deep, inputs - c), min(schedule.D, positions - p)
        )
        for o in firsts
        for c in range(0, inputs, deep)
        for p in range(0, positions, schedule.D)
    ]
    return sum(-(-bits // port) for bits in chunks) * port // 8


def touched(places, size: int = 1) -> int:
    """Bytes of the 64-bit words of a pixel in which some channels lie, of `size` bytes each."""
    return 8 * len({byte // 8 for place in places for byte in range(place * size, (place + 1) * size)})


def runs(schedule, total: int, step: int, whole: bool) -> list[range]:
    """Channels that move together, of `total` in all: those of a part, or `step` of them at a time."""
    part = total // schedule.shape.groups * (schedule.packed if schedule.format == "block" else 1)
    step = part if whole else min(step, part)
    return [
        range(first + n, min(first + n + step, first + part, total))
        for first in range(0, total, part)
        for n in range(0, min(part, total - first), step)
    ]


def brought(layer, axis: int, step: int) -> int:
    """Rows (axis 0) or columns of an ifmap that lie from the first to the last one that a tile reads, for all tiles."""
    outputs, total = (layer.out_h, layer.out_w)[axis], 0
    for first in range(0, outputs, step):
        read = [
            o * layer.stride[axis] + k * layer.dilation[axis] - layer.padding[axis]
            for o in range(first, min(first + step, outputs))
            for k in range(layer.kernel[axis])
        ]
        total += sum(0 <= at < layer.size[axis] for at in range(min(read), max(read) + 1))
    return total


def pooled_rows(shape) -> tuple[list[int], list[int], list[int]]:
    """Output rows that are written, that meet what was kept of the rows before, and that something is kept of."""
    rows = list(range(shape.out_h))
    if shape.pool is None:
        return rows, [], []
    _, reach, stride, padding = shape.pool
    windows = [range(w * stride - padding, w * stride - padding + reach) for w in rows]
    written = [y for y in rows if any(y == window[-1] for window in windows)]
    met = [y for y in rows[1:] if any(y in window and y - 1 in window for window in windows)]
    return written, met, [y for y in rows if any(y in window and y + 1 in window for window in windows)]


def books(case, program) -> dict[str, int]:
    """Bytes of every hop."""
    schedule, machine, shape = case.schedule, case.schedule.accelerator, case.shape
    layer, port = schedule.shape, machine.weight_port_bits // 8
    codebook, stream = len(program.codebook) * port, len(program.beats) * port
    times = 1 if bytes_in_l2(case) <= machine.l2_bytes // 4 else schedule.tiles
    weights = codebook + times * stream
    if shape.dynamic and not schedule.spills:
        weights = 0
    groups = -(-schedule.outputs // machine.columns)
    comes_again = schedule.split_channels or (schedule.outputs_outer and schedule.tiles > 1)
    again = -(-groups // schedule.A) if comes_again else 1
    inward = runs(schedule, layer.channels, schedule.B * machine.rows, not schedule.split_channels)
    added = runs(schedule, shape.outputs, schedule.A * machine.columns, again == 1)
    outward = runs(schedule, shape.outputs, machine.columns, False)
    pixels, folded = shape.out_h * shape.out_w, shape.channels != layer.channels
    lines, columns = brought(layer, 0, schedule.tile_rows), layer.size[1]
    in_dram = shape.size[1]  # columns there, before folding
    if schedule.strip_columns not in (0, layer.out_w):
        columns, in_dram = (brought(seen, 1, schedule.strip_columns) for seen in (layer, shape))
    tile_bytes = lines * columns * sum(touched(run) for run in inward)
    from_l2 = tile_bytes
    if folded:  # whole kernels of the lines that lie on one another, zeros among them
        kernel_rows = (layer.kernel[0] - 1) * (shape.stride[0] // layer.stride[0]) + layer.unfolded.high
        whole = replace(shape, kernel=(kernel_rows, shape.kernel[1])) if layer.unfolded.high > 1 else shape
        from_l2 = brought(whole, 0, schedule.tile_rows) * in_dram * shape.channels
    residual = pixels * sum(touched(run) for run in added) * bool(shape.residual)
    size = 4 if shape.wide else 1
    a_row = shape.out_w * sum(touched(run, size) for run in outward)
    written, met, kept = pooled_rows(shape)
    pixels = len(written) * shape.out_w
    rows_out = len(written) * a_row
    return {
        "dram to l2, weights": weights,
        "dram to l2, maps": again * from_l2 + residual if schedule.source == "dram" else 0,
        "l2 to dram": pixels * touched(range(shape.outputs), size) if schedule.spills else 0,
        "l2 to loader": codebook + schedule.tiles * stream,
        "l2 to l1, ifmap": 0 if schedule.source == "l1" else again * tile_bytes,
        "l2 to l1, residual": residual,
        "l1 to l2": rows_out,
        "l1 to storer": rows_out if shape.residual else len(met) * a_row,
        "storer to line": len(kept) * a_row,
    }


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(sizes=(4, 8)))
def test_bytes_sent_are_bytes_received(case):
    program = lower(case.layer, case.schedule)
    run = run_program(program, token_ifmap(case.ifmap, case.layer, program, 0), found=case.found)
    counters, accesses = run.counters, memory.layer_counts(program, case.shape, run.counters).accesses
    hop = books(case, program)
    chunks, visits = program.chunks, program.visits

    assert chunks["dram_bytes"].sum() == hop["dram to l2, weights"]
    assert visits["dram_bytes"].sum() == hop["dram to l2, maps"]
    assert visits["ifmap_bytes"].sum() == hop["l2 to l1, ifmap"]
    assert visits["residual_bytes"].sum() == hop["l2 to l1, residual"]
    assert counters["beats"] * case.schedule.accelerator.weight_port_bits // 8 == hop["l2 to loader"]

    into_l2 = hop["dram to l2, weights"] + hop["dram to l2, maps"] + hop["l1 to l2"]
    out_of_l2 = sum(hop[name] for name in hop if name.startswith("l2 to "))
    assert accesses["l2"] == into_l2 + out_of_l2
    assert accesses["dram"] == hop["dram to l2, weights"] + hop["dram to l2, maps"] + hop["l2 to dram"]
    into_l1 = hop["l2 to l1, ifmap"] + hop["l2 to l1, residual"] + hop["l1 to l2"]  # the storer's rows
    into_l1 += hop["storer to line"]
    out_of_l1 = counters["l1_ifmap_read"] + hop["l1 to storer"] + hop["l1 to l2"]
    psums = counters["l1_psum_read"] + counters["l1_psum_write"]
    assert accesses["l1"] == into_l1 + out_of_l1 + psums
    assert counters["l1_psum_read"] == counters["l1_psum_write"]
    assert layer_counts(case.schedule, case.shape, case.found)[0].accesses == accesses


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(sizes=(4, 8)), st.sampled_from([-1, 0]))
def test_l2_keeps_weights_that_fit_in_whole_beats(case, spare):
    """To the byte: what DRAM sends again shows what was kept."""
    share = bytes_in_l2(case) + spare
    assume(1 <= share < case.schedule.accelerator.l2_bytes)
    machine = case.schedule.accelerator.model_copy(update={"l2_weight_bytes": share})
    try:
        schedule = replace(case.schedule, accelerator=machine, source="dram")
    except InputError:
        assume(False)
    chunks = lower(case.layer, schedule).chunks
    again = chunks[(chunks["tile"] > 0) | (chunks["left"] > 0)]
    if case.shape.dynamic and not schedule.spills:
        assert not chunks["dram_bytes"].any()
    elif spare < 0:
        assert (again["dram_bytes"] == again["beats"] * machine.weight_port_bits // 8).all()
    else:
        assert not again["dram_bytes"].any()


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(sizes=(4, 8)))
def test_inside_the_core(case):
    """The stream holds the weights and less than a beat of filling a chunk; every weight is multiplied."""
    schedule, machine, shape = case.schedule, case.schedule.accelerator, case.shape
    program = lower(case.layer, schedule)
    counters = run_program(program, token_ifmap(case.ifmap, case.layer, program, 0)).counters
    whole = schedule.parts - 1
    bits = whole * weight_bits(case, schedule.outputs)
    bits += weight_bits(case, schedule.part_of(whole)[1])
    jobs = len(np.unique(program.chunks["beat"]))
    assert bits <= len(program.beats) * machine.weight_port_bits < bits + jobs * machine.weight_port_bits

    pixels = shape.out_h * shape.out_w
    rows = sum(-(-schedule.part_of(p)[1] // machine.columns) for p in range(schedule.parts))
    assert counters["finished_rows"] == pixels * rows
    assert counters["psum_rows_read"] == counters["psum_rows_written"]
    assert counters["wrf_read"] == counters["mac"]
    taps = schedule.shape.channels * schedule.shape.kernel[0] * schedule.shape.kernel[1]
    if not machine.sparse_tile:
        assert counters["mac"] == pixels * taps * shape.outputs // shape.groups
        if schedule.shape == shape:
            assert counters["mac"] == shape.macs
    if schedule.format == "mvq" and machine.sparse_tile:
        dense = pixels * taps * shape.outputs // shape.groups
        assert counters["mac"] * machine.group == dense * machine.keep
    loaded = schedule.format in ("vq", "mvq", "ssvq", "aqlm")
    assert counters["crf_write"] == loaded * schedule.codewords * machine.codeword_length
    assert len(program.codebook) * machine.weight_port_bits >= 8 * counters["crf_write"]


@pytest.mark.parametrize("registers", [False, True])
@settings(max_examples=20, deadline=None, suppress_health_check=SLOW)
@given(case=layer_cases(sizes=(4, 8)))
def test_every_counter_is_the_same_for_every_image(registers, case):
    """What is counted depends on the schedule, never on values, but for gating."""
    if not case.schedule.accelerator.edge_registers:
        registers = False
    program = lower(case.layer, case.schedule)
    ifmaps = [token_ifmap(x, case.layer, program, 0) for x in (case.ifmap, np.zeros_like(case.ifmap))]
    runs = [run_program(program, ifmap, found=case.found, registers=registers) for ifmap in ifmaps]
    gated = [run.counters.pop("gated") for run in runs]
    assert runs[0].counters == runs[1].counters
    assert runs[0].handover == runs[1].handover
    assert gated[0] <= gated[1] == runs[1].counters["mac"]
