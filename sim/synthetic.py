"""Networks of integers with seeded random weights: the true graph, shapes and formats, nothing trained.

No trained ImageNet network ships with this package. These stand in where values only have to be lively:
engine runs, benchmarks, tests. Every name ends in "-synthetic", and the metadata says so.

All zero points are 0, and a ReLU is low = 0. Scales follow from one random image that passes through the
functional model layer by layer, much as batch normalization would set them: each channel of a
convolution is centred near 0 with a deviation of `DEVIATION`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from sim import formats
from sim.accelerator import Accelerator
from sim.errors import InputError, nearest
from sim.formats.policy import exclusions, own_codewords
from sim.network import (
    WEIGHTS,
    Add,
    AveragePool,
    Conv,
    Layer,
    Network,
    Pool,
    Requantization,
    TensorSpec,
    Weight,
    convolve,
    finish,
    run_layer,
)
from sim.shapes import ConvShape
from sim.workloads import resnet
from sim.workloads.builder import BATCHNORM, Builder, Pair, Tensor

SUFFIX = "-synthetic"
DEVIATION = 40
"""Of a requantized convolution's channel before its ReLU, in steps of INT8: 127 lies at 3.2 sigma."""
PEAK = 120
"""Where the largest values (`QUANTILE`) of an addition or average lie."""
QUANTILE = 0.995

_NETWORKS: dict[str, Callable[[Builder, int], object]] = {
    "resnet18": lambda net, size: resnet.imagenet(net, (2, 2, 2, 2), size=size),
    "resnet50": lambda net, size: resnet.imagenet(net, (3, 4, 6, 3), bottleneck=True, size=size),
    "resnet20": lambda net, size: resnet.small(net, size=size),
}
NAMES = tuple(name + SUFFIX for name in _NETWORKS)


def synthetic(
    name: str,
    weight: str = "mvq",
    k: int = 512,
    d: int = 16,
    keep: int = 4,
    group: int = 16,
    seed: int = 0,
    scale_group: int = 128,
    size: int | None = None,
) -> Network:
    """A network with random weights in one format.

    Args:
        name: resnet18, resnet50 (3 x 224 x 224, 1000 classes) or resnet20 (1 x 28 x 28, 10 classes), with
            "-synthetic" behind or not.
        weight: format of the layers that a machine of it would compress (`sim.formats.policy`), the
            others stay dense INT8. A layer has a codebook of its own; with "rom" all share one.
        k, d: codewords (at most half the sub-vectors of a layer) and their length.
        keep, group: N:M of "mvq".
        scale_group: input channels that share a scale, in formats with group scales.
        size: height and width of the image instead of the usual one.

    Raises:
        InputError: an unknown name or format.
    """
    name = name.removesuffix(SUFFIX)
    if name not in _NETWORKS:
        raise InputError("network", name + SUFFIX, "no such synthetic network", nearest(name, _NETWORKS))
    form = formats.named(weight)
    graph = _Graph(name)
    _NETWORKS[name](graph, size or (28 if name == "resnet20" else 224))
    rng = np.random.default_rng(seed)
    draw = _Draw(rng, form, k, d, keep, group, scale_group)
    excluded = exclusions(graph.shapes, d if form.coded else 1)
    first = graph.steps[0].shape
    assert first is not None
    spec = TensorSpec((first.channels, *first.size), scale=1 / 64)
    readers = Counter(source for step in graph.steps for source in step.inputs)
    only_added = {
        source for step in graph.steps if step.kind == "add" for source in step.inputs if readers[source] == 1
    }
    tensors = {"input": rng.integers(-128, 128, (1, *spec.shape)).astype(np.int8)}
    layers: list[Layer] = []
    for step in graph.steps:
        x = tensors[step.inputs[0]]
        if step.shape is not None:
            conv = _conv(step, draw.weight(step.shape, not excluded[step.shape.name]))
            low = -128 if step.name in only_added else 0
            conv, tensors[step.name] = _calibrated(conv, x, low, step is graph.steps[-1], rng)
            layers.append(conv)
            continue
        layer: Layer
        if step.kind == "add":
            m, s = _fixed(PEAK / np.quantile(x.astype(np.int16) + tensors[step.inputs[1]], QUANTILE))
            layer = Add(step.name, (step.inputs[0], step.inputs[1]), (m, m), s, low=0)
        elif step.kind == "average":
            m, s = _fixed(PEAK / np.quantile(x.sum((-2, -1), dtype=np.int64), QUANTILE))
            layer = AveragePool(step.name, step.inputs[0], m, s)
        else:
            layer = Pool(step.name, step.inputs[0], "max", step.kernel, step.stride, step.padding)
        layers.append(layer)
        tensors[step.name] = run_layer(Network(name, spec, tuple(layers)), layer, tensors)
    return Network(
        name + SUFFIX,
        spec,
        tuple(layers),
        metadata={"synthetic": True, "weights": f"random, not trained: {weight}, seed {seed}"},
    )


def native(name: str, accelerator: Accelerator, seed: int = 0) -> Network:
    """A synthetic network in the format that an accelerator is made for."""
    return synthetic(
        name,
        accelerator.format,
        accelerator.codebook_entries,
        accelerator.codeword_length,
        accelerator.keep,
        accelerator.group,
        seed,
        accelerator.scale_group,
    )


