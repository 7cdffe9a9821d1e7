"""The core in Amaranth's own simulator: no Verilog, no bench, several layers on end."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.core import Core
from rtl.counters import COUNTERS
from rtl.geometry import Geometry
from rtl.verify import stimulus
from rtl.verify.random_layer import random_program
from sim.accelerator import preset
from sim.engine import run_program
from tests.rtl.simulate import fields, pack, run


@pytest.mark.parametrize("name", ["ews-4", "ews-cms-4"])
def test_layer_after_layer_without_reset(name):
    acc = preset(name)
    geometry = Geometry(acc)
    dut = Core(accelerator=acc)

    async def layer(ctx, seed):
        program, ifmap = random_program(acc, seed)
        model = run_program(program, ifmap, trace=True)
        where = stimulus.emission(program)
        chunks = program.chunks
        beats = [pack(words, 64) for words in (*program.codebook, *(
            words for c in chunks for words in program.beats[c["beat"] : c["beat"] + c["beats"]]))]
        vectors = iter(stimulus.vectors(program, ifmap[0]))
        psums, sent, emitted = {}, 0, 0
        for port, value in stimulus.layer_values(program).items():
            ctx.set(getattr(dut, port), value)
        for port, layout in (("slot", geometry.slot_chunk), ("loader", geometry.loader_chunk)):
            ctx.set(getattr(dut, f"{port}_chunk"), stimulus.pack_chunk(chunks[0], layout))
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.weight_valid, 1)
        for cycle in range(model.counters["core_cycles"]):
            for port, layout in (("slot", geometry.slot_chunk), ("loader", geometry.loader_chunk)):
                index = min(ctx.get(getattr(dut, f"{port}_index")), len(chunks) - 1)
                ctx.set(getattr(dut, f"{port}_chunk"), stimulus.pack_chunk(chunks[index], layout))
            ctx.set(dut.weight_data, beats[min(sent, len(beats) - 1)])
            sent += ctx.get(dut.weight_ready)
            request = next(vectors) if ctx.get(dut.activation_request) else None
            stored = psums[ctx.get(dut.psum_read_address)] if ctx.get(dut.psum_read) else None
            assert ctx.get(dut.busy) == 1
            assert ctx.get(dut.done) == (cycle == model.counters["core_cycles"] - 1)
            if ctx.get(dut.psum_write) or ctx.get(dut.finished):
                row = ctx.get(dut.row)
                valid = where.columns[emitted]
                assert cycle == model.row_cycles[emitted]
                assert fields(row, 32, valid, True) == model.rows[emitted, :valid].tolist()
                assert ctx.get(dut.finished) == where.final[emitted]
                if ctx.get(dut.psum_write):
                    psums[ctx.get(dut.row_address)] = row
                emitted += 1
            await ctx.tick()
            if request is not None:
                ctx.set(dut.activation, pack(request, 8))
            if stored is not None:
                ctx.set(dut.psum_read_data, stored)
        assert ctx.get(dut.busy) == 0
        assert emitted == len(model.rows)
        assert sent == len(beats)
        counters = {port: ctx.get(getattr(dut, f"count_{port}")) for port in COUNTERS}
        assert counters.pop("cycles") == model.counters["core_cycles"]
        assert counters == {port: model.counters[port] for port in counters}

    async def bench(ctx):
        for seed in (0, 3, 5, 8):
            await layer(ctx, seed)

    run(dut, bench)


def test_noise_on_unused_lanes_is_in_the_stimulus():
    program, ifmap = random_program(preset("ews-4"), 1)
    tails = program.chunks["rows_tail"]
    assert (tails < 4).any()
    assert (stimulus.vectors(program, ifmap[0])[:, -1] == np.int8(0x55)).any()
