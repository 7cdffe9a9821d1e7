"""A network of integers: the graph, its tensors and what they compute.

Activations are INT8 with a scale and a zero point for each tensor; weights are INT8, dense or
vector-quantized. `run` is the functional model: layer by layer, no hardware.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sim import encoding, integer
from sim.errors import InputError, nearest
from sim.shapes import ConvShape, PassShape, Shape


def _require(condition: bool, field: str, value: object, problem: str, fix: str) -> None:
    if not condition:
        raise InputError(field, value, problem, fix)


@dataclass(frozen=True, eq=False)
class DenseWeight:
    """INT8 weights [K, C, Ky, Kx] (output channels, input channels, kernel)."""

    values: np.ndarray

    def __post_init__(self) -> None:
        _require(self.values.dtype == np.int8 and self.values.ndim == 4, "weight",
                 f"{self.values.dtype}{list(self.values.shape)}", "must be int8 [K,C,Ky,Kx]",
                 "quantize to INT8 and give a linear layer as a 1x1 kernel")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.values.shape  # type: ignore[return-value]

    def decode(self) -> np.ndarray:
        """int8 [K, C, Ky, Kx]."""
        return self.values


@dataclass(frozen=True, eq=False)
class CodebookWeight:
    """Vector-quantized weights: one sub-vector is d consecutive output channels (MVQ sec. 4.3).

    Attributes:
        codebook: int8 [k, d].
        assignments: uint16 [K/d, C, Ky, Kx], index of the codeword.
        mask_codes: uint16 [K/d, C, Ky, Kx, d/M], or None for plain vector quantization.
        keep, group: N and M of the N:M mask (0, 0 without a mask).

    Raises:
        InputError: an assignment beyond k, a mask code at or above C(M, N), shapes that disagree.
    """

    codebook: np.ndarray
    assignments: np.ndarray
    mask_codes: np.ndarray | None = None
    keep: int = 0
    group: int = 0
    signs: np.ndarray | None = None

    def __post_init__(self) -> None:
        k, d = self.codebook.shape
        _require(self.codebook.dtype == np.int8, "codebook", self.codebook.dtype, "must be int8",
                 "quantize the codebook to INT8")
        _require(self.assignments.ndim == 4, "assignments", list(self.assignments.shape),
                 "must be [K/d, C, Ky, Kx]", "group output-channel-wise")
        top = int(self.assignments.max(initial=0))
        _require(top < k, "assignments", top, f"beyond the codebook of k = {k}",
                 f"use indices 0..{k - 1} or store the whole codebook")
        if self.mask_codes is None:
            return
        _require(0 < self.keep <= self.group and d % self.group == 0, "mask",
                 f"{self.keep}:{self.group}", f"does not tile a codeword of d = {d}",
                 "choose M that divides d and N <= M")
        expected = (*self.assignments.shape, d // self.group)
        _require(self.mask_codes.shape == expected, "mask_codes", list(self.mask_codes.shape),
                 f"must be {list(expected)}", "store one code for each group of M elements")
        encoding.mask_unrank(np.array([self.mask_codes.max(initial=0)]), self.keep, self.group)

    @property
    def d(self) -> int:
        return self.codebook.shape[1]

    @property
    def kind(self) -> str:
        return "mvq" if self.mask_codes is not None else "ssvq" if self.signs is not None else "vq"

    @property
    def shape(self) -> tuple[int, int, int, int]:
        groups, c, ky, kx = self.assignments.shape
        return groups * self.d, c, ky, kx

    def masks(self) -> np.ndarray:
        """bool [K/d, C, Ky, Kx, d], True where a weight is kept."""
        if self.mask_codes is None:
            return np.ones((*self.assignments.shape, self.d), bool)
        masks = encoding.mask_unrank(self.mask_codes, self.keep, self.group)
        return masks.reshape(*self.assignments.shape, self.d)

    def decode(self) -> np.ndarray:
        """int8 [K, C, Ky, Kx]: codewords looked up and masked."""
        vectors = np.where(self.masks(), self.codebook[self.assignments], np.int8(0))
        if self.signs is not None:
            negative = self.signs[..., None] >> np.arange(self.d, dtype=np.uint16) & 1
            vectors = np.where(negative, -vectors, vectors)
        return np.ascontiguousarray(np.moveaxis(vectors, -1, 1).reshape(self.shape))


Weight = DenseWeight | CodebookWeight


@dataclass(frozen=True, eq=False)
class Requantization:
    """Per-output-channel m (uint16 [K]) and s (uint8 [K], 1..47); output zero point and clamp."""

    multiplier: np.ndarray
    shift: np.ndarray
    zero_point: int = 0
    low: int = -128
    high: int = 127

    def __post_init__(self) -> None:
        _require(self.multiplier.dtype == np.uint16, "multiplier", self.multiplier.dtype,
                 "must be uint16", "scale m and s together")
        ok = self.shift.dtype == np.uint8 and self.shift.min() >= 1 and self.shift.max() <= 47
        _require(ok, "shift", f"{self.shift.dtype} {self.shift.min()}..{self.shift.max()}",
                 "must be uint8 from 1 to 47", "rescale m")
        _require(-128 <= self.low <= self.high <= 127, "clamp", (self.low, self.high),
                 "must lie in -128..127", "clamp to INT8")


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution; a linear layer is a 1x1 kernel on a 1x1 map.

    `bias` is int32 [K] and contains the fold of the input's zero point. Padding inserts the
    input's zero point. Without `requantization` the layer emits int32 acc + bias (logits).
    """

    name: str
    input: str
    weight: Weight
    bias: np.ndarray
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    requantization: Requantization | None = None
    groups: int = 1
    dilation: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        outputs = self.weight.shape[0]
        _require(self.bias.dtype == np.int32 and self.bias.shape == (outputs,), f"{self.name}.bias",
                 f"{self.bias.dtype}{list(self.bias.shape)}", f"must be int32 [{outputs}]",
                 "store one bias for each output channel")
        if self.requantization is not None:
            n = self.requantization.multiplier.shape
            _require({n, self.requantization.shift.shape} == {(outputs,)}, f"{self.name}.multiplier",
                     list(n), f"must be [{outputs}]", "store one multiplier for each channel")
        worst = self.worst_accumulator
        _require(worst < 2**31, f"{self.name}.bias", worst,
                 "|acc + bias| may reach 2^31 and the 32-bit psum would wrap",
                 "use smaller weights or split the layer")

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def zero_point(self) -> int:
        return self.requantization.zero_point if self.requantization else 0

    @cached_property
    def worst_accumulator(self) -> int:
        """Upper bound of |acc + bias| over all INT8 ifmaps."""
        magnitude = np.abs(self.weight.decode().astype(np.int64)).sum((1, 2, 3)) * 128
        return int((magnitude + np.abs(self.bias.astype(np.int64))).max())


