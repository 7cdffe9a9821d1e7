"""ResNets, built from their structure (He et al., CVPR 2016)."""

from __future__ import annotations

from sim.workloads.builder import BATCHNORM, BIAS, Builder, Tensor
from sim.workloads.workload import Workload


def imagenet(
    net: Builder, blocks: tuple[int, int, int, int], bottleneck: bool = False, size: int = 224
) -> Workload:
    """ResNet for 3 x size x size and 1000 classes with `blocks` residual blocks a stage."""
    *_, x = stages(net, Tensor(3, (size, size)), blocks, bottleneck)
    return classified(net, x, 1000)


def builder(name: str) -> Builder:
    """Of layers with a batch normalization each."""
    return Builder(name, affine=BATCHNORM)


def stages(net: Builder, x: Tensor, blocks: tuple[int, int, int, int], bottleneck: bool) -> list[Tensor]:
    """Stem and four stages of 64 << stage channels; returns the last map of each stage.

    A bottleneck block widens its result fourfold and strides at its 3x3 convolution (the "v1.5" of
    common checkpoints).
    """
    x = net.conv("conv1", x, 64, 7, 2)
    x = net.pool("maxpool", x, 3, 2, padding=1, largest=True)
    maps = []
    for stage, count in enumerate(blocks):
        width = 64 << stage
        for number in range(count):
            stride = 2 if stage > 0 and number == 0 else 1
            convs = (
                [(width, 1, 1), (width, 3, stride), (4 * width, 1, 1)]
                if bottleneck
                else [(width, 3, stride), (width, 3, 1)]
            )
            x = _block(net, f"layer{stage + 1}.{number}", x, convs)
        maps.append(x)
    return maps


def small(net: Builder, blocks: int = 3, channels: int = 1, size: int = 28, classes: int = 10) -> Workload:
    """The 6n+2 layer ResNet for small images, 1x1 convolutions as shortcuts; n = 3 is ResNet-20."""
    x = net.conv("stem", Tensor(channels, (size, size)), 16, 3)
    for stage in range(3):
        width = 16 << stage
        for number in range(blocks):
            stride = 2 if stage > 0 and number == 0 else 1
            x = _block(net, f"stage{stage + 1}.{number}", x, [(width, 3, stride), (width, 3, 1)])
    return classified(net, x, classes)


def classified(net: Builder, x: Tensor, classes: int) -> Workload:
    """Global average pool and linear layer."""
    net.linear("fc", net.global_pool("pool", x), classes, affine=BIAS)
    return net.workload()


def _block(net: Builder, name: str, x: Tensor, convs: list[tuple[int, int, int]]) -> Tensor:
    """Residual block of (outputs, kernel, stride); a 1x1 convolution is the shortcut where they change x."""
    outputs, stride = convs[-1][0], max(stride for _, _, stride in convs)
    shortcut = x
    if stride > 1 or outputs != x.channels:
        shortcut = net.conv(f"{name}.shortcut", x, outputs, 1, stride)
    for number, (outputs, kernel, step) in enumerate(convs, 1):
        x = net.conv(f"{name}.conv{number}", x, outputs, kernel, step)
    return net.add(f"{name}.add", x, shortcut)
