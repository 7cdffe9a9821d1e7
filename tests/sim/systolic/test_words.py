"""Maps lie in 64-bit words: what touches part of a word moves all of it; shares of L1; 32-bit outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import accelerator
from sim.errors import InputError
from sim.estimate import estimate
from sim.shapes import ConvShape, PassShape, map_bytes, with_logits, words
from sim.systolic import mapping
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.engine import memory, run_program
from sim.systolic.plan import plan
from sim.systolic.program import chunk_table, lower, token_ifmap
from sim.systolic.results import Handover
from sim.systolic.schedule import Schedule
from tests.sim.systolic.cases import random_conv


@given(st.integers(0, 100), st.integers(1, 100), st.sampled_from([1, 4]))
def test_words_are_those_in_which_a_byte_lies(first, channels, size):
    bytes_of = range(first * size, (first + channels) * size)
    assert words(first, channels, size) == len({n // 8 for n in bytes_of})


def test_a_pixel_fills_its_last_word():
    layer = ConvShape("layer", 9, 17, size=(2, 5))
    assert (layer.ifmap_bytes, layer.ofmap_bytes) == (2 * 10 * 8, 3 * 10 * 8)
    assert replace(layer, wide=True).ofmap_bytes == 9 * 10 * 8
    assert map_bytes(3, 10) == 80
    gate = PassShape("gate", "table", 90, 1, 90, channels=9)
    assert (gate.ifmap_bytes, gate.ofmap_bytes, gate.operations) == (160, 160, 90)
    unknown = replace(gate, channels=0)
    assert (unknown.ifmap_bytes, unknown.ofmap_bytes) == (90, 90)


@pytest.mark.parametrize(
    ("dma_bits", "wide", "beats"),
    [
        # Groups of 12 outputs, 8 columns: rows of channels 0-7, 8-11 | 12-19, 20-23 | 24-31, 32-35.
        (64, False, [2, 3, 2]),
        (128, False, [2, 2, 2]),
        (32, False, [4, 6, 4]),
        (64, True, [6, 6, 6]),
    ],
)
def test_rows_of_a_group_that_begins_inside_a_word(dma_bits, wide, beats):
    machine = accelerator.load("ews-8", {"dma_bits": dma_bits})
    layer = ConvShape("layer", 15, 36, size=(3, 3), groups=3, wide=wide)
    schedule = Schedule(machine, layer, A=2, tile_rows=3)
    chunks, visits = chunk_table(schedule)
    assert chunks["write_beats"].tolist() == beats
    assert [schedule.tiling.write_beats(part, 0) for part in range(3)] == beats
    # Channels 0-4, 5-9 and 10-14: the middle group lies in two words of each pixel.
    assert visits["ifmap_bytes"].tolist() == [9 * 8, 9 * 16, 9 * 8]
    assert schedule.tiling.ifmap_tile_bytes == 9 * 16


@pytest.mark.parametrize("outer", [False, True])
@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({"dma_bits": 8, "columns": 5, "tile_columns": 5}, {"wide": True}),
        ({"dma_bits": 64, "columns": 5, "tile_columns": 5, "dma_burst_gap": 2}, {"residual": "sum"}),
        ({"dma_bits": 16, "columns": 3, "tile_columns": 3, "rows": 2, "tile_rows": 2}, {"residual": "sum"}),
        ({"dma_bits": 8, "columns": 5, "tile_columns": 5, "rows": 3, "tile_rows": 3}, {"channels": 13 * 16}),
    ],
)
@pytest.mark.parametrize("split", [False, True])
def test_steps_of_a_loop_differ_by_where_they_begin_in_a_word(changes, extra, outer, split):
    """The closed form must not take them for equal; 13 parts of 3 or 16 channels and 11 outputs."""
    machine = accelerator.load("ews-4", {"dram_bits": 16} | changes)
    layer = replace(ConvShape("layer", 39, 143, (1, 2), size=(2, 4), groups=13), **extra)
    rng = np.random.default_rng(0)
    conv = random_conv(rng, machine, "dense", layer)
    ifmap = rng.integers(-128, 128, (1, layer.channels, 2, 4)).astype(np.int8)
    for source, a in (("l2", 1), ("dram", 2)):
        schedule = Schedule(
            machine, layer, A=a, D=2, outputs_outer=outer, split_channels=split, source=source
        )
        program = lower(conv, schedule)
        run = run_program(program, token_ifmap(ifmap, conv, program, 0), found=Handover())
        counts, left = layer_counts(schedule, layer)
        assert run.handover == left
        assert replace(memory.layer_counts(program, layer, run.counters), gated=None) == counts


def test_l1_is_divided_completely():
    machine = accelerator.preset("ews-16")
    shares = (machine.ifmap_bytes, machine.ofmap_bytes, machine.residual_bytes, machine.psum_bytes)
    assert [machine.l1_bytes / share for share in shares] == [4, 8, 8, 2]


def test_residual_tiles_limit_buffers_and_tiles():
    """256 bytes of L1 for them: a row of 4 pixels takes 4 * 2 words."""
    machine = accelerator.load("ews-16", {"l1_bytes": 2048})
    layer = ConvShape("layer", 8, 16, size=(8, 4), residual="sum")
    assert [Schedule(machine, layer, tile_rows=n).tiling.ifmap_buffers for n in (2, 3, 4)] == [2, 1, 1]
    assert Schedule(machine, replace(layer, residual=""), tile_rows=4).tiling.ifmap_buffers == 2
    with pytest.raises(InputError, match=r"residual tile = 320: bytes exceed the 256 of the residual group"):
        Schedule(machine, layer, tile_rows=5)
    assert mapping.best_schedule(layer, machine, "dense").tile_rows <= 4


def test_the_search_takes_outputs_apart_where_a_residual_row_is_too_large():
    machine = accelerator.load("ews-4", {"l1_bytes": 2048})
    layer = ConvShape("layer", 4, 64, size=(1, 16), residual="sum")
    best = mapping.best_schedule(layer, machine, "dense")
    assert best.ifmap_sweeps > 1
    assert best.tiling.residual_tile_bytes <= 256
    wider = mapping.best_schedule(replace(layer, size=(1, 33)), machine, "dense")
    assert wider.strips > 1
    assert wider.tiling.residual_tile_bytes <= 256


def test_an_ofmap_stays_in_l1_if_it_fits_the_finished_rows():
    machine = accelerator.load("ews-8", {"l1_bytes": 4096})
    shapes = [
        ConvShape("first", 8, 8),
        ConvShape("a", 8, 3, size=(8, 8)),
        ConvShape("b", 3, 8, size=(8, 8)),
        ConvShape("c", 3, 8, size=(8, 9)),
    ]
    form = {shape.name: ("dense", 0) for shape in shapes}
    assert plan(shapes[:3], form, machine)[2].source == "l1"
    larger = replace(shapes[1], size=(8, 9))
    assert plan([shapes[0], larger, shapes[3]], form, machine)[2].source == "l2"


def test_a_last_convolution_emits_32_bits_and_leaves_l2_once():
    first, last = ConvShape("first", 8, 8), ConvShape("last", 8, 8, size=(4, 8))
    assert with_logits([first, last]) == (first, replace(last, wide=True))
    added = replace(last, residual="sum")
    assert with_logits([first, added]) == (first, added)
    for l2_bytes, maps in ((1 << 20, 0), (1024, 8 * 32)):  # one that spills reads its ifmap from DRAM too
        machine = accelerator.load("ews-8", {"l2_bytes": l2_bytes})
        counts = estimate([first, last], machine).layers[1].counts
        assert counts.schedule.shape.wide
        assert counts.schedule.spills == bool(maps)
        assert counts.accesses["dram"] == last.weights + maps + 8 * 32 * 4


def test_an_addition_requantizes():
    with pytest.raises(InputError, match=r"layer\.wide = True: the addition sum requantizes"):
        ConvShape("layer", 8, 8, residual="sum", wide=True)
