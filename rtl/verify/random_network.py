"""Random small networks, with a random schedule of each layer, that meet every corner of the hardware."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rtl.compiler import Image, compile
from rtl.verify.random_weight import random_codebook, random_weight
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.formats import stream
from sim.network import Add, AveragePool, Conv, Network, Pool, Requantization, TensorSpec
from sim.network.layers import Map
from sim.shapes import ConvShape, PassShape, rides
from sim.systolic.folding import ways
from sim.systolic.plan import riders
from sim.systolic.schedule import Schedule, Source, least_rows, spills
from sim.systolic.streams import stream_format

ATTEMPTS = 1000


@dataclass(frozen=True, eq=False)
class Case:
    """A network with its schedules, its memory and an input.

    Attributes:
        plans: how each of `network.shapes` runs.
        images: int8 [1, C, H, W].
    """

    network: Network
    plans: tuple[Schedule | Source, ...]
    image: Image
    images: np.ndarray


def random_case(accelerator: Accelerator, seed: int, l2_holds_all: bool = False) -> Case:
    """A case; the same for the same seed.

    Args:
        l2_holds_all: no packet of its image waits for DRAM.

    Raises:
        InputError: a machine that the hardware cannot be.
    """
    rng = np.random.default_rng(seed)
    problem: InputError | None = None
    for _ in range(ATTEMPTS):
        try:
            network = _network(accelerator, rng)
            plans = _plans(accelerator, network, rng)
            image = compile(network, accelerator, plans=plans, l2_holds_all=l2_holds_all)
        except InputError as error:  # what does not fit; draw again
            problem = error
            continue
        if not image.warnings:
            images = rng.integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
            images[rng.random(images.shape) < 0.2] = -128
            return _in_strips(Case(network, tuple(plans), image, images), rng, l2_holds_all)
    assert problem is not None
    raise problem


def _in_strips(case: Case, rng: np.random.Generator, l2_holds_all: bool) -> Case:
    """The case with some maps, but none that stays in L1, cut into strips of columns; else as it was."""
    sources = [how.source if isinstance(how, Schedule) else how for how in case.plans]
    plans = list(case.plans)
    for n, (how, source, following) in enumerate(zip(case.plans, sources, [*sources[1:], "l2"], strict=True)):
        if isinstance(how, Schedule) and "l1" not in (source, following) and rng.random() < 0.5:
            plans[n] = replace(how, strip_columns=int(rng.integers(1, max(2, how.shape.out_w))))
    try:
        image = compile(case.network, case.image.accelerator, plans=plans, l2_holds_all=l2_holds_all)
    except InputError:
        return case
    return case if image.warnings else replace(case, plans=tuple(plans), image=image)


# ---- networks


def _network(acc: Accelerator, rng: np.random.Generator) -> Network:
    """One to four convolutions, some with an addition or a pool behind; a last one may emit 32 bits."""
    channels = int(rng.integers(1, 2 * acc.rows + 2))
    residual = rng.random() < 0.5  # most convolutions keep their map's shape, and an addition rides on them
    if residual and rng.random() < 0.7:
        channels = -(-channels // acc.columns) * acc.columns
    spec = TensorSpec((channels, *_pair(rng, (1, 1), (9, 9))), zero_point=int(rng.integers(-128, 128)))
    layers: list[Conv | Add | Pool | AveragePool] = []
    maps: dict[str, Map] = {"input": spec.shape}
    rom = random_codebook(acc, rng)
    count = int(rng.integers(1, 5))
    for n in range(count):
        name, last = f"conv{n}", n == count - 1
        source = list(maps)[-1] if rng.random() < 0.8 else str(rng.choice(list(maps)))
        wide = last and rng.random() < 0.3
        alike = rng.random() < (0.9 if residual else 0.4)
        convs = _conv(acc, rng, name, source, maps[source], alike, wide, rom)
        layers.append(convs)
        written = convs.ofmap(maps[source])
        same = [other for other, shape in maps.items() if shape == written]
        if same and not wide and rng.random() < 0.8:
            pair = (name, str(rng.choice(same)))
            layers.append(_add(rng, f"add{n}", pair if rng.random() < 0.5 else pair[::-1]))
            name = f"add{n}"
        maps[name] = written
        if not wide and rng.random() < 0.3:
            pool = _pool(rng, f"pool{n}", name, written, layers[-1].zero_point)
            layers.append(pool)
            maps[pool.name] = pool.ofmap(written)
    return Network("random", spec, tuple(layers))


def _conv(
    acc: Accelerator,
    rng: np.random.Generator,
    name: str,
    source: str,
    ifmap: Map,
    alike: bool,
    wide: bool,
    rom: np.ndarray,
) -> Conv:
    """`alike`: its map has the shape of its input, unless codewords make it larger."""
    channels = ifmap[0]
    kernel, stride = _pair(rng, (1, 1), (4, 4)), _pair(rng, (1, 1), (3, 3))
    padding = _pair(rng, (0, 0), kernel)
    if alike:
        kernel, stride = (int(rng.choice([1, 3])), int(rng.choice([1, 3]))), (1, 1)
        padding = (kernel[0] // 2, kernel[1] // 2)
        outputs = channels
    else:
        outputs = int(rng.integers(1, 2 * acc.columns + 2))
        if rng.random() < 0.4:
            outputs = acc.columns * int(rng.integers(1, 6))
    groups, dilation = 1, (1, 1)
    if rng.random() < 0.25:
        dilation = _pair(rng, (1, 1), (3, 3))
    native = acc.coded and rng.random() < 0.6
    if rng.random() < 0.25:
        native = False
        divisors = [n for n in range(2, channels + 1) if channels % n == 0]
        if divisors:
            groups = int(rng.choice(divisors))
            if channels // groups % 4 == 0:  # where L1 can run them one group each
                outputs = channels if alike else 4 * groups * int(rng.integers(1, 3))
            else:
                outputs = channels if alike else groups * int(rng.integers(1, 4))
    weight = random_weight(acc, rng, native, outputs, channels // groups, kernel, rom)
    if wide:
        requantization = None
    else:
        requantization = _requantization(rng, weight.shape[0], channels // groups * kernel[0] * kernel[1])
    bias = rng.integers(-(2**12), 2**12, weight.shape[0]).astype(np.int32)
    return Conv(name, source, weight, bias, stride, padding, requantization, groups, dilation)


def _requantization(rng: np.random.Generator, outputs: int, terms: int) -> Requantization:
    """Multipliers that spread the sums over INT8, saturate them, or, as powers of two, meet ties."""
    spread = 128 * 74 * np.sqrt(terms)
    multiplier = rng.integers(1, 1 << 16, outputs)
    powers = rng.random(outputs) < 0.3
    multiplier = np.where(powers, 1 << rng.integers(0, 4, outputs), multiplier)
    target = rng.choice([10, 60, 300, 30000], outputs, p=[0.2, 0.5, 0.2, 0.1])
    shift = np.rint(np.log2(multiplier * spread / target)).clip(1, 47)
    zero = int(rng.integers(-128, 128)) if rng.random() < 0.7 else 0
    low, high = _clamp(rng, zero)
    return Requantization(multiplier.astype(np.uint16), shift.astype(np.uint8), zero, low, high)


def _clamp(rng: np.random.Generator, zero: int) -> tuple[int, int]:
    """All of INT8, what ReLU leaves, or something in between."""
    kind = rng.random()
    if kind < 0.4:
        return -128, 127
    if kind < 0.8:
        return zero, 127
    low, high = sorted(rng.integers(-128, 128, 2).tolist())
    return low, high


def _add(rng: np.random.Generator, name: str, inputs: tuple[str, str]) -> Add:
    """Multipliers that let sums fill INT8 or saturate it, small ones that meet ties; or few values about the limits."""
    zero = int(rng.integers(-128, 128))
    own, other = rng.integers(1, 1 << 16, 2).tolist()
    kind = rng.random()
    if kind < 0.3:
        own, other = rng.integers(1, 4, 2).tolist()
    elif kind < 0.5:
        own, other = rng.choice([1, 1 << 15, (1 << 16) - 1], 2).tolist()
    few = rng.random() < 0.4
    wider = rng.integers(3, 7) if few else rng.choice([-2, 0, 1, 2])
    shift = int(np.clip(np.rint(np.log2(own + other)) + wider, 1, 47))
    below, above = rng.integers(0, 4, 2).tolist()
    low, high = (max(-128, zero - below), min(127, zero + above)) if few else _clamp(rng, zero)
    return Add(name, inputs, (own, other), shift, zero, low, high)


def _pool(rng: np.random.Generator, name: str, source: str, ifmap: Map, zero: int) -> Pool | AveragePool:
    if rng.random() < 0.5:
        multiplier = int(rng.integers(1, 1 << 16))
        shift = int(np.clip(np.rint(np.log2(multiplier * ifmap[1] * ifmap[2])), 1, 47))
        own = int(rng.integers(-128, 128))
        return AveragePool(name, source, multiplier, shift, own, *_clamp(rng, own))
    kernel = (min(ifmap[1], int(rng.integers(1, 4))), min(ifmap[2], int(rng.integers(1, 4))))
    padding = (int(rng.integers(0, kernel[0] // 2 + 1)), int(rng.integers(0, kernel[1] // 2 + 1)))
    return Pool(name, source, "max", kernel, _pair(rng, (1, 1), (3, 3)), padding, zero_point=zero)


# ---- schedules


def _plans(acc: Accelerator, network: Network, rng: np.random.Generator) -> list[Schedule | Source]:
    """A random legal way to run each layer; where the ifmap stayed in L1 it is mostly used there."""
    plans: list[Schedule | Source] = []
    left = 0
    riding = [n for n in range(len(network.shapes)) if rides(network.shapes, n) and rng.random() < 0.7]
    for n, shape in enumerate(riders(network.shapes, riding)):
        stays = shape.chained and 0 < left <= acc.ofmap_bytes and n > 0
        if isinstance(shape, PassShape):
            plans.append("l1" if stays else "l2")
        else:
            layer = network[shape.name]
            assert isinstance(layer, Conv)
            plans.append(_schedule(acc, layer, shape, rng, n == 0, bool(stays and rng.random() < 0.8)))
        left = shape.ofmap_bytes
    return plans


def _schedule(
    acc: Accelerator, layer: Conv, shape: ConvShape, rng: np.random.Generator, first: bool, resident: bool
) -> Schedule:
    form, codewords = stream_format(layer.weight, acc, shape)
    seen = shape
    if first and rng.random() < 0.5:
        seen = ways(shape, acc, form)[-1]
    overlap = bool(rng.random() < 0.7)
    factors = (
        _factors(acc, rng, form, overlap) if not stream(form).diagonal else (1, 1, int(rng.integers(1, 3)))
    )
    source: Source = "l1" if resident else "l2"
    if (first and rng.random() < 0.7) or spills(shape, acc):
        source = "dram"
    # The layer's own part of the shape; names do not matter to a schedule.
    seen = replace(seen, name="", residual="residual" if seen.residual else "", chained=True)
    least = 1
    if seen.pool:
        factors, least = (1, *factors[1:]), min(least_rows(seen.pool), seen.out_h)
    rows = seen.out_h if source == "l1" else int(rng.integers(least, seen.out_h + 1))
    outer, split = bool(rng.random() < 0.7), bool(rng.random() < 0.7)
    if seen.pool and rows < seen.out_h and -(-seen.outputs // seen.groups // acc.columns) > 1:
        outer = True
    schedule = Schedule(
        acc, seen, form, codewords, *factors, overlap, rows, outer and seen.pool is not None, source=source
    )
    outer &= schedule.tiles > 1 and schedule.trips[0] > 1
    split &= schedule.trips[1] > 1 and source != "l1"
    return replace(schedule, outputs_outer=outer, split_channels=split)


def _factors(acc: Accelerator, rng: np.random.Generator, form: str, overlap: bool) -> tuple[int, int, int]:
    """A, B and D that a WRF bank holds."""
    if acc.dataflow == "ws":
        return 1, 1, 1
    bank = acc.wrf_depth // 2 if overlap else acc.wrf_depth
    limit = max(1, bank // stream(form).parts(acc))
    A = int(rng.integers(1, min(4, limit) + 1))
    B = int(rng.integers(1, min(3, limit // A) + 1))
    return A, B, int(rng.integers(1, limit // (A * B) + 1))


def _pair(rng: np.random.Generator, low: tuple[int, int], high: tuple[int, int]) -> tuple[int, int]:
    y, x = rng.integers(low, high)
    return int(y), int(x)