@dataclass(frozen=True)
class Add:
    """Residual addition with one rounding: multipliers for both operands, one shift."""

    name: str
    inputs: tuple[str, str]
    multipliers: tuple[int, int]
    shift: int
    zero_point: int = 0
    low: int = -128
    high: int = 127


@dataclass(frozen=True)
class AveragePool:
    """Global average pool; 1/(H W) is part of the multiplier."""

    name: str
    input: str
    multiplier: int
    shift: int
    zero_point: int = 0
    low: int = -128
    high: int = 127

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)


Layer = Conv | Add | AveragePool


@dataclass(frozen=True)
class TensorSpec:
    """The network's input: shape (C, H, W), real = scale * (q - zero_point)."""

    shape: tuple[int, int, int]
    scale: float = 1.0
    zero_point: int = 0

    def quantize(self, real: np.ndarray) -> np.ndarray:
        """int8 of real values, rounded to nearest and clamped."""
        scaled = np.rint(real / self.scale) + self.zero_point
        return np.clip(scaled, -128, 127).astype(np.int8)


@dataclass(frozen=True)
class Network:
    """Layers in execution order; the last one is the output.

    Raises:
        InputError: a layer reads a tensor that does not exist yet, a name is used twice,
            or shapes disagree.
    """

    name: str
    input: TensorSpec
    layers: tuple[Layer, ...]
    metadata: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {"input"}
        for layer in self.layers:
            _require(layer.name not in known, "layer name", layer.name, "used twice", "rename it")
            for source in layer.inputs:
                _require(source in known, f"{layer.name}.input", source,
                         "no earlier layer has this name", "put layers in execution order")
            known.add(layer.name)
        _ = self.shapes

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = [layer.name for layer in self.layers]
        raise InputError("layer", name, f"not in network {self.name}", nearest(name, names))

    def zero_point(self, tensor: str) -> int:
        """Zero point of a tensor, by the name of its layer or 'input'."""
        return self.input.zero_point if tensor == "input" else self[tensor].zero_point

    @cached_property
    def maps(self) -> dict[str, tuple[int, int, int]]:
        """(C, H, W) of every tensor by name."""
        maps: dict[str, tuple[int, int, int]] = {"input": self.input.shape}
        for layer in self.layers:
            c, h, w = maps[layer.inputs[0]]
            if isinstance(layer, Conv):
                shape = _conv_shape(layer, (c, h, w))
                maps[layer.name] = (shape.outputs, shape.out_h, shape.out_w)
            elif isinstance(layer, Add):
                other = maps[layer.inputs[1]]
                _require(other == (c, h, w), f"{layer.name}.inputs", other,
                         f"shapes differ: {(c, h, w)}", "add tensors of one shape")
                maps[layer.name] = (c, h, w)
            else:
                maps[layer.name] = (c, 1, 1)
        return maps

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes of the layers, as mapping and the closed form take them.

        An addition rides on the convolution right before it when it is that layer's only reader.
        """
        readers: dict[str, int] = {}
        for layer in self.layers:
            for source in layer.inputs:
                readers[source] = readers.get(source, 0) + 1
        shapes: list[Shape] = []
        for previous, layer in zip((None, *self.layers), self.layers, strict=False):
            c, h, w = self.maps[layer.inputs[0]]
            if isinstance(layer, Conv):
                shapes.append(_conv_shape(layer, (c, h, w)))
            elif isinstance(layer, Add) and (
                isinstance(previous, Conv)
                and previous.name in layer.inputs
                and readers[previous.name] == 1
            ):
                ridden = shapes.pop()
                assert isinstance(ridden, ConvShape)
                shapes.append(ridden.with_residual(layer.name))
            else:
                shapes.append(PassShape(layer.name, "add" if isinstance(layer, Add) else "pool",
                                        elements=c * h * w, operands=len(layer.inputs),
                                        results=int(np.prod(self.maps[layer.name]))))
        return tuple(shapes)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference, dense-equivalent."""
        return sum(s.macs for s in self.shapes)


