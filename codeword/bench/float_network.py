"""A network of integers as plain float inference in PyTorch: the yardstick of the benchmarks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

from sim.errors import InputError
from sim.network import Add, AveragePool, Conv, Network, Pool


def float_network(network: Network) -> Callable[[torch.Tensor], torch.Tensor]:
    """float32 [batch, C, H, W] -> logits float32 [batch, n, 1, 1]: same layers, weights decoded once.

    Batch normalization is folded, as it is in the integers; scales are dropped, which costs no time.

    Raises:
        InputError: a layer of another kind than a ResNet's.
    """
    operators = {layer.name: (layer.inputs, _operator(layer)) for layer in network.layers}

    @torch.no_grad()
    def run(images: torch.Tensor) -> torch.Tensor:
        tensors = {"input": images}
        for name, (sources, operator) in operators.items():
            tensors[name] = operator(*(tensors[source] for source in sources))
        return tensors[network.layers[-1].name]

    return run


def _operator(layer: object) -> Callable[..., torch.Tensor]:
    if isinstance(layer, Conv):
        weight = torch.from_numpy(layer.weight.decode()).float() / 1024
        bias = torch.from_numpy(layer.bias).float() / 2**20
        rectified = layer.requantization is not None and layer.requantization.low == 0

        def convolve(x: torch.Tensor) -> torch.Tensor:
            y = F.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
            return F.relu_(y) if rectified else y

        return convolve
    if isinstance(layer, Add):
        return lambda a, b: F.relu_(a + b)
    if isinstance(layer, Pool) and layer.mode == "max":
        return lambda x: F.max_pool2d(x, layer.kernel, layer.stride, layer.padding)
    if isinstance(layer, AveragePool):
        return lambda x: x.mean((2, 3), keepdim=True)
    raise InputError("layer", getattr(layer, "name", ""), "no float form here", "give a ResNet")
