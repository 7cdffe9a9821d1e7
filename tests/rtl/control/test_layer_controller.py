"""The layer controller: every cycle of a run of layers and passes, written down by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.control.layer_controller import LayerController
from sim.accelerator import preset
from sim.errors import InputError
from tests.rtl.simulate import run

TAIL = 12  # dma_setup + l2_latency of the presets


def _drive(kinds, work, late_idle=0):
    """Runs layers of `kinds` with `work` cycles each; returns the outputs of every cycle."""
    dut = LayerController(accelerator=preset("ews-4"))
    log = []

    async def bench(ctx):
        for name in ("primed", "chunk_valid", "settled", "idle"):
            ctx.set(getattr(dut, name), 1)
        ctx.set(dut.layers, len(kinds))
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        layer, remaining, ended = 0, 0, 0
        for _ in range(1000):
            is_pass = layer < len(kinds) and kinds[layer] == "pass"
            ctx.set(dut.pass_waiting, is_pass)
            ctx.set(dut.rows_waiting, not is_pass)
            ctx.set(dut.sent, remaining == 1)
            ctx.set(dut.idle, remaining > 0 or ended >= TAIL - 1 + late_idle)
            outputs = {
                name: ctx.get(getattr(dut, name))
                for name in ("begin", "load", "pass_start", "allowed", "end", "done", "control", "drain")
            }
            log.append(outputs)
            starts = outputs["load"] or outputs["pass_start"]
            await ctx.tick()
            if outputs["done"]:
                break
            layer += outputs["end"]
            if starts:
                remaining, ended = work[layer], 0
            elif remaining:
                remaining -= 1
            else:
                ended += 1
            ctx.set(dut.active, remaining > 0 and kinds[layer] == "rows")
            ctx.set(dut.settled, not (remaining > 0 and kinds[layer] == "rows"))
            ctx.set(dut.pass_busy, remaining > 0 and kinds[layer] == "pass")

    run(dut, bench)
    return log


def _cycles(log, name):
    return [n for n, outputs in enumerate(log) if outputs[name]]


def test_layers_follow_one_another_without_gaps():
    log = _drive(["rows", "pass", "rows"], [7, 5, 1])
    begin = _cycles(log, "begin")
    lengths = np.diff([*begin, _cycles(log, "done")[0]])
    # control, work until the last row has left, drain
    assert lengths.tolist() == [4 + 7 + TAIL, 4 + 5 + TAIL, 4 + 1 + TAIL]
    assert _cycles(log, "load") == [begin[0] + 4, begin[2] + 4]
    assert _cycles(log, "pass_start") == [begin[1] + 4]
    assert len(_cycles(log, "control")) == 12
    assert len(_cycles(log, "drain")) == 3 * TAIL
    assert _cycles(log, "end") == [*begin[1:], _cycles(log, "done")[0]]


def test_a_late_response_holds_the_end():
    ends = [_cycles(_drive(["rows"], [3], late), "done")[0] for late in (0, 9)]
    assert ends[1] - ends[0] == 9


@pytest.mark.parametrize("before", ["primed", "control", "work"])
def test_halt_ends_the_run(before):
    dut = LayerController(accelerator=preset("ews-4"))

    async def bench(ctx):
        ctx.set(dut.layers, 2)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        ctx.set(dut.primed, before != "primed")
        ctx.set(dut.rows_waiting, 1)
        ctx.set(dut.chunk_valid, 1)
        ctx.set(dut.active, 1)
        await ctx.tick().repeat({"primed": 3, "control": 3, "work": 9}[before])
        ctx.set(dut.halt, 1)
        await ctx.tick()
        assert ctx.get(dut.done) == 1
        ctx.set(dut.halt, 0)
        await ctx.tick()
        assert ctx.get(dut.done) == 0

    run(dut, bench)


def test_no_layer_is_no_run():
    log = _drive([], [])
    assert log[-1]["done"] == 1
    assert not _cycles(log, "begin")


def test_a_tail_that_the_hardware_cannot_meet_is_refused():
    machine = preset("ews-4").model_copy(update=dict(dma_setup=2))
    with pytest.raises(InputError, match="dma_setup"):
        LayerController(accelerator=machine)
