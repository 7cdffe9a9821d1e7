"""Integer reference: runs a `Network` in PyTorch, sharing no arithmetic with `sim`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.data.fashion_mnist import Images
from sim.network import Add, AveragePool, CodebookWeight, Conv, Layer, Network, Requantization


def accuracy(network: Network, images: Images) -> float:
    """Share of right answers of the integer network."""
    right = predict(network, images.pixels) == images.labels
    return float(right.double().mean())


def predict(network: Network, pixels: Tensor, batch: int = 50) -> Tensor:
    """Classes of uint8 images [n, C, H, W], int64 [n]."""
    return logits(network, pixels, batch).argmax(1)


def logits(network: Network, pixels: Tensor, batch: int = 50) -> Tensor:
    """Integer logits of uint8 images [n, C, H, W], int64 [n, classes]."""
    return torch.cat([run(network, part.long() + network.input.zero_point)[network.layers[-1].name].flatten(1)
                      for part in pixels.split(batch)])


def run(network: Network, images: Tensor) -> dict[str, Tensor]:
    """Every tensor by name, int64; images int64 [n, C, H, W] as `network.input` quantizes them."""
    tensors = {"input": images}
    zeros = {"input": network.input.zero_point}
    for layer in network.layers:
        tensors[layer.name] = _run(layer, tensors, zeros)
        zeros[layer.name] = layer.zero_point
    return tensors


def _run(layer: Layer, tensors: dict[str, Tensor], zeros: dict[str, int]) -> Tensor:
    if isinstance(layer, Conv):
        return _conv(layer, tensors[layer.input], zeros[layer.input])
    if isinstance(layer, Add):
        (a, b), (ma, mb) = (tensors[n] - zeros[n] for n in layer.inputs), layer.multipliers
        value = a * ma + b * mb
        return _shifted(value, torch.tensor(layer.shift), layer)
    value = (tensors[layer.input] - zeros[layer.input]).sum((2, 3), keepdim=True) * layer.multiplier
    return _shifted(value, torch.tensor(layer.shift), layer)


def _shifted(
    value: Tensor, shift: Tensor, output: Add | AveragePool | Requantization
) -> Tensor:
    """Divide by 2^shift, halves towards +infinity, move to the zero point, clamp.

    In float64, which is exact here: |value| < 2^48, so a quotient has at most 48 significant bits.
    """
    rounded = torch.floor(value.double() / 2.0**shift + 0.5)
    return (rounded + output.zero_point).clamp(output.low, output.high).long()


def dense_weight(layer: Conv) -> Tensor:
    """int64 [K, C, Ky, Kx], decoded from codebook, assignments and mask codes."""
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
    return vectors.movedim(-1, 1).flatten(0, 1)


def _conv(layer: Conv, x: Tensor, zero_point: int) -> Tensor:
    py, px = layer.padding
    weight = dense_weight(layer)
    padded = F.pad(x, (px, px, py, py), value=zero_point)
    _, _, ky, kx = weight.shape
    height = (padded.shape[2] - ky) // layer.stride[0] + 1
    # Every partial sum is an integer: exact below 2^24 in float32, below 2^53 in float64.
    exact = torch.float32 if weight[0].numel() * 2**14 < 2**24 else torch.float64
    columns = F.unfold(padded.to(exact), (ky, kx), stride=layer.stride)
    acc = (weight.flatten(1).to(exact) @ columns).long().unflatten(2, (height, -1))
    total = acc + torch.from_numpy(layer.bias).long()[:, None, None]
    q = layer.requantization
    if q is None:
        return total
    scaled = total * torch.from_numpy(q.multiplier.astype("int64"))[:, None, None]
    return _shifted(scaled, torch.from_numpy(q.shift.astype("int64"))[:, None, None], q)
