"""One resumable training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.data.fashion_mnist import Images
from algos.precision import Precision, computing, resolved
from sim.errors import InputError
from sim.steps import steps

_LANES = 16
"""Of float32 in a vector of AVX-512; AVX2 has half of them."""

Report = Callable[[int, float, float], None]
"""Called after every epoch with its number, mean loss and seconds."""


def silent(epoch: int, loss: float, seconds: float) -> None:
    """Reports nothing."""


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: over the training images.
        rate: peak learning rate of the one-cycle schedule.
        optimizer: "sgd" (Nesterov) or "adamw".
        warm_up: share of the steps before the peak.
        decay: weight decay.
        precision: of the forward pass; auto is what the processor computes fast.
    """

    epochs: int
    rate: float
    optimizer: str = "sgd"
    batch: int = 128
    warm_up: float = 0.15
    decay: float = 5e-4
    seed: int = 0
    precision: Precision = "auto"

    def steps(self, images: int) -> int:
        """Updates in a whole training; images that fill no batch are left out of an epoch."""
        return self.epochs * (images // self.batch)


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


def fit(
    model: nn.Module,
    images: Images,
    recipe: Recipe,
    checkpoint: Path | None = None,
    report: Report = silent,
    after_step: Callable[[], None] = lambda: None,
) -> nn.Module:
    """Trains in place; an interrupted run resumes after its last epoch.

    Args:
        checkpoint: written after every epoch, and read first where it exists. A training goes on in the
            precision in which it began, on another processor too.
        after_step: called after every update, to project parameters.

    Raises:
        InputError: fewer images than a batch, no such precision, a checkpoint of another recipe, or a loss
            that is not finite.
    """
    if len(images) < recipe.batch:
        raise InputError(
            "images",
            len(images),
            f"fewer than a batch of {recipe.batch}",
            "give more images or a smaller batch",
        )
    training = _Training(model, images, recipe, after_step)
    if checkpoint and checkpoint.exists():
        training.resume(checkpoint)
    for epoch in range(len(training.history), recipe.epochs):
        start = time.perf_counter()
        mean = training.epoch()
        if not math.isfinite(mean):
            raise InputError("loss", mean, f"diverged in epoch {epoch + 1}", "lower the rate")
        training.history.append({"loss": mean, "seconds": time.perf_counter() - start})
        report(epoch + 1, mean, training.history[-1]["seconds"])
        if checkpoint:
            save_atomically(training.state(), checkpoint)
    return model.eval()


class _Training:
    """A model between two epochs: optimizer, schedule, order of the images, and what the epochs gave."""

    def __init__(
        self, model: nn.Module, images: Images, recipe: Recipe, after_step: Callable[[], None]
    ) -> None:
        self.layout = training_layout(model)
        model.to(memory_format=self.layout)
        self.model, self.images, self.recipe, self.after_step = model, images, recipe, after_step
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.optimizer = _optimizer([p for p in model.parameters() if p.requires_grad], recipe)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.rate, total_steps=recipe.steps(len(images)), pct_start=recipe.warm_up
        )
        self.precision = resolved(recipe.precision)
        self.history: list[dict[str, float]] = []

    def epoch(self) -> float:
        """One pass over the images; the mean loss."""
        self.model.train()
        losses, updates = 0.0, len(self.images) // self.recipe.batch
        order = torch.randperm(len(self.images), generator=self.generator)
        batches = order[: updates * self.recipe.batch].split(self.recipe.batch)
        for chosen in steps(batches, f"epoch {len(self.history) + 1} of {self.recipe.epochs}", updates):
            x = normalize(augment(self.images.pixels[chosen], self.generator), self.layout)
            self.optimizer.zero_grad()
            with computing(self.precision):
                loss = F.cross_entropy(self.model(x), self.images.labels[chosen])
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            self.after_step()
            losses += float(loss.detach())
        return losses / updates

    def state(self) -> dict[str, object]:
        """All that the next epoch depends on."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "epoch": len(self.history),
            "recipe": asdict(self.recipe),
            "precision": self.precision,
            "history": self.history,
        }

    def resume(self, checkpoint: Path) -> None:
        """Goes on where a checkpoint of the same recipe was written."""
        state = torch.load(checkpoint, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise InputError(
                "checkpoint", str(checkpoint), f"was made by {state['recipe']}", "delete it or use its recipe"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        self.precision = state["precision"]
        self.history = state["history"]


def _optimizer(learned: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(learned, recipe.rate, momentum=0.9, nesterov=True, weight_decay=recipe.decay)
    return torch.optim.AdamW(learned, recipe.rate, weight_decay=recipe.decay)


def history(checkpoint: Path) -> list[dict[str, float]]:
    """Mean loss and seconds of each epoch behind a checkpoint of `fit`."""
    return torch.load(checkpoint, weights_only=True).get("history", [])


def computed_in(checkpoint: Path) -> Precision:
    """The precision of the training behind a checkpoint: float32 or bfloat16."""
    return torch.load(checkpoint, weights_only=True)["precision"]


def save_atomically(state: object, path: Path) -> None:
    """torch.save that leaves the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    os.replace(temporary, path)
