"""Mask code -> mask -> positions, over every legal code."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from rtl.weights.compactor import Compactor
from rtl.weights.mask_decoder import MaskDecoder
from rtl.weights.positions import Positions
from sim.formats import encoding
from tests.rtl.simulate import fields, int8, pack, run


class MaskPath(wiring.Component):
    """Decoder and cascade behind one another, as the loader has them."""

    clocked = False

    def __init__(self, keep: int, group: int) -> None:
        self.decoder = MaskDecoder(keep=keep, group=group)
        self.positions = Positions(keep=keep, group=group)
        super().__init__({"unused": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.decoder, m.submodules.positions = self.decoder, self.positions
        m.d.comb += self.positions.mask.eq(self.decoder.mask)
        return m


@pytest.mark.parametrize(("keep", "group"), [(4, 16), (2, 8), (1, 4), (2, 4), (4, 4), (1, 6)])
def test_every_mask_becomes_its_positions(keep, group):
    dut = MaskPath(keep, group)
    codes = np.arange(comb(group, keep))
    masks = encoding.mask_unrank(codes, keep, group)
    assert np.array_equal(encoding.mask_rank(masks, keep, group), codes)

    async def bench(ctx):
        for code, mask in zip(codes, masks, strict=True):
            ctx.set(dut.decoder.code, int(code))
            assert ctx.get(dut.decoder.mask) == pack(mask, 1)
            width = len(dut.positions.positions) // keep
            found = fields(ctx.get(dut.positions.positions), width, keep)
            assert found == np.flatnonzero(mask).tolist()  # ascending
            assert fields(ctx.get(dut.positions.onehots), group, keep) == [1 << p for p in found]
            assert ctx.get(dut.positions.rest) == 0

    run(dut, bench)


def test_illegal_codes_give_empty_masks():
    dut = MaskDecoder(keep=4, group=16)

    async def bench(ctx):
        for code in (1819, 1820, 2047):
            ctx.set(dut.code, code)
            assert ctx.get(dut.mask) == (0xF000 if code == 1819 else 0)

    run(dut, bench)


@pytest.mark.parametrize(
    ("code", "mask"), [(0, 0x000F), (557, 0x1111), (1495, 0x8421), (1715, 0xAA00), (1819, 0xF000)]
)
def test_published_codes(code, mask):
    assert encoding.mask_table(4, 16)[code] == mask


@pytest.mark.parametrize(("length", "keep", "group"), [(16, 4, 16), (8, 2, 4), (16, 2, 8)])
def test_compactor_keeps_selected_weights_in_order(length, keep, group):
    dut = Compactor(length=length, keep=keep, group=group)
    rng = np.random.default_rng(length + group)
    count = length * keep // group

    def words(ctx):
        found = fields(ctx.get(dut.words), 8 + dut.position_bits, count)
        return [(word & 0xFF, word >> 8) for word in found]

    async def bench(ctx):
        for _ in range(200):
            values = int8(rng, length)
            codes = rng.integers(0, comb(group, keep), length // group)
            mask = encoding.mask_unrank(codes, keep, group).ravel()
            ctx.set(dut.values, pack(values, 8))
            ctx.set(dut.mask, pack(mask, 1))
            ctx.set(dut.raw, 0)
            kept = np.flatnonzero(mask)
            assert words(ctx) == [(values[p] & 0xFF, p) for p in kept]
            sub = int(rng.integers(0, group // keep))
            ctx.set(dut.raw, 1)
            ctx.set(dut.sub, sub)
            assert words(ctx) == [(values[i] & 0xFF, sub * count + i) for i in range(count)]

    run(dut, bench)
