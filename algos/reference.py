"""Integer reference: runs a `Network` in PyTorch, sharing no arithmetic with `sim`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.data.fashion_mnist import Images
from sim.network import (
    Add,
    AqlmWeight,
    AveragePool,
    CodebookWeight,
    Concat,
    Constant,
    Conv,
    Layer,
    LayerNorm,
    MatMul,
    Multiply,
    Mxfp4Weight,
    Mxint8Weight,
    Network,
    Nvfp4Weight,
    Pool,
    Rearrange,
    Reshape,
    ScaledWeight,
    Scan,
    Softmax,
    Table,
    Upsample,
    by_kind,
)
from sim.steps import steps


class Output(Protocol):
    """Zero point and clamp of an INT8 output."""

    @property
    def zero_point(self) -> int: ...
    @property
    def low(self) -> int: ...
    @property
    def high(self) -> int: ...


def accuracy(network: Network, images: Images) -> float:
    """Share of right answers of the integer network."""
    right = predict(network, images.pixels) == images.labels
    return float(right.double().mean())


def predict(network: Network, pixels: Tensor, batch: int = 50) -> Tensor:
    """Classes of uint8 images [n, C, H, W], int64 [n]."""
    return logits(network, pixels, batch).argmax(1)


def logits(network: Network, pixels: Tensor, batch: int = 50) -> Tensor:
    """Integer logits of uint8 images [n, C, H, W], int64 [n, classes]."""
    parts = pixels.split(batch)
    return torch.cat(
        [
            run(network, part.long() + network.input.zero_point)[network.layers[-1].name].flatten(1)
            for part in steps(parts, "accuracy of the integers", len(parts))
        ]
    )


def run(network: Network, images: Tensor) -> dict[str, Tensor]:
    """Every tensor by name, int64; images int64 [n, C, H, W] as `network.input` quantizes them."""
    tensors = {"input": images}
    zeros = {"input": network.input.zero_point}
    for layer in network.layers:
        value = _run(layer, tensors, zeros)
        tensors[layer.name] = value.expand(len(images), -1, -1, -1)
        zeros[layer.name] = layer.zero_point
    return tensors


def _run(layer: Layer, tensors: dict[str, Tensor], zeros: dict[str, int]) -> Tensor:
    kind = by_kind(KINDS, layer, "the PyTorch reference, algos.reference.KINDS")
    return kind(layer, [tensors[name] for name in layer.inputs], [zeros[name] for name in layer.inputs])


def _real(values: list[Tensor], zeros: list[int]) -> list[Tensor]:
    """Values less their zero points."""
    return [value - zero for value, zero in zip(values, zeros, strict=True)]


def _scaled(value: Tensor, multiplier: int, shift: int, output: Output) -> Tensor:
    return _shifted(value * multiplier, torch.tensor(shift), output)


def _shifted(value: Tensor, shift: Tensor, output: Output) -> Tensor:
    """Divide by 2^shift, halves towards +infinity, move to the zero point, clamp.

    In float64, which is exact here: |value| < 2^48, so a quotient has at most 48 significant bits.
    """
    rounded = torch.floor(value.double() / 2.0**shift + 0.5)
    return (rounded + output.zero_point).clamp(output.low, output.high).long()


def _looked_up(table: object, index: Tensor, origin: int = 128) -> Tensor:
    """Entries of a table of 256; int64."""
    return torch.as_tensor(table).long().take(index + origin)


def _add(layer: Add, values: list[Tensor], zeros: list[int]) -> Tensor:
    (a, b), (ma, mb) = _real(values, zeros), layer.multipliers
    return _shifted(a * ma + b * mb, torch.tensor(layer.shift), layer)


def _multiply(layer: Multiply, values: list[Tensor], zeros: list[int]) -> Tensor:
    a, b = _real(values, zeros)
    return _scaled(a * b, layer.multiplier, layer.shift, layer)


def _table(layer: Table, values: list[Tensor], zeros: list[int]) -> Tensor:
    return _looked_up(layer.table, values[0])


def _reshape(layer: Reshape, values: list[Tensor], zeros: list[int]) -> Tensor:
    return values[0].unflatten(0, (len(values[0]), 1)).flatten(1).unflatten(1, layer.to)


def _upsample(layer: Upsample, values: list[Tensor], zeros: list[int]) -> Tensor:
    return torch.kron(values[0], torch.ones(layer.factor, dtype=torch.long))


def _concat(layer: Concat, values: list[Tensor], zeros: list[int]) -> Tensor:
    parts = zip(_real(values, zeros), layer.multipliers, strict=True)
    return torch.cat([_scaled(part, m, layer.shift, layer) for part, m in parts], 1 + layer.axis)


def _rearrange(layer: Rearrange, values: list[Tensor], zeros: list[int]) -> Tensor:
    """By the index of each value, axis by axis; one place more holds the zero point."""
    places = torch.tensor(layer.offset)
    for size, stride in zip(layer.sizes, layer.strides, strict=True):
        places = places[..., None] + torch.arange(size) * stride
    x, found = values[0], []
    for n, (before, after) in reversed(list(zip(x.shape[1:], layer.padding, strict=True))):
        place = places % (n + before + after) - before
        match layer.mode:
            case "edge":
                place = place.clamp(0, n - 1)
            case "reflect":
                place = (n - 1) - ((n - 1) - place.abs()).abs()
            case "wrap":
                place = place.remainder(n)
            case "zero":
                place = torch.where((place < 0) | (place >= n), n, place)
        found.append(place)
        places = torch.div(places, n + before + after, rounding_mode="floor")
    w, h, c = found
    return F.pad(x, (0, 1, 0, 1, 0, 1), value=zeros[0])[:, c, h, w].reshape(len(x), *layer.to)


def _constant(layer: Constant, values: list[Tensor], zeros: list[int]) -> Tensor:
    return torch.from_numpy(layer.values).long()[None]


def _average_pool(layer: AveragePool, values: list[Tensor], zeros: list[int]) -> Tensor:
    total = _real(values, zeros)[0].sum((2, 3), keepdim=True)
    return _scaled(total, layer.multiplier, layer.shift, layer)


def _pool(layer: Pool, values: list[Tensor], zeros: list[int]) -> Tensor:
    """Windows by PyTorch's own pooling in float64, exact for sums this small."""
    if layer.mode == "max":
        best = F.max_pool2d(values[0].double(), layer.kernel, layer.stride, layer.padding).long()
        return best.clamp(layer.low, layer.high)
    (real,) = _real(values, zeros)
    total = F.avg_pool2d(real.double(), layer.kernel, layer.stride, layer.padding, divisor_override=1)
    return _scaled(total.long(), layer.multiplier, layer.shift, layer)


