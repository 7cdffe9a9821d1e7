"""From float layers to integer layers: scales from sample values, folded norms, biases in 32 bits."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from algos.data.fashion_mnist import Images
from algos.frontend.quantize import Activation, calibrate, int8_weight, multiplier_and_shift, requantization
from algos.norms import fold_norm
from algos.weights.codebook import attached
from sim.errors import InputError
from sim.network import Add, AveragePool, Conv, DenseWeight, Layer, Weight

SIGNED = (-math.inf, math.inf)
"""Range of a value that no activation clamps."""

PIXELS = Activation(1 / 255, -128)
"""The input of a network for grey pictures: byte - 128, real values 0..1."""


def require_calibration(images: Images) -> None:
    """Raises InputError where there are none."""
    if not len(images):
        raise InputError("calibration", 0, "no images", "give a few hundred training images")


def require_finite(model: nn.Module) -> None:
    """Raises InputError where a tensor of the model is not."""
    for field, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                field, float("nan"), "holds NaN or infinity", "repair the checkpoint before exporting it"
            )


class Lowering:
    """Layers so far, with the float samples and the scale of every tensor.

    Attributes:
        float: samples of a tensor by name, [n, C, H, W].
        scale: of a tensor by name.
        layers: in order.
    """

    def __init__(self, inputs: Tensor, quantized: Activation) -> None:
        self.float: dict[str, Tensor] = {"input": inputs}
        self.scale: dict[str, Activation] = {"input": quantized}
        self.layers: list[Layer] = []

    def conv(
        self,
        name: str,
        source: str,
        conv: nn.Conv2d,
        norm: nn.BatchNorm2d,
        clamp: tuple[float, float] = SIGNED,
    ) -> None:
        """A convolution, its batch norm and its activation."""
        out = self._put(name, norm(conv(self.float[source])), clamp)
        weight, scales = _weight(conv)
        gain, offset = fold_norm(norm)
        # A channel of almost no gain is a constant: a larger step leaves its accumulator, below
        # 2^20, under a thousandth of the offset, and its bias in 32 bits.
        real = np.maximum(scales * self.scale[source].scale * gain, np.abs(offset) / 2**30)
        real = np.maximum(real, 1e-30)
        bias = self._bias(name, weight, source, offset / real)
        assert isinstance(conv.padding, tuple)
        self.layers.append(
            Conv(
                name,
                source,
                weight,
                bias,
                conv.stride,
                conv.padding,
                requantization(real / out.scale, out),
                conv.groups,
            )
        )

    def add(self, name: str, left: str, right: str, clamp: tuple[float, float] = SIGNED) -> str:
        out = self._put(name, self.float[left] + self.float[right], clamp)
        ratios = np.array([self.scale[t].scale / out.scale for t in (left, right)])
        shift = self._ratio(float(ratios.max()))[1]
        first, second = (round(float(r) * 2**shift) for r in ratios)
        self.layers.append(
            Add(name, (left, right), (first, second), shift, out.zero_point, out.low, out.high)
        )
        return name

    def pool(self, name: str, source: str) -> str:
        """Mean over the picture."""
        values = self.float[source]
        low = 0.0 if self.scale[source].low >= self.scale[source].zero_point else -math.inf
        out = self._put(name, values.mean((2, 3), keepdim=True), (low, math.inf))
        ratio = self.scale[source].scale / out.scale / (values.shape[2] * values.shape[3])
        m, s = self._ratio(ratio)
        self.layers.append(AveragePool(name, source, m, s, out.zero_point, out.low, out.high))
        return name

    def classifier(self, name: str, source: str, linear: nn.Linear) -> None:
        """A linear layer whose 32-bit sums are the network's output."""
        values, scales = int8_weight(linear.weight[:, :, None, None], per_channel=False)
        weight = DenseWeight(values)
        offset = linear.bias.detach().double().numpy() / (scales * self.scale[source].scale)
        self.layers.append(Conv(name, source, weight, self._bias(name, weight, source, offset)))

    def _bias(self, name: str, weight: Weight, source: str, offset: np.ndarray) -> np.ndarray:
        """int32 [K]: the offset in accumulator units, less the input's zero point."""
        sums = weight.decode().astype(np.int64).sum((1, 2, 3))
        bias = np.round(offset) - self.scale[source].zero_point * sums
        if np.abs(bias).max() >= 2**31:
            raise InputError(
                f"{name}.bias",
                float(np.abs(bias).max()),
                "exceeds 32 bits",
                "check the batch norm's running variance, or use larger activation scales",
            )
        return bias.astype(np.int32)

    @staticmethod
    def _ratio(value: float) -> tuple[int, int]:
        """Multiplier and shift of one ratio."""
        m, s = multiplier_and_shift(np.array([value]))
        return int(m[0]), int(s[0])

    def _put(self, name: str, value: Tensor, clamp: tuple[float, float]) -> Activation:
        self.float[name] = value.clamp(*clamp)
        self.scale[name] = calibrate(self.float[name], clamp)
        return self.scale[name]


def _weight(conv: nn.Conv2d) -> tuple[Weight, np.ndarray]:
    """Integer weight and scales [K]."""
    part = attached(conv)
    if part is not None:
        return part.stored(), part.scales()
    values, scales = int8_weight(conv.weight, per_channel=True)
    return DenseWeight(values), scales
