"""MobileNetV3-Large (Howard et al., ICCV 2019, table 1) as a body of features, without its classifier.

Weights of ImageNet come in no package, so that a network of this file starts from random ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

FEATURES = 960
"""Channels of the last map, and of the pooled feature."""


@dataclass(frozen=True)
class Block:
    """An inverted residual.

    Attributes:
        expanded: channels of its depth-wise convolution.
        squeeze: whether a gate of the channels' means scales them.
        hard: h-swish in place of ReLU.
    """

    expanded: int
    channels: int
    kernel: int
    stride: int
    squeeze: bool
    hard: bool


LARGE = (
    Block(16, 16, 3, 1, squeeze=False, hard=False),
    Block(64, 24, 3, 2, squeeze=False, hard=False),
    Block(72, 24, 3, 1, squeeze=False, hard=False),
    Block(72, 40, 5, 2, squeeze=True, hard=False),
    Block(120, 40, 5, 1, squeeze=True, hard=False),
    Block(120, 40, 5, 1, squeeze=True, hard=False),
    Block(240, 80, 3, 2, squeeze=False, hard=True),
    Block(200, 80, 3, 1, squeeze=False, hard=True),
    Block(184, 80, 3, 1, squeeze=False, hard=True),
    Block(184, 80, 3, 1, squeeze=False, hard=True),
    Block(480, 112, 3, 1, squeeze=True, hard=True),
    Block(672, 112, 3, 1, squeeze=True, hard=True),
    Block(672, 160, 5, 2, squeeze=True, hard=True),
    Block(960, 160, 5, 1, squeeze=True, hard=True),
    Block(960, 160, 5, 1, squeeze=True, hard=True),
)


class SqueezeExcite(nn.Module):
    """Scales channels by a gate of their means, through a quarter of them, a multiple of 8."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = _multiple_of_8(channels / 4)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.reduce, self.excite = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)
        self.relu, self.gate = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.excite(self.relu(self.reduce(self.mean(x)))))


class InvertedResidual(nn.Module):
    """Expand, depth-wise, squeeze-excite, project; a shortcut where the shapes agree."""

    def __init__(self, inputs: int, block: Block) -> None:
        super().__init__()
        self.adds = block.stride == 1 and inputs == block.channels
        wide, act = block.expanded, nn.Hardswish if block.hard else nn.ReLU
        self.expand = conv_norm(inputs, wide, act=act) if wide != inputs else nn.Sequential()
        self.depthwise = conv_norm(wide, wide, block.kernel, block.stride, wide, act)
        self.squeeze = SqueezeExcite(wide) if block.squeeze else nn.Sequential()
        self.project = conv_norm(wide, block.channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.squeeze(self.depthwise(self.expand(x))))
        return x + y if self.adds else y


class MobileNetV3(nn.Module):
    """Normalized pixels [batch, 3, H, W] -> pooled features [batch, 960]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_norm(3, 16, 3, 2, act=nn.Hardswish)
        blocks, inputs = [], 16
        for block in LARGE:
            blocks.append(InvertedResidual(inputs, block))
            inputs = block.channels
        self.blocks = nn.Sequential(*blocks)
        self.last = conv_norm(inputs, FEATURES, act=nn.Hardswish)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.blocks(self.stem(x))).mean((2, 3))


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    act: type[nn.Module] | None = None,
) -> nn.Sequential:
    """Convolution, batch norm and activation.

    Epsilon is torchvision's; its momentum of 0.01 is not: statistics of a training of some hundred updates
    would be those of its beginning.
    """
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, 1e-3), *([act()] if act else []))


def _multiple_of_8(channels: float) -> int:
    """The nearest one, but not below nine tenths of `channels`."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
