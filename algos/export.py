"""A trained ResNet becomes a `sim.network.Network`: integer tensors, folded norms, static scales."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from algos.codebook import attached
from algos.data.fashion_mnist import Images
from algos.models.resnet import Block, ResNet
from algos.norms import absorb_gain_signs, fold_norm
from algos.pruning import densify
from algos.quantize import (
    Activation,
    calibrate,
    int8_weight,
    multiplier_and_shift,
    requantization,
)
from algos.training import normalize
from sim.errors import InputError
from sim.network import (
    Add,
    AveragePool,
    Conv,
    DenseWeight,
    Layer,
    Network,
    TensorSpec,
    Weight,
)

PIXELS = Activation(1 / 255, -128)
"""The network's input: byte - 128, real values 0..1."""


def export(
    model: ResNet, calibration: Images, *, name: str,
    metadata: dict[str, object] | None = None,
) -> Network:
    """Quantizes a (compressed) ResNet to integers.

    Args:
        calibration: images that set the activation scales; a few hundred.

    Raises:
        InputError: no calibration images; a tensor of the model is not finite; a psum may exceed
            32 bits.
    """
    require_calibration(calibration)
    for field, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise InputError(field, float("nan"), "holds NaN or infinity",
                             "repair the checkpoint before exporting it")
    model = copy.deepcopy(model).eval()
    dense = [layer for layer in model.body().values() if attached(layer) is None]
    densify(dense)
    if len(dense) == len(model.body()):
        absorb_gain_signs(model)
    return _Exporter(model, calibration).run(name, metadata or {})


def require_calibration(images: Images) -> None:
    """Raises InputError where there are none."""
    if not len(images):
        raise InputError("calibration", 0, "no images", "give a few hundred training images")


class _Exporter:
    """Walks the network once, in float for the scales and in integers for the layers."""

    def __init__(self, model: ResNet, calibration: Images) -> None:
        self.model = model
        self.float: dict[str, Tensor] = {"input": normalize(calibration.pixels)}
        self.scale: dict[str, Activation] = {"input": PIXELS}
        self.layers: list[Layer] = []

    @torch.no_grad()
    def run(self, name: str, metadata: dict[str, object]) -> Network:
        model = self.model
        last = self._conv("stem", "input", model.conv, model.bn, relu=True)
        for number, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            last = self._block(f"block{number}", last, block)
        last = self._pool("pool", last)
        self._classifier("fc", last, model.fc)
        shape = tuple(self.float["input"].shape[1:])
        return Network(name, TensorSpec(shape, PIXELS.scale, PIXELS.zero_point),
                       tuple(self.layers), metadata)

    def _block(self, name: str, source: str, block: Block) -> str:
        shortcut = source
        if len(block.shortcut):
            shortcut = self._conv(f"{name}.shortcut", source, block.shortcut[0], block.shortcut[1])
        inner = self._conv(f"{name}.conv1", source, block.conv1, block.bn1, relu=True)
        outer = self._conv(f"{name}.conv2", inner, block.conv2, block.bn2)
        value = torch.relu(self.float[outer] + self.float[shortcut])
        out = self._put(f"{name}.add", value, relu=True)
        ratios = np.array([self.scale[t].scale / out.scale for t in (outer, shortcut)])
        shift = int(multiplier_and_shift(ratios[[ratios.argmax()]])[1][0])
        multipliers = tuple(round(float(r) * 2**shift) for r in ratios)
        self.layers.append(Add(f"{name}.add", (outer, shortcut), multipliers, shift,
                               out.zero_point, out.low, out.high))
        return f"{name}.add"

    def _conv(self, name: str, source: str, conv: nn.Conv2d, norm: nn.BatchNorm2d,
              relu: bool = False) -> str:
        value = norm(conv(self.float[source]))
        out = self._put(name, torch.relu(value) if relu else value, relu)
        weight, scales = self._weight(conv)
        gain, offset = fold_norm(norm)
        # A channel of almost no gain is a constant: a larger step leaves its accumulator, below
        # 2^20, under a thousandth of the offset, and its bias in 32 bits.
        real = np.maximum(scales * self.scale[source].scale * gain, np.abs(offset) / 2**30)
        real = np.maximum(real, 1e-30)
        bias = self._bias(weight, source, offset / real)
        self.layers.append(Conv(name, source, weight, bias, conv.stride, conv.padding,
                                requantization(real / out.scale, out)))
        return name

    def _weight(self, conv: nn.Conv2d) -> tuple[Weight, np.ndarray]:
        """Integer weight and scales [K]."""
        part = attached(conv)
        if part is not None:
            return part.stored(), part.scales()
        values, scales = int8_weight(conv.weight, per_channel=True)
        return DenseWeight(values), scales

    def _bias(self, weight: Weight, source: str, offset: np.ndarray) -> np.ndarray:
        """int32 [K]: the offset in accumulator units, less the input's zero point."""
        sums = weight.decode().astype(np.int64).sum((1, 2, 3))
        bias = np.round(offset) - self.scale[source].zero_point * sums
        if np.abs(bias).max() >= 2**31:
            raise InputError("bias", float(np.abs(bias).max()), "exceeds 32 bits",
                             "check the batch norm's running variance")
        return bias.astype(np.int32)

    def _pool(self, name: str, source: str) -> str:
        value = self.float[source].mean((2, 3), keepdim=True)
        out = self._put(name, value, relu=True)
        _, _, h, w = self.float[source].shape
        m, s = multiplier_and_shift(np.array([self.scale[source].scale / out.scale / (h * w)]))
        self.layers.append(AveragePool(name, source, int(m[0]), int(s[0]), out.zero_point,
                                       out.low, out.high))
        return name

    def _classifier(self, name: str, source: str, linear: nn.Linear) -> None:
        values, scales = int8_weight(linear.weight[:, :, None, None], per_channel=False)
        weight = DenseWeight(values)
        offset = linear.bias.detach().double().numpy() / (scales * self.scale[source].scale)
        self.layers.append(Conv(name, source, weight, self._bias(weight, source, offset)))

    def _put(self, name: str, value: Tensor, relu: bool) -> Activation:
        self.float[name] = value
        self.scale[name] = calibrate(value, relu)
        return self.scale[name]
