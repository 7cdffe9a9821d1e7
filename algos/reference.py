"""Integer reference: runs a `Network` in PyTorch, sharing no arithmetic with `sim`."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.data.fashion_mnist import Images
from sim.network import (
    Add,
    AveragePool,
    CodebookWeight,
    Concat,
    Conv,
    Layer,
    LayerNorm,
    MatMul,
    Multiply,
    Network,
    Pool,
    Reshape,
    Scan,
    Softmax,
    Table,
)


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
    return torch.cat(
        [
            run(network, part.long() + network.input.zero_point)[network.layers[-1].name].flatten(1)
            for part in pixels.split(batch)
        ]
    )


def run(network: Network, images: Tensor) -> dict[str, Tensor]:
    """Every tensor by name, int64; images int64 [n, C, H, W] as `network.input` quantizes them."""
    tensors = {"input": images}
    zeros = {"input": network.input.zero_point}
    for layer in network.layers:
        tensors[layer.name] = _run(layer, tensors, zeros)
        zeros[layer.name] = layer.zero_point
    return tensors


def _run(layer: Layer, tensors: dict[str, Tensor], zeros: dict[str, int]) -> Tensor:
    x = tensors[layer.inputs[0]]
    if isinstance(layer, Conv):
        return _conv(layer, x, zeros[layer.input])
    if isinstance(layer, Reshape):
        return x.unflatten(0, (len(x), 1)).flatten(1).unflatten(1, layer.to)
    if isinstance(layer, Table):
        return _looked_up(layer.table, x)
    real = [tensors[name] - zeros[name] for name in layer.inputs]
    if isinstance(layer, Add):
        (a, b), (ma, mb) = real, layer.multipliers
        return _shifted(a * ma + b * mb, torch.tensor(layer.shift), layer)
    if isinstance(layer, AveragePool):
        return _scaled(real[0].sum((2, 3), keepdim=True), layer.multiplier, layer.shift, layer)
    if isinstance(layer, Pool):
        return _pool(layer, x, real[0])
    if isinstance(layer, Concat):
        return torch.cat(
            [
                _scaled(part, multiplier, layer.shift, layer)
                for part, multiplier in zip(real, layer.multipliers, strict=True)
            ],
            1 + layer.axis,
        )
    if isinstance(layer, Multiply):
        return _scaled(real[0] * real[1], layer.multiplier, layer.shift, layer)
    if isinstance(layer, MatMul):
        return _scaled(_product(layer, *real), layer.multiplier, layer.shift, layer)
    if isinstance(layer, Softmax):
        return _softmax(layer, x)
    if isinstance(layer, LayerNorm):
        return _layer_norm(layer, real[0])
    if isinstance(layer, Scan):
        return _scan(layer, *(part[..., 0] for part in real))
    return torch.kron(x, torch.ones(layer.factor, dtype=torch.long))


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


def _pool(layer: Pool, x: Tensor, real: Tensor) -> Tensor:
    """Windows by PyTorch's own pooling in float64, exact for sums this small."""
    if layer.mode == "max":
        best = F.max_pool2d(x.double(), layer.kernel, layer.stride, layer.padding).long()
        return best.clamp(layer.low, layer.high)
    total = F.avg_pool2d(real.double(), layer.kernel, layer.stride, layer.padding, divisor_override=1)
    return _scaled(total.long(), layer.multiplier, layer.shift, layer)


def _product(layer: MatMul, a: Tensor, b: Tensor) -> Tensor:
    """int64 sums [n, outputs, tokens, 1]; integer einsum, head by head."""
    a, b = (x[..., 0].unflatten(1, (layer.heads, -1)) for x in (a, b))
    form = "nhci,nhcj->nhji" if layer.transpose_b else "nhji,nhcj->nhci"
    return torch.einsum(form, a, b).flatten(1, 2)[..., None]


def _softmax(layer: Softmax, x: Tensor) -> Tensor:
    runs = x.unflatten(1, (layer.groups, -1))
    exponents = _looked_up(layer.table, runs.amax(2, keepdim=True) - runs, 0)
    reciprocal = torch.div(2**40, exponents.sum(2, keepdim=True), rounding_mode="floor")
    # At most 2^40, so the quotient by 2^32 and its half are exact in float64.
    return _shifted((exponents * reciprocal).flatten(1, 2), torch.tensor(32), layer)


def _layer_norm(layer: LayerNorm, u: Tensor) -> Tensor:
    channels = u.shape[1]
    weight = 0 if layer.rms else 1
    mean = u.sum(1, keepdim=True) * weight
    spread = channels * u.square().sum(1, keepdim=True) - mean.square() + layer.epsilon
    inverse = torch.div(2**46, _root(spread * 2**16), rounding_mode="floor")
    normalized = torch.div((channels * u - mean) * inverse + 2**25, 2**26, rounding_mode="floor")
    gain, bias = (torch.from_numpy(v.astype("int64"))[:, None, None] for v in (layer.gain, layer.bias))
    return _shifted(normalized * gain + bias, torch.tensor(layer.shift), layer)


def _scan(layer: Scan, x: Tensor, delta: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """int64 [n, C, L, 1]; decays and steps of all tokens first, then the recurrence."""

    def rounded(value: Tensor, shift: int) -> Tensor:
        return torch.div(value + 2 ** (shift - 1), 2**shift, rounding_mode="floor")

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
    """int64 [K, C/groups, Ky, Kx], decoded from codebook, assignments, and mask codes or signs."""
    weight = layer.weight
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


def _conv(layer: Conv, x: Tensor, zero_point: int) -> Tensor:
    py, px = layer.padding
    weight = dense_weight(layer)
    padded = F.pad(x, (px, px, py, py), value=zero_point)
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
