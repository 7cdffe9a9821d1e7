"""The register model of the array and the PRF against the RTL, register by register, in every cycle."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.data import View
from amaranth.lib.wiring import In, Out

from rtl.array.array import Array
from rtl.array.prf import Prf
from rtl.geometry import PSUM_BITS, Geometry
from sim.accelerator import load
from sim.systolic.engine import registers as model
from tests.rtl.simulate import fields, int8, pack, run


class WatchedArray(Array):
    """An array whose tiles can be looked at."""

    def _tile(self):
        tile = super()._tile()
        self.tiles.append(tile)
        return tile


class Datapath(wiring.Component):
    """Array and PRF, connected as `rtl.core` connects them."""

    clocked = True

    def __init__(self, acc):
        self.geometry = geometry = Geometry(acc)
        self.array = WatchedArray(accelerator=acc)
        self.array.tiles = []
        self.prf = Prf(depth=acc.prf_depth, columns=acc.columns, sum_bits=geometry.sum_bits)
        super().__init__({"stored": In(PSUM_BITS * acc.columns), "ask": Out(1), "ask_address": Out(24)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.array, m.submodules.prf = array, prf = self.array, self.prf
        tag = View(self.geometry.tag, array.tag_out)
        ahead = View(self.geometry.tag, array.tag_ahead)
        m.d.comb += [
            prf.valid.eq(tag.valid),
            prf.word.eq(tag.word),
            prf.first.eq(tag.first),
            prf.use_stored.eq(tag.stored),
            prf.stored.eq(self.stored),
            prf.sums.eq(array.sums),
            self.ask.eq(ahead.valid & ahead.stored),
            self.ask_address.eq(ahead.address),
        ]
        return m


def random_token(rng, acc):
    """Fields for `model.issue`, up to `columns`."""
    first, last, final = (int(n) for n in rng.integers(0, 2, 3))
    return dict(
        address=int(rng.integers(acc.wrf_depth)),
        word=int(rng.integers(acc.prf_depth)),
        first=first,
        stored=first & int(rng.integers(0, 2)),
        last=last,
        final=final,
        output=int(rng.integers(16)),
        columns=acc.columns,
    )


def random_row(rng, geometry):
    """A weight row [L] and the WRF words that hold it."""
    acc = geometry.accelerator
    row = int8(rng, acc.columns)
    if not acc.sparse_tile:
        return row, pack(row, 8)
    tiles = row.reshape(-1, acc.tile_columns)
    kept = np.argsort(rng.random(tiles.shape), -1)[:, : acc.multipliers_per_codeword]
    values = np.take_along_axis(tiles, kept, -1)
    row = np.zeros_like(tiles)
    np.put_along_axis(row, kept, values, -1)
    return row.ravel(), pack((values & 0xFF | kept << 8).ravel(), geometry.word_bits)


def compare(ctx, dut, acc, state):
    """Asserts that every register that has a port is what the snapshot says."""
    array, prf, sum_bits = dut.array, dut.prf, dut.geometry.sum_bits
    down, right = acc.row_stages, acc.column_stages
    assert len(array.tiles) == down * right
    for n, tile in enumerate(array.tiles):
        v, h = divmod(n, right)
        assert ctx.get(tile.valid_out) == state["valid"][v, h]
        assert ctx.get(tile.address_out) == state["address"][v, h]
        for port, width, name in ((tile.activation_out, 8, "operand"), (tile.psum_out, sum_bits, "psum")):
            values = state[name][v, h]
            assert fields(ctx.get(port), width, len(values), True) == values.tolist()
        if h == 0:
            assert fields(ctx.get(tile.activation_in), 8, acc.tile_rows, True) == state["skew"][v, v].tolist()
            assert ctx.get(tile.valid_in) == state["tag_valid"][v]
            assert ctx.get(tile.address_in) == state["tag_address"][v]
    row = [state["deskew"][h, right - 1 - h] for h in range(right)]
    assert fields(ctx.get(array.sums), sum_bits, acc.columns, True) == np.ravel(row).tolist()
    assert fields(ctx.get(prf.row), PSUM_BITS, acc.columns, True) == state["row"].tolist()
    for bits, age in ((array.tag_ahead, down + right), (array.tag_out, down + right + 1)):
        tag = View(dut.geometry.tag, bits)
        for name in ("valid", "word", "first", "stored", "last", "final"):
            assert ctx.get(getattr(tag, name)) == state[f"tag_{name}"][age]
        assert ctx.get(tag.address) == state["tag_output"][age]


@pytest.mark.parametrize(
    ("name", "changes", "seed"),
    [
        ("ews-4", {}, 1),
        ("ews-4", {"tile_rows": 1, "tile_columns": 2}, 2),
        ("ews-8", {"tile_columns": 4}, 3),
        ("ews-8", {"tile_rows": 2, "tile_columns": 4}, 4),
        ("ews-cms-4x8", {"tile_rows": 2}, 5),
    ],
)
def test_registers_are_those_of_the_rtl(name, changes, seed):
    """Random tokens, bubbles and WRF writes, without regard to what is in flight."""
    acc = load(name, changes)
    dut = Datapath(acc)
    rng = np.random.default_rng(seed)
    registers = model.reset(acc.rows, acc.columns, acc.tile_rows, acc.tile_columns, acc.prf_depth)
    wrf = np.zeros((acc.wrf_depth, acc.rows, acc.columns), np.int8)
    stored = rng.integers(-(2**31), 2**31, (16, acc.columns)).astype(np.int32)
    memory = stored.copy()
    emitted = 0

    async def bench(ctx):
        nonlocal emitted
        array = dut.array
        visible = None
        for _ in range(400):
            state = model.snapshot(registers)
            compare(ctx, dut, acc, state)
            # The bench is the psum memory: it answers with what was there before the write of this cycle.
            asked = memory[ctx.get(dut.ask_address)].copy() if ctx.get(dut.ask) else None
            if visible is not None:
                emitted += 1
                if not visible[model.Tag.FINAL]:
                    memory[visible[model.Tag.OUTPUT]] = fields(
                        ctx.get(dut.prf.row), PSUM_BITS, acc.columns, True
                    )

            slot = model.clock(registers, wrf, stored)
            visible = None if slot < 0 else registers.tags[slot].copy()
            ctx.set(array.write_enable, 0)
            if rng.random() < 0.6:
                address, h = int(rng.integers(acc.wrf_depth)), int(rng.integers(acc.rows))
                wrf[address, h], words = random_row(rng, dut.geometry)
                ctx.set(array.write_enable, 1 << h)
                ctx.set(array.write_address, address)
                ctx.set(array.write_data, words)
            token = random_token(rng, acc) if rng.random() < 0.7 else None
            if token:
                vector, rows = int8(rng, acc.rows).astype(np.int8), int(rng.integers(1, acc.rows + 1))
                model.issue(registers, *token.values(), vector, 0, rows)

            await ctx.tick()
            np.testing.assert_array_equal(memory, stored)
            ctx.set(array.valid, token is not None)
            ctx.set(View(dut.geometry.tag, array.tag).valid, token is not None)
            if token:
                ctx.set(array.address, token["address"])
                ctx.set(array.activation, pack(np.where(np.arange(acc.rows) < rows, vector, 0), 8))
                tag = View(dut.geometry.tag, array.tag)
                for field in ("word", "first", "stored", "last", "final"):
                    ctx.set(getattr(tag, field), token[field])
                ctx.set(tag.address, token["output"])
            if asked is not None:
                ctx.set(dut.stored, pack(asked, PSUM_BITS))

    run(dut, bench)
    assert emitted > 100
