"""The storer, cycle by cycle, against plain Python."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest

from rtl.packets import PASS_KINDS
from rtl.storer.storer import Storer
from sim.accelerator import load
from sim.errors import InputError
from tests.rtl.simulate import run
from tests.rtl.storer.storer_bench import WORDS, Machine, Stripe, banks, wide_lanes


def _byte(rng):
    return int(rng.choice([-128, 127, 0, *rng.integers(-128, 128, 5)]))


def _clamps(rng, low="low", high="high"):
    values = sorted(rng.integers(-128, 128, 2).tolist()) if rng.random() < 0.5 else [-128, 127]
    return dict(zip((low, high), values, strict=True))


def _parameter(rng):
    """(bias, multiplier, shift) whose results use the whole range of a byte."""
    shift = int(rng.integers(1, 48))
    multiplier = int(rng.integers(0, 2**16))
    return int(rng.integers(-(2 ** int(b := rng.integers(1, 30))), 2**b)), multiplier, shift


def _rows_layer(acc, rng, stripes, pixels, kind="plain", fixed_a=None, ring_pixels=None):
    """Stripes of one layer. `kind`: plain, residual, wide."""
    columns, lanes = acc.columns, acc.requant_lanes
    residual, wide = int(kind == "residual"), int(kind == "wide")
    loops = int(rng.integers(1, 4))  # B*D*U of the last chunks
    per_row = columns // lanes + residual * ceil(ceil(columns / 8) / acc.ifmap_banks)
    constants = dict(
        zero=_byte(rng),
        **_clamps(rng),
        own_zero=_byte(rng),
        other_zero=_byte(rng),
        add_zero=_byte(rng),
        own_multiplier=int(rng.integers(0, 2**16)),
        other_multiplier=int(rng.integers(0, 2**16)),
        shift=int(rng.integers(14, 20)),
        **_clamps(rng, "add_low", "add_high"),
        map=int(rng.integers(0, 2)),
        residual=residual,
        wide=wide,
        **{"pass": 0},
    )
    most = [fixed_a or int(rng.integers(1, acc.prf_depth + 1)) for _ in range(stripes)]
    longest = max(most) * columns * (4 if wide else 1)
    step = 4 if not wide and columns + 4 <= 8 * banks(acc) else 8
    pitch = longest // 8 + int(rng.integers(2, 5))
    ring_pixels = ring_pixels or 2 * pixels + 2
    to = int(rng.integers(0, ring_pixels))
    layer = []
    for n, a in enumerate(most):
        count = int(rng.integers(1, pixels + 1))
        tail = int(rng.integers(1, columns + 1))
        from_pitch = longest // 8 + int(rng.integers(2, 4))
        item = Stripe(
            constants
            | dict(
                a=a,
                columns=columns if a > 1 else tail,
                columns_tail=tail,
                pixels=count,
                store=a * per_row,
                to=to * pitch,
                to_pitch=pitch,
                ring=ring_pixels * pitch,
                channel=step * int(rng.integers(0, 8 // step + 1)),
                from_channel=step * int(rng.integers(0, 8 // step + 1)),
                address=int(rng.integers(0, 2**32)),
                stride=int(rng.integers(0, 2**20)),
                width=int(rng.choice([0, rng.integers(1, count + 1)])),
                line_step=int(rng.integers(0, 2**20)),
                from_pitch=from_pitch,
                ends=int(n == stripes - 1),
                **{"from": int(rng.integers(0, WORDS - count * from_pitch - 16))},
            )
        )
        to = (to + count) % ring_pixels
        item.slot = a * loops
        service = a * ceil(columns / wide_lanes(acc)) * wide
        item.gaps = [
            max(0, service - max(item.slot, item.fields["store"]))
            + int(rng.choice([0, 0, rng.integers(0, 6)]))
            for _ in range(count)
        ]
        item.shrinks = any(a < before for before in most[:n])
        item.parameters = [[_parameter(rng) for _ in range(columns)] for _ in range(a)]
        item.psums = [
            [
                [_psum(rng, bias, multiplier, shift) for bias, multiplier, shift in group]
                for group in item.parameters
            ]
            for _ in range(count)
        ]
        layer.append(item)
    return layer


def _psum(rng, bias, multiplier, shift):
    """A psum near the range of a byte behind its requantization, or anywhere."""
    reach = min(2**30 - 1, (200 << shift) // max(multiplier, 1) + 2)
    if rng.random() < 0.2:
        reach = 2**30 - 1
    return int(rng.integers(-reach, reach + 1)) - bias


def _pass_layer(acc, rng, kind):
    lanes, groups = acc.requant_lanes, int(rng.integers(1, 4))
    lines, line_pixels = int(rng.integers(3, 6)), int(rng.integers(3, 6))
    if kind == "average":
        window, stride, pad, out = (lines, line_pixels), (1, 1), (0, 0), (1, 1)
    else:
        window = tuple(int(v) for v in rng.integers(1, 4, 2))
        stride = tuple(int(v) for v in rng.integers(1, 4, 2))
        pad = tuple(int(rng.integers(0, k // 2 + 1)) for k in window)
        out = tuple(
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip((lines, line_pixels), pad, window, stride, strict=True)
        )
    from_pitch = -(-groups * lanes // 8) + int(rng.integers(0, 2))
    to_pitch = -(-groups * lanes // 8) + int(rng.integers(0, 2))
    pixels = out[0] * out[1]
    return [
        Stripe(
            {
                "pass": PASS_KINDS[kind],
                "ends": 1,
                "wide": 0,
                "residual": 0,
                "map": int(rng.integers(0, 2)),
                "a": 0,
                "columns": lanes,
                "columns_tail": int(rng.integers(1, lanes + 1)),
                "store": 0,
                "pixels": pixels,
                "width": out[1],
                "groups": groups,
                "to": int(rng.integers(0, pixels + 1)) * to_pitch,
                "to_pitch": to_pitch,
                "ring": (pixels + 1) * to_pitch,
                "channel": 0 if kind == "average" or lanes % 8 else 8,
                "address": int(rng.integers(0, 2**32)),
                "stride": int(rng.integers(0, 2**20)),
                "line_step": int(rng.integers(0, 2**20)),
                "from": int(rng.integers(0, WORDS // 2)),
                "from_pitch": from_pitch,
                "own_zero": _byte(rng),
                "own_multiplier": int(rng.integers(2**11, 2**13)),
                "shift": 16,
                "zero": _byte(rng),
                **_clamps(rng),
                "window_y": window[0],
                "window_x": window[1],
                "stride_y": stride[0],
                "stride_x": stride[1],
                "pad_y": pad[0],
                "pad_x": pad[1],
                "lines": lines,
                "line_pixels": line_pixels,
            }
        )
    ]


MACHINES = {
    "L4": load("ews-4", {"prf_depth": 4}),
    "L8": load("ews-8", {"prf_depth": 4}),
    "L8-lanes4": load("ews-8", {"prf_depth": 5, "requant_lanes": 4}),
    "L16-lanes4": load("ews-16", {"prf_depth": 4, "requant_lanes": 4, "ifmap_banks": 1}),
    "4x12": load("ews-4x12", {"prf_depth": 3}),
}


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("kind", ["plain", "residual", "wide"])
def test_rows_bytes_and_cycles(name, kind):
    acc = MACHINES[name]
    rng = np.random.default_rng([len(name), len(kind)])
    layers = [_rows_layer(acc, rng, 4, 5, kind), _rows_layer(acc, rng, 2, 4, kind)]
    Machine(acc, layers, seed=1).run()


@pytest.mark.parametrize("name", ["L8", "L16-lanes4"])
def test_a_busy_mover_delays_but_loses_nothing(name):
    acc = MACHINES[name]
    rng = np.random.default_rng(len(name))
    layers = [
        _rows_layer(acc, rng, 4, 4),
        _rows_layer(acc, rng, 3, 3, "residual"),
        _pass_layer(acc, rng, "max"),
        _rows_layer(acc, rng, 2, 2, "wide"),
        _pass_layer(acc, rng, "average"),
    ]
    Machine(acc, layers, seed=2, exact=False).run()


@pytest.mark.parametrize("name", MACHINES)
def test_passes_bytes_and_cycles(name):
    acc = MACHINES[name]
    rng = np.random.default_rng(len(name))
    kinds = ["average", "max", "max", "average", "max"]
    layers = [_pass_layer(acc, rng, kind) for kind in kinds]
    layers.insert(2, _rows_layer(acc, rng, 1, 3))
    Machine(acc, layers, seed=3).run()


def test_pixels_follow_one_another_each_store_cycles_around_a_short_ring():
    acc = MACHINES["L8"]
    rng = np.random.default_rng(5)
    layer = _rows_layer(acc, rng, 3, 20, fixed_a=1, ring_pixels=6)
    for item in layer:
        item.slot, item.gaps = 1, [0] * len(item.gaps)
    Machine(acc, [layer], seed=4).run()


def test_the_next_stripe_loads_while_one_runs():
    """Two stripes load without a row; the third has its parameters when the rows of the first are finished."""
    acc = MACHINES["L8"]
    rng = np.random.default_rng(6)
    layer = _rows_layer(acc, rng, 3, 1, fixed_a=2)
    pending = list(Machine(acc, [layer], seed=5).stream())
    first_row = 2 * len(pending)
    dut = Storer(accelerator=acc)
    before_rows, after_rows = [], []

    async def bench(ctx):
        ctx.set(dut.out_ready, 1)
        for cycle in range(2 * first_row):
            ctx.set(dut.word_valid, bool(pending))
            ctx.set(dut.word, pending[0] if pending else 0)
            ctx.set(dut.row_valid, cycle in (first_row, first_row + 1))
            (before_rows if cycle <= first_row else after_rows).append(ctx.get(dut.unit_loaded))
            if pending and ctx.get(dut.word_ready):
                del pending[0]
            await ctx.tick()

    run(dut, bench)
    assert sum(before_rows) == 2
    assert sum(after_rows) == 1


def test_overflow_tells_a_lost_row():
    acc = MACHINES["L16-lanes4"]
    layer = _rows_layer(acc, np.random.default_rng(7), 1, 4, fixed_a=4)
    layer[0].fields["columns"] = layer[0].fields["columns_tail"] = 16
    pending = list(Machine(acc, [layer], seed=6).stream())

    def rows_until_overflow(words):
        dut = Storer(accelerator=acc)
        seen = []

        async def bench(ctx):
            for word in words:
                ctx.set(dut.word_valid, 1)
                ctx.set(dut.word, word)
                await ctx.tick()
            ctx.set(dut.word_valid, 0)
            await ctx.tick()
            ctx.set(dut.row_valid, 1)
            for _ in range(20):
                await ctx.tick()
                seen.append(ctx.get(dut.overflow))

        run(dut, bench)
        return seen.index(1)

    assert rows_until_overflow([]) == 0
    # A row leaves every fourth cycle: rows 0 to 4 find room besides the one that left, row 5 does not.
    assert rows_until_overflow(pending) == 5


@pytest.mark.parametrize(("name", "lanes"), [("ews-16", 64), ("ews-16", 6), ("ews-16", 2), ("ews-4x6", 6)])
def test_lanes_must_divide_a_row_into_half_words(name, lanes):
    with pytest.raises(InputError, match="requant_lanes"):
        Storer(accelerator=load(name, {"requant_lanes": lanes}))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_layers_of_all_kinds_in_any_order(seed):
    rng = np.random.default_rng(seed)
    acc = MACHINES[rng.choice(list(MACHINES))]
    layers = []
    for kind in rng.choice(["plain", "residual", "wide", "average", "max"], 4):
        if kind in PASS_KINDS:
            layers.append(_pass_layer(acc, rng, kind))
        else:
            layers.append(_rows_layer(acc, rng, int(rng.integers(1, 6)), int(rng.integers(1, 7)), kind))
    Machine(acc, layers, seed, exact=bool(rng.random() < 0.7)).run()
