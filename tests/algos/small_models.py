"""Small models and images for tests."""

from __future__ import annotations

import torch
from torch import nn

from algos.data.fashion_mnist import Images
from algos.models.resnet import ResNet


def images(count: int, seed: int = 0) -> Images:
    """Smooth random pictures with random labels."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 7, 7, generator=generator)
    pixels = nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear") * 255
    return Images(pixels.to(torch.uint8), torch.randint(0, 10, (count,), generator=generator))


def resnet8(width: int = 16, seed: int = 0) -> ResNet:
    """With batch norms as training leaves them: statistics of the data, gains of either sign."""
    torch.manual_seed(seed)
    model = ResNet(8, width)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        nn.init.normal_(norm.weight, 1.0, 0.3)
        nn.init.normal_(norm.bias, 0.0, 0.2)
        norm.weight.data[::5] *= -1
    with torch.no_grad():
        model.train()(images(64, seed=9).pixels.float() / 255)
    return model.eval()
