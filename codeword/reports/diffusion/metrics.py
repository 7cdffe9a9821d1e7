"""How near pictures are to others: in pairs, and as distributions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from algos.models.resnet import ResNet

WINDOW = 7
"""Pixels of SSIM's window, uniform (Wang et al. 2004 have a Gaussian of 11 on larger pictures)."""
BATCH = 250


def psnr(found: Tensor, wanted: Tensor) -> float:
    """dB, mean over pictures [n, 1, H, W] in -1..1; no picture counts for more than 60."""
    errors = (found - wanted).square().flatten(1).mean(1)
    return float((10 * (4 / errors.clamp(min=4e-6)).log10()).mean())


def ssim(found: Tensor, wanted: Tensor) -> float:
    """Structural similarity, mean over pictures in -1..1 (constants of Wang et al. 2004)."""
    low, high = (0.01 * 2) ** 2, (0.03 * 2) ** 2

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, WINDOW, 1)

    x, y = mean(found), mean(wanted)
    both = mean(found * wanted) - x * y
    spread = mean(found**2) - x**2 + mean(wanted**2) - y**2
    return float(((2 * x * y + low) * (2 * both + high) / ((x**2 + y**2 + low) * (spread + high))).mean())


def seen(pictures: Tensor) -> Tensor:
    """16x16 in -1..1 as the classifier takes them: twice as large, without the two rows and columns around, 0..1."""
    large = F.interpolate(pictures.clamp(-1, 1), scale_factor=2, mode="bilinear")
    return (large[:, :, 2:-2, 2:-2] + 1) / 2


class Features:
    """Of the shipped ResNet-20."""

    def __init__(self, model: ResNet) -> None:
        self.model = model
        self._stages: list[Tensor] = []
        ends = [number * len(model.blocks) // 3 - 1 for number in (1, 2, 3)]
        for end in ends:
            model.blocks[end].register_forward_hook(lambda _, __, out: self._stages.append(out))

    @torch.no_grad()
    def __call__(self, pictures: Tensor, then: Callable[[list[Tensor], Tensor], Tensor]) -> Tensor:
        """What `then` makes of the outputs of the three stages and of the scores, batch by batch."""
        parts = []
        for batch in pictures.split(BATCH):
            self._stages.clear()
            scores = self.model(seen(batch))
            parts.append(then(list(self._stages), scores))
        return torch.cat(parts)

    def vectors(self, pictures: Tensor) -> Tensor:
        """float64 [n, 64], means of the last stage: what the classifier decides on."""
        return self(pictures, lambda stages, _: stages[-1].mean((2, 3))).double()

    def classes(self, pictures: Tensor) -> Tensor:
        """int64 [n]."""
        return self(pictures, lambda _, scores: scores.argmax(1))

    def distance(self, found: Tensor, wanted: Tensor) -> float:
        """As LPIPS with no weights learned: squared difference of unit vectors of channels, in three stages."""

        def unit(stages: list[Tensor], _: Tensor) -> Tensor:
            flat = [F.normalize(x, dim=1).flatten(1) / (x.shape[2] * x.shape[3]) ** 0.5 for x in stages]
            return torch.cat(flat, 1)

        errors = [
            (self(x, unit) - self(y, unit)).square().sum(1)
            for x, y in zip(found.split(BATCH), wanted.split(BATCH), strict=True)
        ]
        return float(torch.cat(errors).mean())


def frechet(found: Tensor, wanted: Tensor) -> float:
    """Frechet distance of two sets of vectors [n, d], as normal distributions (Dowson and Landau 1982)."""
    one, two = found.T.cov(), wanted.T.cov()
    values, vectors = torch.linalg.eigh(one)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    mixed = torch.linalg.eigvalsh(root @ two @ root).clamp(min=0).sqrt().sum()
    apart = (found.mean(0) - wanted.mean(0)).square().sum()
    return float(apart + one.trace() + two.trace() - 2 * mixed)
