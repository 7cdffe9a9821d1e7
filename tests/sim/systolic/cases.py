"""Random layers on random machines, and a reference that shares nothing with the engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from sim import accelerator
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.formats import FORMATS
from sim.network import WEIGHTS, AqlmWeight, CodebookWeight, Conv, DenseWeight, TernaryWeight
from sim.shapes import Axis, ConvShape, PassShape, rides
from sim.systolic.folding import ways
from sim.systolic.results import Handover
from sim.systolic.schedule import Schedule, spills
from sim.systolic.streams import dense_format

FAMILIES = ("ws", "ews", "ews-c", "ews-cm", "ews-cms", "ws-cms", "ssvq", "rom")
NARROW = ("int4-g32", "int2-g64", "mxint8", "ternary", "aqlm")
"""Families of the other formats: one, three and one wide row of scales, digits, two codebooks."""
CODED = ("vq", "mvq", "ssvq", "rom")


@dataclass(frozen=True)
class Case:
    """One layer, its ifmap, one schedule, and what the layer before left."""

    layer: Conv
    zero_point: int
    ifmap: np.ndarray
    shape: ConvShape
    schedule: Schedule
    found: Handover


@st.composite
def machines(draw, families=FAMILIES + NARROW, sizes=(4, 8, 16)) -> Accelerator:
    """Any family, square or not; every resource can be the bottleneck."""
    size = st.sampled_from(sizes)
    return accelerator.load(
        f"{draw(st.sampled_from(families))}-{draw(size)}x{draw(size)}",
        {
            "weight_port_bits": draw(st.sampled_from([64, 128, 256])),
            "psum_banks": draw(st.integers(1, 8)),
            "ifmap_banks": draw(st.integers(1, 2)),
            "requant_lanes": draw(st.sampled_from([1, 3, 16])),
            "psum_ports": draw(st.integers(1, 2)),
            "edge_registers": draw(st.booleans()),
            "l1_bytes": draw(st.sampled_from([2048, 4096, 1 << 17])),
            "l2_bytes": draw(st.sampled_from([1024, 8192, 1 << 20])),
            "dma_bits": draw(st.sampled_from([8, 64, 256])),
            "dma_setup": draw(st.integers(0, 9)),
            "dma_burst_gap": draw(st.integers(0, 2)),
            "dram_bits": draw(st.sampled_from([8, 64, 512])),
            "dram_latency": draw(st.integers(0, 120)),
            "dram_row_bytes": draw(st.sampled_from([64, 2048])),
            "rom_banks": draw(st.sampled_from([1, 2, 5, 64])),
            "rom_ports": draw(st.sampled_from([1, 64])),
            "scale_group": draw(st.sampled_from([1, 2, 6, 32])),
        },
    )


@st.composite
def layer_cases(draw, families=FAMILIES + NARROW, sizes=(4, 8, 16)) -> Case:
    """A legal case; every dimension can leave a tail, groups and dilation included."""
    machine = draw(machines(families, sizes))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2), (2, 3)]))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    height, width = draw(st.tuples(*(st.integers(n, n + 7) for n in reach)))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 9]))
    channels = groups * draw(st.integers(1, max(1, 3 * machine.rows // groups)))
    outputs = groups * draw(st.integers(1, max(1, 3 * machine.columns // groups)))
    coded = machine.coded and draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if coded:
        outputs = groups * -(-outputs // groups // machine.codeword_length) * machine.codeword_length
    residual = draw(st.sampled_from(["", "sum"]))
    shape = ConvShape(
        "layer",
        channels,
        outputs,
        kernel,
        stride,
        padding,
        (height, width),
        residual,
        dilation,
        groups,
        not coded and draw(st.booleans()),
        wide=not residual and draw(st.booleans()),
    )
    pools = pool_axes(shape)
    if pools and draw(st.booleans()):
        shape = replace(shape, pool=draw(st.sampled_from(pools)))
    form = machine.format if coded else dense_format(shape, machine)
    layer = random_conv(rng, machine, form, shape)
    seen = draw(st.sampled_from(ways(shape, machine, form)))
    factor = st.just(1) if machine.dataflow == "ws" else st.integers(1, 4)
    codewords = len(layer.weight.codebook) if coded and machine.weights.books else 0
    source = "dram" if spills(seen, machine) else draw(st.sampled_from(["l1", "l2", "dram"]))
    try:
        schedule = Schedule(
            machine,
            seen,
            form,
            codewords,
            1 if seen.pool else draw(factor),
            draw(factor),
            draw(factor),
            draw(st.booleans()),
            draw(st.integers(1, seen.out_h)),
            draw(st.booleans()),
            draw(st.booleans()),
            source,
            strip_columns=0 if source == "l1" else draw(st.integers(0, seen.out_w)),
        )
    except InputError:
        assume(False)
    ifmap = rng.integers(-128, 128, (1, channels, height, width)).astype(np.int8)
    ifmap[rng.random(ifmap.shape) < 0.2] = 0
    return Case(layer, draw(st.integers(-128, 127)), ifmap, shape, schedule, draw(handovers()))


def pool_axes(shape: ConvShape) -> list[Axis]:
    """Windows along y that the storer may follow."""
    axes = (
        Axis(shape.out_h, reach, stride, padding)
        for stride in range(1, 5)
        for reach in (stride, stride + 1)
        for padding in range(reach // 2 + 1)
    )
    alone = PassShape("pool", "pool", 1, 1, 1)
    return [y for y in axes if rides((shape, replace(alone, windows=(y, y))), 1)]


@st.composite
def handovers(draw) -> Handover:
    """What some layer before may have left."""
    written = -draw(st.integers(1, 300))
    before = written - draw(st.integers(1, 300))
    return Handover(
        written,
        before,
        max(written + 1, -draw(st.integers(0, 300))),
        max(written + 1, -draw(st.integers(0, 300))),
        max(before + 1, -draw(st.integers(0, 300))),
    )


def random_conv(rng, machine, form, shape) -> Conv:
    """A convolution with random weights in the given stream format, extremes included."""
    inputs = shape.channels // shape.groups
    if form in CODED:
        d = machine.codeword_length
        k = int(rng.integers(2, min(machine.codebook_entries + 1, 40)))
        grid = (shape.outputs // d, inputs, *shape.kernel)
        codebook = rng.choice([-128, -1, 0, 1, 127, *rng.integers(-128, 128, 3)], (k, d))
        assignments = rng.integers(0, k, grid).astype(np.uint16)
        codes, pattern, signs = None, (0, 0), None
        if form == "mvq":
            pattern = machine.keep, machine.group
            legal = comb(machine.group, machine.keep)
            codes = rng.integers(0, legal, (*grid, d // machine.group)).astype(np.uint16)
        if form == "ssvq":
            codebook = np.abs(codebook).clip(0, 127)
            signs = rng.integers(0, 1 << d, grid).astype(np.uint16)
        weight = CodebookWeight(codebook.astype(np.int8), assignments, codes, *pattern, signs=signs)
    elif form in FORMATS and form != "dense":
        weight = random_narrow(rng, machine, form, (shape.outputs, inputs, *shape.kernel))
    else:
        weight = DenseWeight(rng.integers(-128, 128, (shape.outputs, inputs, *shape.kernel)).astype(np.int8))
    bias = np.zeros(weight.shape[0], np.int32)
    return Conv(
        "layer",
        "input",
        weight,
        bias,
        shape.stride,
        shape.padding,
        groups=shape.groups,
        dilation=shape.dilation,
    )


def random_narrow(rng, machine, form, shape):
    """A weight of the other formats; of group scales, groups as the machine has them or whole multiples."""
    if form == "ternary":
        return TernaryWeight(rng.integers(-1, 2, shape).astype(np.int8))
    if form == "aqlm":
        k, d = int(rng.integers(1, min(machine.codebook_entries // 2 + 1, 20))), machine.codeword_length
        grid = (shape[0] // d, *shape[1:], 2)
        codebooks = rng.choice([-64, -1, 0, 63, *rng.integers(-64, 64, 3)], (2, k, d)).astype(np.int8)
        return AqlmWeight(codebooks, rng.integers(0, k, grid).astype(np.uint16))
    kind, group = WEIGHTS[form], machine.scale_group * int(rng.integers(1, 3))
    (low, high), (least, most) = kind.bounds, kind.scale_bounds
    elements = rng.choice([low, high, *rng.integers(low, high + 1, 4)], shape).astype(kind.dtype)
    scales = rng.choice(
        [least, most, *rng.integers(least, most + 1, 4)], (shape[0], -(-shape[1] // group), *shape[2:])
    )
    return kind(elements, scales.astype(np.uint8), group)


def slow_narrow(weight, output: int, channel: int, y: int, x: int) -> int:
    """One weight of the other formats."""
    if isinstance(weight, TernaryWeight):
        return int(weight.values[output, channel, y, x])
    if isinstance(weight, AqlmWeight):
        record, element = divmod(output, weight.codebooks.shape[2])
        pair = weight.assignments[record, channel, y, x]
        return sum(int(weight.codebooks[n, pair[n], element]) for n in range(2))
    element = int(weight.elements[output, channel, y, x])
    scale = int(weight.scales[output, channel // weight.group, y, x])
    if weight.format == "mxint8":
        return (element + (2**scale // 2)) // 2**scale
    if "fp4" in weight.format:
        sign, exponent, mantissa = element // 8, element // 2 % 4, element % 2
        element = (-1) ** sign * (mantissa if exponent == 0 else (2 + mantissa) * 2 ** (exponent - 1))
    return element * 2**scale if weight.format == "mxfp4" else element * scale


def slow_decode(weight) -> np.ndarray:
    """int64 [K, C, Ky, Kx], one record at a time, masks from a sorted list of all subsets."""
    if isinstance(weight, DenseWeight):
        return weight.values.astype(np.int64)
    if not isinstance(weight, CodebookWeight):
        places = np.ndindex(*weight.shape)
        return np.array([slow_narrow(weight, *place) for place in places]).reshape(weight.shape)
    d = weight.codebook.shape[1]
    out = np.zeros(weight.shape, np.int64)
    legal = (
        sorted(combinations(range(weight.group), weight.keep), key=lambda c: sum(2**p for p in c))
        if weight.group
        else []
    )
    for g, c, y, x in np.ndindex(*weight.assignments.shape):
        codeword = weight.codebook[weight.assignments[g, c, y, x]]
        for e in range(d):
            if weight.group:
                code = weight.mask_codes[g, c, y, x, e // weight.group]
                if e % weight.group not in legal[code]:
                    continue
            value = int(codeword[e])
            if weight.signs is not None and weight.signs[g, c, y, x] // 2**e % 2:
                value = -value
            out[g * d + e, c, y, x] = value
    return out


def slow_convolution(ifmap: np.ndarray, layer: Conv, zero_point: int) -> np.ndarray:
    """int64 [batch, K, OH, OW]; one tap at a time over an explicitly padded ifmap."""
    weight = slow_decode(layer.weight)
    (py, px), (sy, sx), (dy, dx) = layer.padding, layer.stride, layer.dilation
    batch, c, h, w = ifmap.shape
    x = np.full((batch, c, h + 2 * py, w + 2 * px), zero_point, np.int64)
    x[:, :, py : py + h, px : px + w] = ifmap
    oh = (x.shape[2] - (weight.shape[2] - 1) * dy - 1) // sy + 1
    ow = (x.shape[3] - (weight.shape[3] - 1) * dx - 1) // sx + 1
    out = np.zeros((batch, weight.shape[0], oh, ow), np.int64)
    inputs, outputs = weight.shape[1], weight.shape[0] // layer.groups
    for g in range(layer.groups):
        mine, own = slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)
        for y in range(weight.shape[2]):
            for z in range(weight.shape[3]):
                window = x[
                    :,
                    mine,
                    y * dy : y * dy + sy * (oh - 1) + 1 : sy,
                    z * dx : z * dx + sx * (ow - 1) + 1 : sx,
                ]
                out[:, own] += np.einsum("bchw,kc->bkhw", window, weight[own, :, y, z])
    return out
