"""Layer shapes: all that mapping, closed form and cost need to know of a network."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sim.errors import InputError


@dataclass(frozen=True)
class ConvShape:
    """A convolution or linear layer (1x1 kernel on a 1x1 map).

    Attributes:
        channels, outputs: input and output channels.
        kernel, stride, padding, size: (y, x) each; size is the ifmap without padding.
        residual: name of an addition that the storer performs on the fly, or "".
    """

    name: str
    channels: int
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    size: tuple[int, int] = (1, 1)
    residual: str = ""

    def __post_init__(self) -> None:
        for field in ("channels", "outputs"):
            if getattr(self, field) < 1:
                raise InputError(f"{self.name}.{field}", getattr(self, field), "must be positive",
                                 "give the layer's real channel count")
        if self.out_h < 1 or self.out_w < 1:
            raise InputError(f"{self.name}.kernel", self.kernel,
                             f"larger than the padded ifmap {self.size}", "pad the ifmap")

    @property
    def out_h(self) -> int:
        return (self.size[0] + 2 * self.padding[0] - self.kernel[0]) // self.stride[0] + 1

    @property
    def out_w(self) -> int:
        return (self.size[1] + 2 * self.padding[1] - self.kernel[1]) // self.stride[1] + 1

    @property
    def weights(self) -> int:
        return self.outputs * self.channels * self.kernel[0] * self.kernel[1]

    @property
    def macs(self) -> int:
        return self.weights * self.out_h * self.out_w

    @property
    def ifmap_bytes(self) -> int:
        return self.channels * self.size[0] * self.size[1]

    @property
    def ofmap_bytes(self) -> int:
        return self.outputs * self.out_h * self.out_w

    def with_residual(self, name: str) -> ConvShape:
        return replace(self, residual=name)


@dataclass(frozen=True)
class PassShape:
    """A pass over feature maps on the storer lanes: pooling, or an addition of its own.

    Attributes:
        kind: "pool" or "add".
        elements: read for each operand.
        operands: 1 or 2.
        results: elements written.
    """

    name: str
    kind: str
    elements: int
    operands: int
    results: int

    @property
    def macs(self) -> int:
        return 0


Shape = ConvShape | PassShape