def _matmul(layer: MatMul, values: list[Tensor], zeros: list[int]) -> Tensor:
    """Integer einsum, head by head."""
    a, b = (x[..., 0].unflatten(1, (layer.heads, -1)) for x in _real(values, zeros))
    form = "nhci,nhcj->nhji" if layer.transpose_b else "nhji,nhcj->nhci"
    total = torch.einsum(form, a, b).flatten(1, 2)[..., None]
    return _scaled(total, layer.multiplier, layer.shift, layer)


def _softmax(layer: Softmax, values: list[Tensor], zeros: list[int]) -> Tensor:
    runs = values[0].unflatten(1, (layer.groups, -1))
    if layer.mask is None:
        exponents = _looked_up(layer.table, runs.amax(2, keepdim=True) - runs, 0)
    else:
        hidden = torch.from_numpy(layer.mask == 0).repeat_interleave(layer.groups // len(layer.mask), 0)
        seen = runs.masked_fill(hidden, -(2**10))
        distance = (seen.amax(2, keepdim=True) - seen).masked_fill(hidden, 0)
        exponents = _looked_up(layer.table, distance, 0).masked_fill(hidden, 0)
    reciprocal = torch.div(2**40, exponents.sum(2, keepdim=True), rounding_mode="floor")
    # At most 2^40, so the quotient and its half are exact in float64.
    return _shifted((exponents * reciprocal).flatten(1, 2), torch.tensor(layer.shift), layer)


def _layer_norm(layer: LayerNorm, values: list[Tensor], zeros: list[int]) -> Tensor:
    (u,) = _real(values, zeros)
    runs = u.unflatten(1, (layer.groups, -1)).flatten(3)
    runs = runs.flatten(2)[:, :, :, None] if layer.spatial else runs
    count, spare = runs.shape[2], 16
    while count > 2 ** (15 + (16 - spare) // 2):
        spare -= 2
    weight = 0 if layer.rms else 1
    mean = runs.sum(2, keepdim=True) * weight
    spread = count * runs.square().sum(2, keepdim=True) - mean.square() + layer.epsilon
    inverse = torch.div(2 ** (38 + spare // 2), _root(spread * 2**spare), rounding_mode="floor")
    normalized = torch.div((count * runs - mean) * inverse + 2**25, 2**26, rounding_mode="floor")
    normalized = normalized.reshape(u.shape)
    gain, bias = (torch.from_numpy(v.astype("int64"))[:, None, None] for v in (layer.gain, layer.bias))
    return _shifted(normalized * gain + bias, torch.tensor(layer.shift), layer)


def _scan(layer: Scan, values: list[Tensor], zeros: list[int]) -> Tensor:
    """int64 [n, C, L, 1]; decays and steps of all tokens first, then the recurrence."""

    def rounded(value: Tensor, shift: int) -> Tensor:
        return torch.div(value + 2 ** (shift - 1), 2**shift, rounding_mode="floor")

    x, delta, b, c = (value[..., 0] for value in _real(values, zeros))
    width = delta.relu()
    rate = torch.from_numpy(layer.decay.astype("int64"))[:, :, None]
    kept = _looked_up(layer.table, rounded(width[:, :, None] * rate, layer.decay_shift).clamp(max=255), 0)
    steps = torch.einsum("ncl,nsl->ncsl", width * x, b) * layer.step_multiplier
    steps = rounded(steps, layer.step_shift)
    state, seen = torch.zeros_like(steps[..., 0]), []
    places = list(range(x.shape[2]))[:: -1 if layer.reverse else 1]
    for place in places:
        state = (rounded(state * kept[..., place], 16) + steps[..., place]).clamp(-(2**31) + 1, 2**31 - 1)
        seen.append(state)
    states = torch.stack(seen, -1)[..., torch.tensor(places).argsort()]
    skip = torch.from_numpy(layer.skip.astype("int64"))[:, None]
    total = torch.einsum("ncsl,nsl->ncl", states, c) + x * skip
    # Below 2^62, so in integers.
    scaled = rounded(total * layer.multiplier, layer.shift) + layer.zero_point
    return scaled.clamp(layer.low, layer.high)[..., None]


def _root(value: Tensor) -> Tensor:
    """Largest integer whose square is at most value (below 2^62), bit by bit from the top."""
    root = torch.zeros_like(value)
    for bit in reversed(range(31)):
        trial = root + 2**bit
        root = torch.where(trial.square() <= value, trial, root)
    return root


def dense_weight(layer: Conv) -> Tensor:
    """int64 [K, C/groups, Ky, Kx], decoded from what the layer has."""
    weight = layer.weight
    if isinstance(weight, ScaledWeight):
        return _in_groups(weight)
    if isinstance(weight, AqlmWeight):
        indices = torch.from_numpy(weight.assignments.astype("int64")).unbind(-1)
        books = torch.from_numpy(weight.codebooks).long()
        return (
            sum(book[index] for book, index in zip(books, indices, strict=True)).movedim(-1, 1).flatten(0, 1)
        )
    if not isinstance(weight, CodebookWeight):
        return torch.from_numpy(weight.values).long()
    vectors = torch.from_numpy(weight.codebook).long()[torch.from_numpy(weight.assignments).long()]
    if weight.mask_codes is not None:
        subsets = torch.combinations(torch.arange(weight.group), weight.keep)
        kept = F.one_hot(subsets, weight.group).sum(1)
        order = (kept << torch.arange(weight.group)).sum(1).argsort()
        masks = kept[order][torch.from_numpy(weight.mask_codes).long()]
        vectors = vectors * masks.flatten(-2)
    if weight.signs is not None:
        words = torch.from_numpy(weight.signs.astype("int64"))[..., None]
        odd = torch.div(words, 2 ** torch.arange(weight.d), rounding_mode="floor") % 2
        vectors = vectors * (1 - 2 * odd)
    return vectors.movedim(-1, 1).flatten(0, 1)


def _in_groups(weight: ScaledWeight) -> Tensor:
    """Elements and the scales of their groups."""
    elements = torch.from_numpy(weight.elements).long()
    group = torch.arange(elements.shape[1]) // weight.group
    scales = torch.from_numpy(weight.scales).long()[:, group]
    if isinstance(weight, Mxint8Weight):
        doubled = torch.bitwise_right_shift(2 * elements, scales)
        return torch.div(doubled + 1, 2, rounding_mode="floor")
    if isinstance(weight, Mxfp4Weight | Nvfp4Weight):
        mantissa, exponent = elements % 2, elements // 2 % 4
        magnitudes = torch.where(exponent == 0, mantissa, (2 + mantissa) << (exponent - 1).clamp(0))
        elements = magnitudes * (1 - elements // 8 * 2)
    return elements << scales if isinstance(weight, Mxfp4Weight) else elements * scales


def _conv(layer: Conv, values: list[Tensor], zeros: list[int]) -> Tensor:
    py, px = layer.padding
    weight = dense_weight(layer)
    padded = F.pad(values[0], (px, px, py, py), value=zeros[0])
    # Every partial sum is an integer: exact below 2^24 in float32, below 2^53 in float64.
    exact = torch.float32 if weight[0].numel() * 2**14 < 2**24 else torch.float64
    if layer.groups == 1:
        _, _, ky, kx = weight.shape
        height = (padded.shape[2] - (ky - 1) * layer.dilation[0] - 1) // layer.stride[0] + 1
        columns = F.unfold(padded.to(exact), (ky, kx), stride=layer.stride, dilation=layer.dilation)
        acc = (weight.flatten(1).to(exact) @ columns).long().unflatten(2, (height, -1))
    else:
        acc = (
            F.conv2d(padded.double(), weight.double(), None, layer.stride, 0, layer.dilation, layer.groups)
            .round()
            .long()
        )
    total = acc + torch.from_numpy(layer.bias).long()[:, None, None]
    q = layer.requantization
    if q is None:
        return total
    scaled = total * torch.from_numpy(q.multiplier.astype("int64"))[:, None, None]
    out = _shifted(scaled, torch.from_numpy(q.shift.astype("int64"))[:, None, None], q)
    return out if q.table is None else _looked_up(q.table, out)


KINDS: dict[type[Layer], Callable[[Any, list[Tensor], list[int]], Tensor]] = {
    # of a layer, the tensors it reads (int64 [n, C, H, W]) and their zero points
    Conv: _conv,
    MatMul: _matmul,
    Add: _add,
    AveragePool: _average_pool,
    Pool: _pool,
    Concat: _concat,
    Upsample: _upsample,
    Reshape: _reshape,
    Table: _table,
    Multiply: _multiply,
    Softmax: _softmax,
    LayerNorm: _layer_norm,
    Scan: _scan,
    Rearrange: _rearrange,
    Constant: _constant,
}
