"""Random layers on random machines, and a reference that shares nothing with the engine."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from sim import accelerator
from sim.errors import InputError
from sim.network import CodebookWeight, Conv, DenseWeight
from sim.schedule import Schedule, fold
from sim.shapes import ConvShape

FAMILIES = ("ws", "ews", "ews-c", "ews-cm", "ews-cms", "ws-cms")
NATIVE = {"dense": (), "codebook": ("vq",), "masked": ("mvq",)}


@dataclass(frozen=True)
class Case:
    """One layer, its ifmap, one schedule."""

    layer: Conv
    zero_point: int
    ifmap: np.ndarray
    shape: ConvShape
    schedule: Schedule


@st.composite
def layer_cases(draw, sizes=(4, 8, 16)) -> Case:
    """A legal case; every dimension can leave a tail, every resource can be the bottleneck."""
    size = st.sampled_from(sizes)
    machine = accelerator.load(
        f"{draw(st.sampled_from(FAMILIES))}-{draw(size)}x{draw(size)}",
        {"weight_port_bits": draw(st.sampled_from([64, 128, 256])),
         "psum_banks": draw(st.integers(1, 8)), "ifmap_banks": draw(st.integers(1, 2)),
         "requant_lanes": draw(st.sampled_from([1, 3, 16]))},
    )
    formats = ("split" if machine.sparse_tile else "dense", *NATIVE[machine.loader])
    form = draw(st.sampled_from(formats))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    height, width = draw(st.tuples(st.integers(kernel[0], 9), st.integers(kernel[1], 9)))
    channels = draw(st.integers(1, 3 * machine.rows))
    outputs = draw(st.integers(1, 3 * machine.columns))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    layer = random_conv(rng, machine, form, outputs, channels, kernel, stride, padding)
    shape = ConvShape("layer", channels, layer.weight.shape[0], kernel, stride, padding,
                      (height, width), draw(st.sampled_from(["", "sum"])))
    folded = fold(shape, machine, form) if draw(st.booleans()) else shape
    one = machine.dataflow == "ws"
    factor = st.just(1) if one else st.integers(1, 4)
    codewords = layer.weight.codebook.shape[0] if form in ("vq", "mvq") else 0
    try:
        schedule = Schedule(machine, folded, form, codewords, draw(factor), draw(factor),
                            draw(factor), draw(st.booleans()), draw(st.integers(1, folded.out_h)))
    except InputError:
        assume(False)
    ifmap = rng.integers(-128, 128, (1, channels, height, width)).astype(np.int8)
    return Case(layer, draw(st.integers(-128, 127)), ifmap, shape, schedule)


def random_conv(rng, machine, form, outputs, channels, kernel, stride, padding) -> Conv:
    """A convolution with random weights in the given stream format, extremes included."""
    if form in ("vq", "mvq"):
        d = machine.codeword_length
        k = int(rng.integers(2, machine.codebook_entries + 1 if machine.columns < 16 else 20))
        grid = (-(-outputs // d), channels, *kernel)
        codebook = rng.choice([-128, -1, 0, 1, 127, *rng.integers(-128, 128, 3)], (k, d))
        assignments = rng.integers(0, k, grid).astype(np.uint16)
        codes, pattern = None, (0, 0)
        if form == "mvq":
            pattern = machine.keep, machine.group
            legal = comb(machine.group, machine.keep)
            codes = rng.integers(0, legal, (*grid, d // machine.group)).astype(np.uint16)
        weight = CodebookWeight(codebook.astype(np.int8), assignments, codes, *pattern)
    else:
        weight = DenseWeight(rng.integers(-128, 128, (outputs, channels, *kernel)).astype(np.int8))
    bias = np.zeros(weight.shape[0], np.int32)
    return Conv("layer", "input", weight, bias, stride, padding)


def slow_decode(weight) -> np.ndarray:
    """int64 [K, C, Ky, Kx], one record at a time, masks from a sorted list of all subsets."""
    if isinstance(weight, DenseWeight):
        return weight.values.astype(np.int64)
    d = weight.codebook.shape[1]
    out = np.zeros(weight.shape, np.int64)
    legal = sorted(combinations(range(weight.group), weight.keep),
                   key=lambda c: sum(2**p for p in c)) if weight.group else []
    for g, c, y, x in np.ndindex(*weight.assignments.shape):
        codeword = weight.codebook[weight.assignments[g, c, y, x]]
        for e in range(d):
            if weight.group:
                code = weight.mask_codes[g, c, y, x, e // weight.group]
                if e % weight.group not in legal[code]:
                    continue
            out[g * d + e, c, y, x] = codeword[e]
    return out


def slow_convolution(ifmap: np.ndarray, layer: Conv, zero_point: int) -> np.ndarray:
    """int64 [batch, K, OH, OW]; one tap at a time over an explicitly padded ifmap."""
    weight = slow_decode(layer.weight)
    (py, px), (sy, sx) = layer.padding, layer.stride
    batch, c, h, w = ifmap.shape
    x = np.full((batch, c, h + 2 * py, w + 2 * px), zero_point, np.int64)
    x[:, :, py : py + h, px : px + w] = ifmap
    oh = (x.shape[2] - weight.shape[2]) // sy + 1
    ow = (x.shape[3] - weight.shape[3]) // sx + 1
    out = np.zeros((batch, weight.shape[0], oh, ow), np.int64)
    for y in range(weight.shape[2]):
        for z in range(weight.shape[3]):
            window = x[:, :, y : y + sy * (oh - 1) + 1 : sy, z : z + sx * (ow - 1) + 1 : sx]
            out += np.einsum("bchw,kc->bkhw", window, weight[:, :, y, z])
    return out
