"""Multiplications that a zero operand gates, against a count over every physical multiplier."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from sim import accelerator
from sim.network import CodebookWeight
from sim.shapes import ConvShape
from sim.systolic.engine import run_program, simulate
from sim.systolic.program import lower, token_ifmap
from sim.systolic.schedule import Schedule
from tests.sim.network.networks import small_network
from tests.sim.systolic.cases import layer_cases, random_conv, slow_decode

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def kept(weight) -> np.ndarray:
    """bool [K, C, Ky, Kx]: the weights that the mask lets a sparse tile store."""
    legal = sorted(combinations(range(weight.group), weight.keep), key=lambda c: sum(2**p for p in c))
    out = np.zeros(weight.shape, bool)
    d = weight.codebook.shape[1]
    for g, c, y, x, part in np.ndindex(*weight.mask_codes.shape):
        for place in legal[weight.mask_codes[g, c, y, x, part]]:
            out[g * d + part * weight.group + place, c, y, x] = True
    return out


def slow_gated(layer, ifmap, zero_point, schedule) -> int:
    """One multiplier at a time: over the pixels, how often it meets a zero.

    Multipliers that exist beyond the layer's own (columns filled up to whole codewords, kernel columns
    filled up to whole folds) hold zeros.
    """
    machine, weight = schedule.accelerator, slow_decode(layer.weight)
    outputs, inputs, ky, kx = weight.shape
    sparse_codes = machine.sparse_tile and isinstance(layer.weight, CodebookWeight)
    exists = kept(layer.weight) if sparse_codes else np.ones(weight.shape, bool)
    (py, px), (sy, sx), (dy, dx) = layer.padding, layer.stride, layer.dilation
    padded = np.pad(ifmap[0].astype(int), [(0, 0), (py, py), (px, px)], constant_values=zero_point)
    oh = (padded.shape[1] - (ky - 1) * dy - 1) // sy + 1
    ow = (padded.shape[2] - (kx - 1) * dx - 1) // sx + 1
    gated = 0
    for k, c, y, x in zip(*np.nonzero(exists), strict=True):
        first = k // (outputs // layer.groups) * inputs
        for oy in range(oh):
            row = padded[first + c, oy * sy + y * dy]
            for ox in range(ow):
                gated += row[ox * sx + x * dx] == 0 or weight[k, c, y, x] == 0
    own = outputs // layer.groups
    if machine.sparse_tile and schedule.format == "split":
        d, whole = machine.codeword_length, own // machine.columns * machine.columns
        own = whole + -(-(own - whole) // d) * d
    folded = schedule.shape.channels * schedule.shape.kernel[1] // (inputs * layer.groups)
    spare = layer.groups * own * inputs * ky * folded - weight.size
    return gated + oh * ow * spare


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(layer_cases(sizes=(4, 8)))
def test_gated_multiplications_equal_a_slow_count(case):
    program = lower(case.layer, case.schedule)
    run = run_program(program, token_ifmap(case.ifmap, case.layer, program, case.zero_point))
    assert run.counters["gated"] == slow_gated(case.layer, case.ifmap, case.zero_point, case.schedule)


@pytest.mark.parametrize(
    ("name", "form", "fields"),
    [
        ("ews-8", "dense", {}),
        ("ews-cms-16", "mvq", {}),  # 4:16
        ("ews-cms-16", "split", {}),
        ("ews-cm-16", "mvq", {}),  # the masked weights are stored, as zeros
        ("ews-c-16", "vq", {}),
        ("ssvq-16", "ssvq", {}),
        ("rom-16", "rom", {}),
        ("ews-8", "block", {"groups": 16}),
        ("ews-cms-16", "block", {"groups": 16}),
        ("ews-8", "dense", {"dilation": (2, 2)}),
    ],
)
def test_each_format(name, form, fields):
    machine = accelerator.preset(name)
    rng = np.random.default_rng(8)
    shape = ConvShape("layer", 16, 32, (3, 3), padding=(2, 2), size=(5, 5), **fields)
    layer = random_conv(rng, machine, form, shape)
    k = len(layer.weight.codebook) if isinstance(layer.weight, CodebookWeight) else 0
    schedule = Schedule(machine, shape, form, k, D=2, tile_rows=shape.out_h)
    ifmap = rng.integers(-3, 4, (1, 16, 5, 5)).astype(np.int8)
    program = lower(layer, schedule)
    for zero_point in (0, 3):
        run = run_program(program, token_ifmap(ifmap, layer, program, zero_point))
        expected = slow_gated(layer, ifmap, zero_point, schedule)
        assert 0 < run.counters["gated"] == expected < run.counters["mac"]


def test_extremes():
    """Zero ifmaps gate everything, a machine of kept and non-zero operands nothing."""
    machine = accelerator.preset("ews-cms-16")
    net = small_network(d=16, keep=4, size=5)
    layer, shape = net.layers[1], net.shapes[1]
    layer.weight.codebook[layer.weight.codebook == 0] = 1
    schedule = Schedule(machine, shape, "mvq", 5, tile_rows=5)
    program = lower(layer, schedule)
    for value, share in ((0, 1), (7, 0)):
        ifmap = np.full((1, 16, 5, 5), value, np.int8)
        run = run_program(program, token_ifmap(ifmap, layer, program, value))
        assert run.counters["gated"] == share * run.counters["mac"]


def test_a_simulation_reports_the_first_image():
    machine, net = accelerator.preset("ews-8"), small_network(d=8, size=6)
    images = np.zeros((2, 1, 6, 6), np.int8)
    images[1] = 5
    found = [simulate(net, machine, images[n:]).layers[0] for n in (0, 1)]
    assert found[0].gated == found[0].accesses["mac"]
    assert found[1].gated < found[1].accesses["mac"]
