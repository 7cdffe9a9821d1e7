"""Teacher of appearance and motion, student of appearance alone (FacePAD, arXiv 2605.13108).

Layers and widths are those of the first author's earlier code, assumed for this paper too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algos.models.mobilenet_v3 import FEATURES, MobileNetV3

HIDDEN = 512
ATTACK, REAL = 0, 1
"""Classes, by their logit."""
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels 0..1."""


class Student(nn.Module):
    """Normalized pixels [batch, 3, H, W] -> logits [batch, 2] of attack and real face."""

    def __init__(self) -> None:
        super().__init__()
        self.body = MobileNetV3()
        self.head = _head(FEATURES)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.body(pixels))


class Teacher(nn.Module):
    """Normalized pixels and encoded flow, both [batch, 3, H, W] -> logits [batch, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.appearance, self.motion = MobileNetV3(), MobileNetV3()
        self.head = _head(2 * FEATURES)

    def forward(self, pixels: Tensor, flow: Tensor) -> Tensor:
        return self.head(torch.cat((self.appearance(pixels), self.motion(flow)), 1))


def normalized(pixels: Tensor) -> Tensor:
    """uint8 [n, 3, H, W] -> what the appearance branches take."""
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    return (pixels.float() / 255 - mean) / deviation


def normalized_flow(colours: Tensor) -> Tensor:
    """Colours of motion, uint8 [n, 3, H, W] -> what the motion branch takes, -1..1."""
    return colours.float() / 127.5 - 1


def scores(logits: Tensor) -> Tensor:
    """Probability of a real face [n]."""
    return logits.softmax(1)[:, REAL]


def _head(features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU(), nn.Dropout(0.2), nn.Linear(HIDDEN, 2))
