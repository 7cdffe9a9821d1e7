"""Networks written as code on tensors that have a shape and no values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.shapes import Axis, ConvShape, PassShape, Shape, map_bytes, pooling
from sim.workloads.workload import Workload

NONE, BIAS, BATCHNORM = 0, 1, 2
"""Parameters a layer holds for each output beside its weights."""

Pair = int | tuple[int, int]


@dataclass(frozen=True)
class Tensor:
    """A feature map, or tokens as a map of (tokens, 1).

    Attributes:
        size: (y, x). Several images or frames lie one below the other.
        layer: number of the layer that writes it; -1 for an input of the network.
    """

    channels: int
    size: tuple[int, int]
    layer: int = -1

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def elements(self) -> int:
        return self.channels * self.pixels

    def view(self, channels: int, size: tuple[int, int]) -> Tensor:
        """The same bytes, or a part of them, with another shape."""
        return replace(self, channels=channels, size=size)

    @property
    def tokens(self) -> Tensor:
        return self.view(self.channels, (self.pixels, 1))

    @property
    def flat(self) -> Tensor:
        return self.view(self.elements, (1, 1))

    @property
    def last(self) -> Tensor:
        """One token or pixel of all."""
        return self.view(self.channels, (1, 1))


class Builder:
    """Writes down each layer as it is applied, and counts its parameters.

    What a layer costs beside its products follows from the order of the calls: a layer is chained if it
    reads what the layer before it wrote, an addition rides on the convolution right before it, and
    an activation on the convolution that wrote its operand.

    Args:
        affine: parameters of a layer for each output unless it says otherwise: NONE, BIAS, BATCHNORM.
    """

    def __init__(self, name: str, affine: int = BIAS) -> None:
        self.name, self.affine = name, affine
        self.shapes: list[Shape] = []
        self.parameters = 0

    def workload(self, passes: int = 1) -> Workload:
        return Workload(self.name, tuple(self.shapes), self.parameters, passes)

    def conv(
        self,
        name: str,
        x: Tensor,
        outputs: int,
        kernel: Pair = 1,
        stride: Pair = 1,
        *,
        padding: Pair | None = None,
        padding_end: tuple[int, int] | None = None,
        dilation: Pair = 1,
        groups: int = 1,
        affine: int | None = None,
    ) -> Tensor:
        """A convolution, padded to keep the size divided by the stride unless told otherwise."""
        kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
        same = (kernel[0] // 2 * dilation[0], kernel[1] // 2 * dilation[1])
        shape = ConvShape(
            name,
            x.channels,
            outputs,
            kernel,
            stride,
            same if padding is None else _pair(padding),
            x.size,
            dilation=dilation,
            groups=groups,
            chained=self._chained(x),
            padding_end=padding_end,
        )
        self.parameters += shape.weights + outputs * (self.affine if affine is None else affine)
        return self._write(shape, outputs, (shape.out_h, shape.out_w))

    linear = conv
    """On tokens, a 1x1 convolution is a linear layer."""

    def depthwise(self, name: str, x: Tensor, kernel: Pair, stride: Pair = 1, dilation: Pair = 1) -> Tensor:
        return self.conv(name, x, x.channels, kernel, stride, dilation=dilation, groups=x.channels)

    def product(self, name: str, x: Tensor, outputs: int, groups: int) -> Tensor:
        """A matrix product of x, with its heads as groups of channels, and another activation."""
        shape = ConvShape(
            name, x.channels, outputs, size=x.size, groups=groups, dynamic=True, chained=self._chained(x)
        )
        return self._write(shape, outputs, x.size)

    def pool(
        self,
        name: str,
        x: Tensor,
        kernel: Pair,
        stride: Pair | None = None,
        padding: int = 0,
        largest: bool = False,
    ) -> Tensor:
        """A pooling of a whole kernel for each result; `largest`: of x, which nothing else reads, the maximum."""
        kernel = _pair(kernel)
        step = kernel if stride is None else _pair(stride)
        high, wide = ((x.size[axis] + 2 * padding - kernel[axis]) // step[axis] + 1 for axis in (0, 1))
        y, across = (Axis(*axis, padding) for axis in zip(x.size, kernel, step, strict=True))
        windows = (y, across) if largest and self._chained(x) else None
        shape = pooling(name, x.channels, x.size, (high, wide), kernel, step, self._chained(x), windows)
        return self._write(shape, x.channels, (high, wide))

    def sample(self, name: str, x: Tensor, size: tuple[int, int], count: int) -> Tensor:
        """A pooling to any size that reads `count` elements of x for each result."""
        results = x.view(x.channels, size)
        return self._pass(name, "pool", results, x, elements=count * results.elements)

    def global_pool(self, name: str, x: Tensor) -> Tensor:
        return self.pool(name, x, x.size)

    def add(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """x + y, on the fly if the convolution right before writes one of them."""
        if y.layer > x.layer:
            x, y = y, x
        last = self.shapes[-1]
        if self._chained(x) and isinstance(last, ConvShape) and not last.residual:
            self.shapes[-1] = last.with_residual(name)
            return x
        return self._pass(name, "add", x, x, y)

    def multiply(self, name: str, x: Tensor, y: Tensor) -> Tensor:
        """x * y; y may be one value a channel."""
        return self._pass(name, "multiply", x, x, y)

    def activation(self, name: str, x: Tensor) -> Tensor:
        """A table look-up, as SiLU; one that only clamps, as ReLU, need not be written at all."""
        if x.layer >= 0 and isinstance(self.shapes[x.layer], ConvShape):
            return x
        return self._pass(name, "table", x, x)

    def norm(self, name: str, x: Tensor, kind: str = "layernorm", parameters: int | None = None) -> Tensor:
        """A normalization ("layernorm" or "rmsnorm"); over groups of channels it costs the same.

        Args:
            parameters: instead of scale and shift (a scale alone for "rmsnorm") for each channel.
        """
        per_channel = 2 if kind == "layernorm" else 1
        self.parameters += per_channel * x.channels if parameters is None else parameters
        return self._pass(name, kind, x, x)

    def softmax(self, name: str, x: Tensor) -> Tensor:
        return self._pass(name, "softmax", x, x)

    def rotate(self, name: str, x: Tensor) -> Tensor:
        """Rotary position embedding."""
        return self._pass(name, "rotate", x, x)

    def concat(self, name: str, *parts: Tensor) -> Tensor:
        """Channels of all parts, requantized into one scale."""
        joined = parts[0].view(sum(part.channels for part in parts), parts[0].size)
        return self._pass(name, "concat", joined, *parts, elements=joined.elements)

    def upsample(self, name: str, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Nearest or bilinear, one operation a result."""
        larger = x.view(x.channels, size)
        return self._pass(name, "upsample", larger, x, elements=larger.elements)

    def scan(self, name: str, x: Tensor, *others: Tensor, states: int) -> Tensor:
        """A selective scan of x with its step sizes, input and output matrices and decays."""
        return self._pass(name, "scan", x, x, *others, elements=x.elements * states)

    def _pass(self, name: str, kind: str, results: Tensor, *operands: Tensor, elements: int = 0) -> Tensor:
        """A pass over whole operands, which a pool alone reads more than once."""
        elements = elements or results.elements
        count = 2 if kind in ("add", "multiply") else 1
        read = sum(map_bytes(operand.channels, operand.pixels) for operand in operands)
        shape = PassShape(
            name,
            kind,
            elements,
            count,
            results.elements,
            self._chained(operands[0]),
            channels=results.channels,
        )
        if kind != "pool" and read != shape.ifmap_bytes:
            shape = replace(shape, reads=read)
        return self._write(shape, results.channels, results.size)

    def _chained(self, x: Tensor) -> bool:
        return x.layer == len(self.shapes) - 1

    def _write(self, shape: Shape, channels: int, size: tuple[int, int]) -> Tensor:
        self.shapes.append(shape)
        return Tensor(channels, size, len(self.shapes) - 1)


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value
