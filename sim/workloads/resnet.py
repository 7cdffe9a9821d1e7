"""ResNets as layer shapes, built from their structure (He et al., CVPR 2016)."""

from __future__ import annotations

from dataclasses import dataclass

from sim.shapes import ConvShape, PassShape, Shape


@dataclass
class _Map:
    """The feature map as layers are added to it."""

    shapes: list[Shape]
    channels: int
    size: int

    def conv(self, name: str, outputs: int, kernel: int, stride: int = 1) -> None:
        """A convolution with 'same' padding that replaces the map."""
        shape = _conv(name, self.channels, outputs, kernel, stride, self.size)
        self.shapes.append(shape)
        self.channels, self.size = outputs, shape.out_h

    def pool(self, name: str, size: int, kernel: int) -> None:
        """A pooling to size x size; each result reads kernel x kernel elements."""
        results = self.channels * size * size
        self.shapes.append(PassShape(name, "pool", results * kernel * kernel, 1, results))
        self.size = size

    def block(self, name: str, convs: list[tuple[int, int, int]]) -> None:
        """Residual block of (outputs, kernel, stride); its addition rides on the last convolution.

        The shortcut is the map itself, or a 1x1 convolution where channels or size change.
        """
        channels, size = self.channels, self.size
        outputs, stride = convs[-1][0], max(stride for _, _, stride in convs)
        if stride > 1 or outputs != channels:
            self.shapes.append(_conv(f"{name}.shortcut", channels, outputs, 1, stride, size))
        for number, (outputs, kernel, step) in enumerate(convs, 1):
            self.conv(f"{name}.conv{number}", outputs, kernel, step)
        last = self.shapes[-1]
        assert isinstance(last, ConvShape)
        self.shapes[-1] = last.with_residual(f"{name}.add")

    def classifier(self, classes: int) -> list[Shape]:
        """Global average pool and linear layer."""
        self.pool("pool", 1, self.size)
        self.conv("fc", classes, 1)
        return self.shapes


def _conv(name: str, channels: int, outputs: int, kernel: int, stride: int, size: int) -> ConvShape:
    return ConvShape(name, channels, outputs, (kernel, kernel), (stride, stride),
                     (kernel // 2, kernel // 2), (size, size))


def imagenet(blocks: tuple[int, int, int, int], bottleneck: bool = False) -> list[Shape]:
    """ResNet for 3x224x224 and 1000 classes with `blocks` residual blocks a stage.

    A bottleneck block reduces channels to a quarter between 1x1 convolutions and strides at its
    3x3 one (the "v1.5" of common checkpoints).
    """
    net = _Map([], 3, 224)
    net.conv("conv1", 64, 7, 2)
    net.pool("maxpool", 56, 3)
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            convs = ([(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)] if bottleneck
                     else [(width, 3, stride), (width, 3, 1)])
            net.block(f"layer{stage + 1}.{number}", convs)
    return net.classifier(1000)


def small(blocks: int = 3, channels: int = 1, size: int = 28, classes: int = 10) -> list[Shape]:
    """The 6n+2 layer ResNet for small images, 1x1 convolutions as shortcuts; n = 3 is ResNet-20."""
    net = _Map([], channels, size)
    net.conv("stem", 16, 3)
    for stage in range(3):
        width = 16 << stage
        for number in range(blocks):
            stride = 2 if stage > 0 and number == 0 else 1
            net.block(f"stage{stage + 1}.{number}", [(width, 3, stride), (width, 3, 1)])
    return net.classifier(classes)
