"""A network with one of each kind of layer, and their definitions, one Python integer at a time."""

from __future__ import annotations

from math import isqrt

import numpy as np

from sim.network import (
    Add,
    AveragePool,
    CodebookWeight,
    Concat,
    Constant,
    Conv,
    LayerNorm,
    MatMul,
    Multiply,
    Network,
    Pool,
    Rearrange,
    Reshape,
    Scan,
    Softmax,
    Table,
    TensorSpec,
    Upsample,
    exponent_table,
)
from tests.sim.network.networks import Layers, masked_weight, signed_weight
from tests.sim.systolic.cases import slow_decode


def _convolutional(net: Layers, pair: list[tuple[int, int]]) -> None:
    """From the input's 2 channels to `join` of 8; `pair` holds a dilation and strides."""
    rng = net.rng
    magnitudes = rng.integers(0, 128, (6, 4)).astype(np.int8)
    net.conv("stem", "input", net.dense(4, 2, 3, 3), table=True, padding=(1, 1))
    net.conv(
        "depthwise", "stem", net.dense(4, 1, 3, 2), groups=4, dilation=pair[0], padding=(2, 2), stride=pair[1]
    )
    net.conv("grouped", "depthwise", signed_weight(rng, magnitudes, 4, 2, 1), groups=2)
    kernel, padding = (3, 2), (1, int(rng.integers(0, 2)))
    net.add(
        Pool(
            "max",
            "grouped",
            "max",
            kernel,
            pair[2],
            padding,
            zero_point=net.zeros["grouped"],
            low=-90,
            high=100,
        )
    )
    net.add(
        Pool("average", "grouped", "average", kernel, pair[2], padding, **net.scale(1 / 5), **net.output())
    )
    net.add(Concat("both", ("max", "average"), (40000, 20000), 16, **net.output()))
    net.add(Upsample("up", "both", pair[3], net.zeros["both"]))
    net.add(AveragePool("squeeze", "up", **net.scale(1 / 20), **net.output()))
    net.table("excite", "squeeze")
    net.add(Multiply("scaled", ("up", "excite"), **net.scale(1 / 90), **net.output()))
    net.table("gate", "scaled")
    net.add(Multiply("gated", ("scaled", "gate"), **net.scale(1 / 70), **net.output()))
    net.add(Add("join", ("gated", "up"), (30000, 35000), 15, **net.output()))


def _movement(net: Layers, h: int, w: int) -> None:
    """From `join` to `standard`, both (8, h, w)."""
    rng = net.rng
    place = rng.integers(-128, 128, (8, 1, w)).astype(np.int8)
    net.add(Constant("place", place, int(rng.integers(-128, 128))))
    net.add(Add("placed", ("join", "place"), (40000, 9000), 15, **net.output()))
    net.add(Concat("beside", ("placed", "join"), (40000, 65535), 16, 2, **net.output()))
    ends = [[int(n) for n in rng.integers(0, min(size, 3), 2)] for size in (8, h, 2 * w)]
    tall, wide = h + sum(ends[1]), 2 * w + sum(ends[2])
    first = [int(rng.integers(0, sum(pair) + 1)) for pair in ends]
    last = (first[0] * tall + first[1] + h - 1) * wide + first[2]  # rows from the last to the first
    net.add(
        Rearrange(
            "moved",
            "beside",
            (8, h, w),
            (h, 8, w),
            (-wide, tall * wide, 2),
            last,
            padding=((ends[0][0], ends[0][1]), (ends[1][0], ends[1][1]), (ends[2][0], ends[2][1])),
            mode=str(rng.choice(["zero", "edge", "reflect", "wrap"])),
            zero_point=net.zeros["beside"],
        )
    )
    net.norm("standard", "moved", 8, rms=False, groups=2, spatial=True, count=4 * h * w)