def one_layer(channels: int, size: int, accelerator: Accelerator, seed: int = 0) -> Network:
    """A 3x3 convolution of as many outputs as channels, on maps of size x size, in the native format."""
    shape = ConvShape("conv", channels, channels, (3, 3), padding=(1, 1), size=(size, size))
    rng = np.random.default_rng(seed)
    draw = _Draw(
        rng,
        accelerator.weights,
        accelerator.codebook_entries,
        accelerator.codeword_length,
        accelerator.keep,
        accelerator.group,
        accelerator.scale_group,
    )
    conv = _conv(_Step("conv", "conv", ("input",), shape), draw.weight(shape, compressed=True))
    image = rng.integers(-128, 128, (1, channels, size, size)).astype(np.int8)
    conv, _ = _calibrated(conv, image, 0, False, rng)
    metadata = {"synthetic": True, "weights": f"random, not trained: {accelerator.format}, seed {seed}"}
    return Network("layer" + SUFFIX, TensorSpec((channels, size, size)), (conv,), metadata)


@dataclass(frozen=True)
class _Step:
    """A layer without its numbers; `shape` of a convolution, the window of a pool."""

    kind: Literal["conv", "add", "max", "average"]
    name: str
    inputs: tuple[str, ...]
    shape: ConvShape | None = None
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


class _Graph(Builder):
    """A builder that also remembers which layer reads which."""

    def __init__(self, name: str) -> None:
        super().__init__(name, affine=BATCHNORM)
        self.steps: list[_Step] = []
        self._names = {-1: "input"}  # of the tensor that a shape writes

    def conv(self, name: str, x: Tensor, *args: Pair, **fields: object) -> Tensor:  # type: ignore[override]
        y = super().conv(name, x, *args, **fields)  # type: ignore[arg-type]
        shape = self.shapes[-1]
        assert isinstance(shape, ConvShape)
        return self._step(y, _Step("conv", name, (self._names[x.layer],), shape))

    linear = conv

    def pool(
        self,
        name: str,
        x: Tensor,
        kernel: Pair,
        stride: Pair | None = None,
        padding: int = 0,
        largest: bool = False,
    ) -> Tensor:
        y = super().pool(name, x, kernel, stride, padding, largest)
        assert isinstance(kernel, int)
        assert isinstance(stride, int)
        return self._step(
            y,
            _Step(
                "max",
                name,
                (self._names[x.layer],),
                None,
                (kernel, kernel),
                (stride, stride),
                (padding, padding),
            ),
        )

    def global_pool(self, name: str, x: Tensor) -> Tensor:
        return self._step(super().pool(name, x, x.size), _Step("average", name, (self._names[x.layer],)))

    def add(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        inputs = self._names[x.layer], self._names[y.layer]
        return self._step(super().add(name, x, y), _Step("add", name, inputs))

    def _step(self, y: Tensor, step: _Step) -> Tensor:
        self.steps.append(step)
        self._names[y.layer] = step.name
        return y


@dataclass
class _Draw:
    """Draws weights."""

    rng: np.random.Generator
    form: formats.Format
    k: int
    codeword_length: int
    keep: int
    group: int
    scale_group: int
    shared: np.ndarray | None = field(default=None, init=False)

    def weight(self, shape: ConvShape, compressed: bool) -> Weight:
        """Of a convolution: normal INT8 values, or normal codewords, each of them as likely."""
        places = (shape.outputs, shape.channels // shape.groups, *shape.kernel)
        form = self.form if compressed else formats.FORMATS["dense"]
        k = self.k if form.universal else own_codewords(shape, self.k, self.codeword_length)
        values = self._shared if form.universal else self._normal
        return WEIGHTS[form.weight](**form.draw(places, k, self, self._below, values))  # type: ignore[arg-type]

    def _below(self, limit: int, shape: tuple[int, ...]) -> np.ndarray:
        return self.rng.integers(0, limit, shape, np.uint16)

    def _shared(self, shape: tuple[int, ...]) -> np.ndarray:
        if self.shared is None:
            self.shared = self._normal(shape)
        return self.shared

    def _normal(self, shape: tuple[int, ...]) -> np.ndarray:
        values = self.rng.standard_normal(shape, np.float32) * DEVIATION
        return np.clip(np.rint(values), -127, 127).astype(np.int8)


def _conv(step: _Step, weight: Weight) -> Conv:
    shape = step.shape
    assert shape is not None
    return Conv(
        step.name,
        step.inputs[0],
        weight,
        np.zeros(shape.outputs, np.int32),
        shape.stride,
        shape.padding,
        groups=shape.groups,
        dilation=shape.dilation,
    )


def _calibrated(
    layer: Conv, x: np.ndarray, low: int, logits: bool, rng: np.random.Generator
) -> tuple[Conv, np.ndarray]:
    """The layer with bias and requantization, and what it computes of x, int8 [1, C, H, W].

    A map of few pixels says little about a channel: its deviation is at least an eighth of all channels'.
    """
    acc = convolve(x, layer, 0)
    deviation = np.maximum(acc.std((0, 2, 3)), max(acc.std() / 8, 1.0))
    shift = 0.5 * rng.standard_normal(len(deviation))
    bias = np.rint(shift * deviation - acc.mean((0, 2, 3))).astype(np.int32)
    if logits:
        layer = replace(layer, bias=bias)
    else:
        m, s = zip(*map(_fixed, DEVIATION / deviation), strict=True)
        scale = Requantization(np.array(m, np.uint16), np.array(s, np.uint8), low=low)
        layer = replace(layer, bias=bias, requantization=scale)
    return layer, finish(layer, acc)


def _fixed(ratio: float) -> tuple[int, int]:
    """Multiplier of 16 bits and shift: ratio = m / 2^s."""
    shift = 15 - int(np.floor(np.log2(ratio)))
    return min(round(ratio * 2**shift), 2**16 - 1), shift
