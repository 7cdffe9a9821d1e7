"""Residual networks for small images (He et al. 2016, sec. 4.2): depth 6n + 2, widths w, 2w, 4w.

Inputs are bytes divided by 255, in [0, 1], not standardised: so the integer network takes the
bytes themselves. Down-sampling shortcuts are 1x1 convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sim.errors import InputError


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; float [batch, inputs, H, W] -> [batch, outputs, ...]."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Float [batch, channels, H, W] in [0, 1] -> logits [batch, classes].

    Args:
        depth: 6n + 2 (8, 14, 20, 26, ...).
        width: output channels of the stem and of the first of the three stages.
    """

    def __init__(self, depth: int = 20, width: int = 16, channels: int = 1,
                 classes: int = 10) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise InputError("depth", depth, "is not 6n + 2", "use 8, 14, 20, 26, ...")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.stages = nn.ModuleList()
        inputs = width
        for stage in range(3):
            outputs = width << stage
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            layers = []
            for stride in strides:
                layers.append(BasicBlock(inputs, outputs, stride))
                inputs = outputs
            self.stages.append(nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        for stage in self.stages:
            x = stage(x)
        return self.fc(x.mean((2, 3)))


def resnet20() -> ResNet:
    """ResNet-20 for 1x28x28 images and 10 classes: 272,186 parameters."""
    return ResNet(20)
