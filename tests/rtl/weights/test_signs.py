"""Signs against integers."""

from __future__ import annotations

import numpy as np

from rtl.weights.signs import Signs
from tests.rtl.simulate import fields, pack, run


def test_signs_negate_single_elements():
    dut = Signs(columns=5)
    rng = np.random.default_rng(0)
    cases = [np.array([0, 1, 127, 126, 64])] + [rng.integers(0, 128, 5) for _ in range(100)]

    async def bench(ctx):
        for magnitudes in cases:
            signs = rng.integers(0, 2, 5)
            ctx.set(dut.magnitudes, pack(magnitudes, 8))
            ctx.set(dut.signs, pack(signs, 1))
            expected = np.where(signs == 1, -magnitudes, magnitudes)
            assert fields(ctx.get(dut.weights), 8, 5, True) == expected.tolist()

    run(dut, bench)
