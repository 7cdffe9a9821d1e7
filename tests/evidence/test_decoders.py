"""Trellis and lattice decoders give what their definitions give; the lattice is the one it says."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.sim import Simulator

from evidence import decoders


@pytest.mark.parametrize("kind", decoders.DECODERS)
def test_rows(kind: str) -> None:
    random, row = np.random.default_rng(0), decoders.Row(kind)
    bits = random.integers(0, 2, (40, len(row.row)))
    if kind == "trellis":
        wanted = decoders.trellis(bits)
    else:
        wanted = decoders.lattice((bits.reshape(40, -1, 16) << np.arange(16)).sum(-1))

    async def bench(ctx) -> None:
        ctx.set(row.look, 1)
        for number in range(42):
            if number < 40:
                ctx.set(row.row, int(sum(int(bit) << n for n, bit in enumerate(bits[number]))))
            if number >= 2:
                found = int(ctx.get(row.values)).to_bytes(decoders.COLUMNS, "little")
                assert np.array_equal(np.frombuffer(found, np.int8), wanted[number - 2])
            await ctx.tick()

    simulator = Simulator(row)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_codewords_are_of_the_shifted_lattice() -> None:
    """E8 and E8 moved by a quarter: halves with an even sum, seven signs free; 2^16 different points."""
    codes = np.arange(2**16).reshape(-1, 2)
    points = decoders.lattice(codes).reshape(-1, 8).astype(int)
    shift = np.where(np.arange(2**16) >> 15, 1, -1)[:, None]
    halves, rest = np.divmod(points - shift, 2)
    assert not rest.any()
    assert (halves % 2 == 1).all()
    assert (halves.sum(1) % 4 == 0).all()
    assert len(np.unique(points, axis=0)) == 2**16
    assert (halves**2).sum(1).max() == 4 * 12
    assert len(np.unique((halves**2).sum(1)[:256])) == 6  # 2, 4, ... 12


def test_trellis_weights_are_nearly_normal() -> None:
    states = np.arange(2**16)
    bits = np.zeros((2**16, 46), int)
    bits[:, :16] = states[:, None] >> np.arange(16) & 1
    found = decoders.trellis(bits)[:, 0].astype(float)
    assert abs(found.mean() + 0.5) < 0.5
    assert found.std() == pytest.approx(147.8 / 4, rel=0.01)  # QTIP's deviation