def _attention(net: Layers, h: int, w: int, heads: int, codebook: np.ndarray) -> None:
    """From `standard` (8, h, w) to `mixed`, attention over its positions."""
    net.add(Reshape("tokens", "standard", (8, h * w, 1), net.zeros["standard"]))
    net.norm("norm", "tokens", 8, rms=False)
    net.conv("q", "norm", net.dense(8, 8, 1, 1))
    net.conv("k", "norm", masked_weight(net.rng, codebook, 8, 8, 2, 4, 1))
    net.conv("v", "norm", net.dense(8, 8, 1, 1))
    net.add(Concat("keys", ("k", "tokens"), (50000, 65535), 16, 1, **net.output()))
    net.add(Concat("values", ("v", "tokens"), (50000, 65535), 16, 1, **net.output()))
    net.add(MatMul("scores", ("q", "keys"), heads, True, **net.scale(1 / 200), **net.output()))
    masks = net.rng.random((int(net.rng.choice([1, heads])), 2 * h * w, h * w, 1)) < 0.7
    masks[:, h * w // 2] = True
    mask = masks.astype(np.uint8) if net.rng.random() < 0.5 else None
    zero = int(net.rng.choice([-128, -128, 0, 7]))
    net.add(
        Softmax(
            "weights",
            "scores",
            exponent_table(1 / 40),
            heads,
            zero,
            shift=int(net.rng.integers(28, 34)),
            mask=mask,
        )
    )
    net.add(MatMul("mixed", ("weights", "values"), heads, False, **net.scale(1 / 300), **net.output()))


def _selective_scan(net: Layers) -> None:
    """From `mixed` and `norm` to `scan`."""
    rng = net.rng
    net.conv("delta", "norm", net.dense(8, 8, 1, 1))
    net.conv("inward", "norm", net.dense(3, 8, 1, 1))
    net.conv("outward", "norm", net.dense(3, 8, 1, 1))
    net.add(
        Scan(
            "scan",
            ("mixed", "delta", "inward", "outward"),
            rng.integers(0, 65536, (8, 3)).astype(np.uint16),
            exponent_table(1 / 64),
            rng.integers(-(2**15), 2**15, 8).astype(np.int32),
            int(rng.integers(14, 18)),
            40000,
            22,
            multiplier=40000,
            shift=int(rng.integers(31, 34)),
            reverse=bool(rng.integers(0, 2)),
            **net.output(),
        )
    )


def every_layer(
    seed: int = 0, size: tuple[int, int] = (6, 5), heads: int = 2, universal: bool = False
) -> Network:
    """One of each kind: a convolutional part, then attention over its positions.

    Numbers, zero points and clamps are random; 2 input channels, 4 channels, 8 after concatenation.
    """
    rng = np.random.default_rng(seed)
    net = Layers(rng, int(rng.integers(-128, 128)))
    pair = [(int(a), int(b)) for a, b in rng.integers(1, 3, (6, 2))]
    wide = rng.integers(-128, 128, (5, 4)).astype(np.int8)
    _convolutional(net, pair)
    spec = TensorSpec((2, *size), 1 / 64, net.zeros["input"])
    _, h, w = Network("part", spec, tuple(net.layers)).maps["join"]
    _movement(net, h, w)
    _attention(net, h, w, heads, wide)
    _selective_scan(net)
    net.norm("rms", "scan", 8, rms=True, groups=2)
    assignments = rng.integers(0, 5, (1, 8, 1, 1)).astype(np.uint16)
    net.add(
        Conv(
            "fc",
            "rms",
            CodebookWeight(wide, assignments, universal=universal),
            rng.integers(-99, 99, 4).astype(np.int32),
        )
    )
    return Network("every", spec, tuple(net.layers))


WORK = {
    "max": "pool",
    "average": "pool",
    "both": "concat",
    "up": "upsample",
    "squeeze": "pool",
    "excite": "table",
    "scaled": "multiply",
    "gate": "table",
    "gated": "multiply",
    "join": "add",
    "place": "constant",
    "placed": "add",
    "beside": "concat",
    "moved": "rearrange",
    "standard": "layernorm",
    "norm": "layernorm",
    "keys": "concat",
    "values": "concat",
    "weights": "softmax",
    "rms": "rmsnorm",
    "scan": "scan",
}
"""What each layer of `every_layer` is to the vector unit, by its name: a kind of `sim.shapes.PASSES`."""


def shifted(value: int, shift: int) -> int:
    """Nearest integer to value / 2^shift, halves up."""
    return (2 * value + 2**shift) // 2 ** (shift + 1)


def slow(layer, operands, zeros, places):
    """Values of any layer at some places (c, y, x); operands object [C, H, W]."""
    if isinstance(layer, Scan):
        found = slow_scan(layer, *(v[:, :, 0] - w for v, w in zip(operands, zeros, strict=True)))
        return [found[c, y] for c, y, _ in places]
    if isinstance(layer, Conv):
        return slow_conv(layer, operands[0], zeros[0], places)
    values = (SLOW[type(layer)](layer, operands, zeros, place) for place in places)
    if isinstance(layer, Table | Upsample | Reshape | Rearrange | Constant):
        return list(values)
    return [min(max(value + layer.zero_point, layer.low), layer.high) for value in values]


def slow_pool(layer, operands, zeros, place):
    (x,), (zero,), (c, y, z) = operands, zeros, place
    rows = range(y * layer.stride[0] - layer.padding[0], x.shape[1])[: layer.kernel[0]]
    columns = range(z * layer.stride[1] - layer.padding[1], x.shape[2])[: layer.kernel[1]]
    seen = [x[c, i, j] for i in rows for j in columns if i >= 0 and j >= 0]
    if layer.mode == "max":
        return max(seen) - layer.zero_point
    return shifted(sum(v - zero for v in seen) * layer.multiplier, layer.shift)


def slow_average_pool(layer, operands, zeros, place):
    return shifted((operands[0][place[0]] - zeros[0]).sum() * layer.multiplier, layer.shift)


def slow_table(layer, operands, zeros, place):
    return int(layer.table[operands[0][place] + 128])


def slow_upsample(layer, operands, zeros, place):
    c, y, z = place
    return operands[0][c, y // layer.factor[0], z // layer.factor[1]]


def slow_reshape(layer, operands, zeros, place):
    return operands[0].ravel()[np.ravel_multi_index(place, layer.to)]


def slow_rearrange(layer, operands, zeros, place):
    (x,), index = operands, np.unravel_index(np.ravel_multi_index(place, layer.to), layer.sizes)
    padded = [n + sum(ends) for n, ends in zip(x.shape, layer.padding, strict=True)]
    where = layer.offset + sum(int(i) * s for i, s in zip(index, layer.strides, strict=True))
    source = []
    for p, (before, _), n in zip(np.unravel_index(where, padded), layer.padding, x.shape, strict=True):
        p = int(p) - before
        if layer.mode == "zero" and not 0 <= p < n:
            return zeros[0]
        mirrored = [*range(n), *range(n - 2, 0, -1)]
        source.append(
            {"edge": min(max(p, 0), n - 1), "wrap": p % n}.get(layer.mode, mirrored[p % len(mirrored)])
        )
    return x[tuple(source)]


def slow_constant(layer, operands, zeros, place):
    return int(layer.values[place])


def slow_add(layer, operands, zeros, place):
    operands = np.broadcast_arrays(*operands)
    terms = zip(operands, zeros, layer.multipliers, strict=True)
    return shifted(sum((v[place] - w) * m for v, w, m in terms), layer.shift)


def slow_multiply(layer, operands, zeros, place):
    a, b = operands[0], np.broadcast_to(operands[1], operands[0].shape)
    return shifted((a[place] - zeros[0]) * (b[place] - zeros[1]) * layer.multiplier, layer.shift)


def slow_concat(layer, operands, zeros, place):
    where, which = list(place), 0
    while where[layer.axis] >= operands[which].shape[layer.axis]:
        where[layer.axis] -= operands[which].shape[layer.axis]
        which += 1
    value = operands[which][tuple(where)] - zeros[which]
    return shifted(value * layer.multipliers[which], layer.shift)


def slow_matmul(layer, operands, zeros, place):
    (a, b), (c, y, _) = operands, place
    size = layer.ofmap(a.shape, b.shape)[0] // layer.heads
    head, terms = c // size, a.shape[0] // layer.heads
    total = 0
    for t in range(terms):
        right = b[head * terms + t, c % size, 0] if layer.transpose_b else b[c, t, 0]
        total += (a[head * terms + t, y, 0] - zeros[0]) * (right - zeros[1])
    return shifted(total * layer.multiplier, layer.shift)


def slow_softmax(layer, operands, zeros, place):
    (x,), (c, y, z) = operands, place
    n = x.shape[0] // layer.groups
    own = x[c // n * n : c // n * n + n, y, z]
    kept = [1] * n
    if layer.mask is not None:
        kept = layer.mask[c // n * len(layer.mask) // layer.groups, :, y, z].tolist()
    top = max(v for v, part in zip(own, kept, strict=True) if part)
    exponents = [part * int(layer.table[max(top - v, 0)]) for v, part in zip(own, kept, strict=True)]
    return shifted(exponents[c % n] * (2**40 // sum(exponents)), layer.shift)


def slow_layer_norm(layer, operands, zeros, place):
    c, y, z = place
    size = len(operands[0]) // layer.groups
    run = operands[0][c // size * size : c // size * size + size] - zeros[0]
    own, u = run[c % size, y, z], (run if layer.spatial else run[:, y, z]).ravel()
    count = len(u)
    total = 0 if layer.rms else u.sum()
    spread = count * (u * u).sum() - total**2
    reciprocal = 2**46 // isqrt((spread + layer.epsilon) * 2**16)
    normalized = shifted((count * own - total) * reciprocal, 26)
    return shifted(normalized * int(layer.gain[c]) + int(layer.bias[c]), layer.shift)


SLOW = {
    Pool: slow_pool,
    AveragePool: slow_average_pool,
    Table: slow_table,
    Upsample: slow_upsample,
    Reshape: slow_reshape,
    Rearrange: slow_rearrange,
    Constant: slow_constant,
    Add: slow_add,
    Multiply: slow_multiply,
    Concat: slow_concat,
    MatMul: slow_matmul,
    Softmax: slow_softmax,
    LayerNorm: slow_layer_norm,
}
"""A value before the zero point and clamp, for the kinds that have them."""


def slow_scan(layer, x, delta, b, c):
    out = np.zeros(x.shape, object)
    for k in range(x.shape[0]):
        state = [0] * b.shape[0]
        for t in sorted(range(x.shape[1]), reverse=layer.reverse):
            d = max(delta[k, t], 0)
            total = x[k, t] * int(layer.skip[k])
            for n in range(len(state)):
                index = min(shifted(d * int(layer.decay[k, n]), layer.decay_shift), 255)
                grown = shifted(state[n] * int(layer.table[index]), 16) + shifted(
                    d * x[k, t] * b[n, t] * layer.step_multiplier, layer.step_shift
                )
                state[n] = min(max(grown, -(2**31) + 1), 2**31 - 1)
                total += state[n] * c[n, t]
            value = shifted(total * layer.multiplier, layer.shift) + layer.zero_point
            out[k, t] = min(max(value, layer.low), layer.high)
    return out


def slow_conv(layer, x, zero, places):
    weight = slow_decode(layer.weight)
    outputs, channels, ky, kx = weight.shape
    out = []
    for k, oy, ox in places:
        first = k // (outputs // layer.groups) * channels
        total = int(layer.bias[k])
        for c, i, j in np.ndindex(channels, ky, kx):
            y = oy * layer.stride[0] + i * layer.dilation[0] - layer.padding[0]
            z = ox * layer.stride[1] + j * layer.dilation[1] - layer.padding[1]
            inside = 0 <= y < x.shape[1] and 0 <= z < x.shape[2]
            total += int(weight[k, c, i, j]) * (x[first + c, y, z] if inside else zero)
        if (q := layer.requantization) is not None:
            total = shifted(total * int(q.multiplier[k]), int(q.shift[k])) + q.zero_point
            total = min(max(total, q.low), q.high)
            total = total if q.table is None else int(q.table[total + 128])
        out.append(total)
    return out
