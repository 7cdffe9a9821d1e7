"""A trained convolutional network becomes a `sim.network.Network` of integers; torch.fx records its graph."""

from __future__ import annotations

import copy
import math
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from algos.data.fashion_mnist import Images
from algos.frontend.lowering import PIXELS, SIGNED, Lowering, require_calibration, require_finite
from algos.frontend.quantize import Activation
from algos.models.resnet import ResNet
from algos.norms import absorb_gain_signs
from algos.training import normalize
from algos.weights.codebook import attached
from algos.weights.pruning import densify
from sim.errors import InputError
from sim.network import Network, TensorSpec

RESNET_NAMES = {
    r"^conv$": "stem",
    r"^mean$": "pool",
    r"^blocks\.(\d+)": r"block\1",
    r"shortcut\.0": "shortcut",
}
ADDITIONS = (operator.add, torch.add)
CLAMPS = {nn.ReLU: (0.0, math.inf), nn.ReLU6: (0.0, 6.0), F.relu: (0.0, math.inf), F.relu6: (0.0, 6.0)}
"""Activations, as modules and as functions, by the range of their values."""


def export(
    model: ResNet, calibration: Images, *, name: str, metadata: dict[str, object] | None = None
) -> Network:
    """`algos.frontend.export.export` of a ResNet."""
    require_calibration(calibration)
    return export_module(
        model,
        normalize(calibration.pixels),
        PIXELS,
        name=name,
        metadata=metadata,
        compressible=list(model.body()),
        rename=RESNET_NAMES,
    )


def export_module(
    model: nn.Module,
    inputs: Tensor,
    quantized: Activation,
    *,
    name: str,
    compressible: Sequence[str],
    metadata: dict[str, object] | None = None,
    rename: Mapping[str, str] | None = None,
) -> Network:
    """Quantizes a network of convolutions with batch norm and ReLU or ReLU6, additions, a mean over the
    picture and a linear classifier.

    Args:
        inputs: float [n, C, H, W] that set the activation scales.
        quantized: how the hardware sees the input.
        compressible: names of the layers that may hold a codebook; of the dense ones among them the weights
            that sparse training masks become 0.
        rename: regular expressions in the names of layers, and what replaces them; by default a layer has the
            name of its module.

    Raises:
        InputError: an operation that is none of the above; a tensor of the model is not finite; a psum may
            exceed 32 bits.
    """
    require_finite(model)
    # Scales come from float sums, whose order follows the memory layout of weights, differently on every
    # processor. A training leaves one layout and a file another: integers are those of a single one.
    model = copy.deepcopy(model).eval().to(memory_format=torch.channels_last)
    dense = [
        layer
        for layer in map(model.get_submodule, compressible)
        if isinstance(layer, nn.Conv2d) and attached(layer) is None
    ]
    densify(dense)
    if len(dense) == len(compressible):
        absorb_gain_signs(model)
    with torch.no_grad():
        layers = _Walk(model, Lowering(inputs, quantized), rename or {}).run()
    shape = tuple(inputs.shape[1:])
    spec = TensorSpec(shape, quantized.scale, quantized.zero_point)
    return Network(name, spec, tuple(layers), metadata or {})


class _Walk:
    """Follows the graph and takes a layer together with the norm and the activation behind it."""

    def __init__(self, model: nn.Module, lowering: Lowering, rename: Mapping[str, str]) -> None:
        self.traced, self.lowering, self.rename = fx.symbolic_trace(model), lowering, rename
        self.tensor: dict[fx.Node, str] = {}
        """The integer tensor that has a node's value; of a node inside a layer, the layer's."""

    def run(self) -> list[Any]:
        for node in self.traced.graph.nodes:
            if node.op == "placeholder":
                self.tensor[node] = "input"
            elif node.op != "output" and node not in self.tensor:
                self._layer(node)
        return self.lowering.layers

    def _layer(self, node: fx.Node) -> None:
        module, name = self._module(node), self._name(node)
        sources = [self.tensor[part] for part in node.all_input_nodes]
        inside = [node]
        if isinstance(module, nn.Conv2d):
            inside.append(self._norm(node))
            clamp = self._clamp(inside)
            self.lowering.conv(name, sources[0], module, self._module(inside[1]), clamp)
        elif node.target in ADDITIONS and len(sources) == 2:
            self.lowering.add(name, sources[0], sources[1], self._clamp(inside))
        elif node.target == "mean" and node.args[1:] == ((2, 3),):
            self.lowering.pool(name, sources[0])
        elif isinstance(module, nn.Linear):
            self.lowering.classifier(name, sources[0], module)
        elif isinstance(module, nn.Dropout):
            name = sources[0]
        else:
            raise InputError(
                "operation",
                str(node.target),
                "has no integer layer here",
                "use convolutions with batch norm, ReLU, ReLU6, additions, a mean over the "
                "picture and a linear classifier",
            )
        self.tensor |= dict.fromkeys(inside, name)

    def _norm(self, node: fx.Node) -> fx.Node:
        """The batch norm that alone takes a convolution's value."""
        after = next(iter(node.users))
        if len(node.users) > 1 or not isinstance(self._module(after), nn.BatchNorm2d):
            raise InputError(
                str(node.target),
                after.name,
                "takes the convolution's value, which no batch norm takes alone",
                "put a BatchNorm2d behind it, gain 1 and offset the bias",
            )
        return after

    def _clamp(self, inside: list[fx.Node]) -> tuple[float, float]:
        """The range of the activation that alone takes the last value; it then belongs to the layer."""
        after = next(iter(inside[-1].users))
        module = self._module(after)
        clamp = CLAMPS.get(after.target if module is None else type(module))
        if clamp is None or len(inside[-1].users) > 1:
            return SIGNED
        inside.append(after)
        return clamp

    def _module(self, node: fx.Node) -> Any:
        return self.traced.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _name(self, node: fx.Node) -> str:
        """The module's path; of a function, the path of the module around it and what it does."""
        path = str(node.target)
        if node.op != "call_module":
            around = [key for key in node.meta.get("nn_module_stack", {}) if key]
            path = ".".join([*around[-1:], re.sub(r"_\d+$", "", node.name)])
        for pattern, name in self.rename.items():
            path = re.sub(pattern, name, path)
        return path