def _conv_shape(layer: Conv, ifmap: tuple[int, int, int]) -> ConvShape:
    outputs, c, ky, kx = layer.weight.shape
    _require(c == ifmap[0], f"{layer.name}.weight", list(layer.weight.shape),
             f"the ifmap has {ifmap[0]} channels", "give one kernel plane for each input channel")
    return ConvShape(layer.name, c, outputs, (ky, kx), layer.stride, layer.padding, ifmap[1:])


def run(network: Network, images: np.ndarray) -> dict[str, np.ndarray]:
    """Functional model: every tensor of the network for a batch of images.

    Args:
        images: int8 [batch, C, H, W], quantized as `network.input` says.

    Returns:
        int8 [batch, C, H, W] by layer name; int32 where a layer has no requantization.
    """
    tensors = {"input": images}
    for layer in network.layers:
        tensors[layer.name] = run_layer(network, layer, tensors)
    return tensors


def run_layer(network: Network, layer: Layer, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """One layer of the functional model, from the tensors it reads."""
    if isinstance(layer, Conv):
        acc = convolve(tensors[layer.input], layer, network.zero_point(layer.input))
        return finish(layer, acc)
    zeros = [network.zero_point(name) for name in layer.inputs]
    if isinstance(layer, Add):
        a, b = (tensors[name] for name in layer.inputs)
        return integer.add(a, b, layer.multipliers, layer.shift, (zeros[0], zeros[1]),
                           layer.zero_point, layer.low, layer.high)
    return integer.average_pool(tensors[layer.input], layer.multiplier, layer.shift, zeros[0],
                                layer.zero_point, layer.low, layer.high)


def pad(ifmap: np.ndarray, padding: tuple[int, int], zero_point: int) -> np.ndarray:
    """ifmap [..., H, W] with the zero point around it."""
    py, px = padding
    widths = [(0, 0)] * (ifmap.ndim - 2) + [(py, py), (px, px)]
    return np.pad(ifmap, widths, constant_values=zero_point)


def convolve(ifmap: np.ndarray, layer: Conv, zero_point: int) -> np.ndarray:
    """int32 accumulators [batch, K, OH, OW] of a convolution, without bias.

    Products are summed in float32 GEMMs split so that every partial sum stays below 2^24 and is
    exact; the parts add in int64.
    """
    weight = layer.weight.decode()
    outputs, c, ky, kx = weight.shape
    x = pad(ifmap, layer.padding, zero_point)
    windows = np.lib.stride_tricks.sliding_window_view(x, (ky, kx), (2, 3))
    windows = windows[:, :, :: layer.stride[0], :: layer.stride[1]]
    batch, _, oh, ow = windows.shape[:4]
    step = max(1, 1023 // (ky * kx))  # 1023 products of at most 2^14 stay below 2^24
    acc = np.zeros((batch, oh, ow, outputs), np.int64)
    for low in range(0, c, step):
        part = windows[:, low : low + step].transpose(0, 2, 3, 1, 4, 5).astype(np.float32)
        matrix = weight[:, low : low + step].reshape(outputs, -1).T.astype(np.float32)
        acc += (part.reshape(batch, oh, ow, -1) @ matrix).astype(np.int64)
    return np.moveaxis(acc, -1, 1).astype(np.int32)


def finish(layer: Conv, acc: np.ndarray) -> np.ndarray:
    """Bias and requantization of accumulators [batch, K, OH, OW]."""
    rows = np.moveaxis(acc, 1, -1)
    q = layer.requantization
    if q is None:
        out = (rows.astype(np.int64) + layer.bias).astype(np.int32)
    else:
        out = integer.requantize(rows, layer.bias, q.multiplier, q.shift, q.zero_point, q.low, q.high)
    return np.ascontiguousarray(np.moveaxis(out, -1, 1))
