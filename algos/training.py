"""Training of the shipped networks, which take grey pictures: their batches, and `algos.trainer` with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.data.fashion_mnist import Images
from algos.precision import Precision
from algos.recipe import Recipe
from algos.trainer import Compressing, Report, Trainer, silent
from sim.errors import InputError
from sim.steps import steps

__all__ = [
    "Batches",
    "Recipe",
    "Report",
    "accuracy",
    "augment",
    "computed_in",
    "fit",
    "history",
    "normalize",
    "silent",
    "training_layout",
]

_LANES = 16
"""Of float32 in a vector of AVX-512; AVX2 has half of them."""


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Random shift by up to 2 pixels and mirror image of uint8 [n, 1, H, W]."""
    n, _, height, width = pixels.shape
    padded = F.pad(pixels, (2, 2, 2, 2))
    down, right = torch.randint(0, 5, (2, n), generator=generator)
    rows = (down[:, None] + torch.arange(height))[:, :, None]
    columns = (right[:, None] + torch.arange(width))[:, None, :]
    shifted = padded[torch.arange(n)[:, None, None], 0, rows, columns][:, None]
    mirror = torch.rand(n, generator=generator) < 0.5
    return torch.where(mirror[:, None, None, None], shifted.flip(3), shifted)


def normalize(pixels: Tensor, layout: torch.memory_format = torch.channels_last) -> Tensor:
    """uint8 -> float in 0..1, in this memory layout."""
    return (pixels.float() / 255).contiguous(memory_format=layout)


def training_layout(model: nn.Module) -> torch.memory_format:
    """Channels last, the faster one, but for networks with a narrow 1x1 convolution of stride 2.

    Of such a one, with fewer input channels than a vector has lanes, oneDNN's gradient writes beyond its memory
    on AVX2 (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    convolutions = (part for part in model.modules() if isinstance(part, nn.Conv2d))
    narrow = any(
        one.kernel_size == (1, 1) and one.stride != (1, 1) and one.in_channels < _LANES
        for one in convolutions
    )
    return torch.contiguous_format if narrow else torch.channels_last


@torch.no_grad()
def accuracy(model: Callable[[Tensor], Tensor], images: Images, batch: int = 500) -> float:
    """Share of right answers, in float32."""
    if isinstance(model, nn.Module):
        model.eval()
    pairs = list(zip(images.pixels.split(batch), images.labels.split(batch), strict=True))
    told = steps(pairs, "accuracy", len(pairs))
    right = sum(int((model(normalize(x)).argmax(1) == y).sum()) for x, y in told)
    return right / len(images)


class Batches:
    """Images as a training sees them: an epoch in a new order, augmented; those that fill no batch left out.

    Raises:
        InputError: fewer images than a batch.
    """

    def __init__(self, images: Images, batch: int, seed: int, layout: torch.memory_format) -> None:
        if len(images) < batch:
            raise InputError(
                "images", len(images), f"fewer than a batch of {batch}", "give more images or a smaller batch"
            )
        self.images, self.batch, self.layout = images, batch, layout
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.images) // self.batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self.images), generator=self.generator)
        for chosen in order[: len(self) * self.batch].split(self.batch):
            pixels = augment(self.images.pixels[chosen], self.generator)
            yield normalize(pixels, self.layout), self.images.labels[chosen]


def fit(
    model: nn.Module,
    images: Images,
    recipe: Recipe,
    checkpoint: Path | None = None,
    report: Report = silent,
    after_step: Callable[[], None] = lambda: None,
    prepared: Compressing | None = None,
) -> nn.Module:
    """Trains a network for grey pictures in place; an interrupted run resumes after its last epoch.

    Args:
        checkpoint, report, after_step, prepared: of `Trainer`.

    Raises:
        InputError: fewer images than a batch, no such precision, a checkpoint of another recipe, or a loss
            that is not finite.
    """
    layout = training_layout(model)
    batches = Batches(images, recipe.batch, recipe.seed, layout)
    return Trainer(
        model.to(memory_format=layout),
        batches,
        F.cross_entropy,
        recipe,
        checkpoint=checkpoint,
        report=report,
        after_step=after_step,
        prepared=prepared,
    ).run()


def history(checkpoint: Path) -> list[dict[str, float]]:
    """Mean loss and seconds of each epoch behind a checkpoint."""
    return torch.load(checkpoint, weights_only=True).get("history", [])


def computed_in(checkpoint: Path) -> Precision:
    """The precision of the training behind a checkpoint: float32, bfloat16 or float16."""
    return torch.load(checkpoint, weights_only=True)["precision"]
