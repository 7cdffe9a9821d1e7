"""Networks of depth-wise separable convolutions, for 3x224x224."""

from __future__ import annotations

from sim.workloads.builder import BATCHNORM, BIAS, Builder, Tensor
from sim.workloads.resnet import classified
from sim.workloads.workload import Workload

_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""(expansion, outputs, blocks, stride) a stage: table 2 of MobileNetV2."""

_LITE0 = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""The same and the kernel, of EfficientNet-Lite0."""

_V3_LARGE = (
    (16, 16, 3, 1, False),
    (64, 24, 3, 2, False),
    (72, 24, 3, 1, False),
    (72, 40, 5, 2, True),
    (120, 40, 5, 1, True),
    (120, 40, 5, 1, True),
    (240, 80, 3, 2, False),
    (200, 80, 3, 1, False),
    (184, 80, 3, 1, False),
    (184, 80, 3, 1, False),
    (480, 112, 3, 1, True),
    (672, 112, 3, 1, True),
    (672, 160, 5, 2, True),
    (960, 160, 5, 1, True),
    (960, 160, 5, 1, True),
)
"""(expanded channels, outputs, kernel, stride, squeeze-excite) a block: table 1 of MobileNetV3."""


def v1() -> Workload:
    """MobileNet of Howard et al., arXiv 1704.04861, table 1; 1000 classes."""
    net = Builder("mobilenet-v1", affine=BATCHNORM)
    x = net.conv("stem", Tensor(3, (224, 224)), 32, 3, 2)
    widths = (
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *5 * [(512, 1)],
        (1024, 2),
        (1024, 1),
    )
    for number, (outputs, stride) in enumerate(widths, 1):
        x = net.depthwise(f"block{number}.depthwise", x, 3, stride)
        x = net.conv(f"block{number}.pointwise", x, outputs)
    return classified(net, x, 1000)


def v2() -> Workload:
    """MobileNetV2 of Sandler et al., CVPR 2018; 1000 classes."""
    net = Builder("mobilenet-v2", affine=BATCHNORM)
    x = v2_features(net, Tensor(3, (224, 224)))
    return classified(net, net.conv("last", x, 1280), 1000)


def v2_features(net: Builder, x: Tensor, output_stride: int = 32) -> Tensor:
    """Stem and bottlenecks of MobileNetV2, 320 channels.

    Args:
        output_stride: at most this factor smaller than x; past it, strides become dilations.
    """
    x = net.conv("stem", x, 32, 3, 2)
    reached, dilation = 2, 1
    for stage, (expansion, outputs, blocks, stride) in enumerate(_V2, 1):
        for number in range(blocks):
            step, applied = (stride if number == 0 else 1), dilation
            if reached * step > output_stride:
                step, dilation = 1, dilation * step
            reached *= step
            x = _inverted(net, f"stage{stage}.{number}", x, x.channels * expansion, outputs, 3, step, applied)
    return x


def efficientnet_lite0() -> Workload:
    """EfficientNet-Lite0 (the B0 of Tan and Le, ICML 2019, without squeeze-excite and with ReLU6)."""
    net = Builder("efficientnet-lite0", affine=BATCHNORM)
    x = net.conv("stem", Tensor(3, (224, 224)), 32, 3, 2)
    for stage, (expansion, outputs, blocks, stride, kernel) in enumerate(_LITE0, 1):
        for number in range(blocks):
            x = _inverted(
                net,
                f"stage{stage}.{number}",
                x,
                x.channels * expansion,
                outputs,
                kernel,
                stride if number == 0 else 1,
            )
    return classified(net, net.conv("last", x, 1280), 1000)


def v3_facepad() -> Workload:
    """MobileNetV3-Large of Howard et al., ICCV 2019, with a head of 960-512-2 for live and spoof faces.

    The student of Jabbar et al., arXiv 2605.13108; the head is assumed from the authors' earlier code.
    """
    net = Builder("mobilenet-v3-facepad", affine=BATCHNORM)
    x = net.conv("stem", Tensor(3, (224, 224)), 16, 3, 2)
    for number, (expanded, outputs, kernel, stride, squeeze) in enumerate(_V3_LARGE, 1):
        x = _inverted(net, f"block{number}", x, expanded, outputs, kernel, stride, squeeze=squeeze)
    x = net.global_pool("pool", net.conv("last", x, 960))
    x = net.linear("fc1", x, 512, affine=BIAS)
    net.linear("fc2", x, 2, affine=BIAS)
    return net.workload()


def _inverted(
    net: Builder,
    name: str,
    x: Tensor,
    expanded: int,
    outputs: int,
    kernel: int,
    stride: int,
    dilation: int = 1,
    squeeze: bool = False,
) -> Tensor:
    """Inverted residual block: expand, depth-wise, squeeze-excite, project."""
    y = x
    if expanded != x.channels:
        y = net.conv(f"{name}.expand", y, expanded)
    y = net.depthwise(f"{name}.depthwise", y, kernel, stride, dilation)
    if squeeze:
        y = _squeeze_excite(net, name, y)
    y = net.conv(f"{name}.project", y, outputs)
    return net.add(f"{name}.add", y, x) if stride == 1 and outputs == x.channels else y


def _squeeze_excite(net: Builder, name: str, x: Tensor) -> Tensor:
    """Scales channels by a gate of their means, through a quarter of them rounded to a multiple of 8."""
    gate = net.global_pool(f"{name}.squeeze", x)
    gate = net.linear(f"{name}.reduce", gate, _multiple_of_8(x.channels / 4), affine=BIAS)
    gate = net.linear(f"{name}.excite", gate, x.channels, affine=BIAS)
    return net.multiply(f"{name}.scale", x, gate)


def _multiple_of_8(channels: float) -> int:
    """The nearest one, but not below nine tenths of `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
