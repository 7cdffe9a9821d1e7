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
from sim.errors import InputError

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
    """

    epochs: int
    rate: float
    optimizer: str = "sgd"
    batch: int = 128
    warm_up: float = 0.15
    decay: float = 5e-4
    seed: int = 0

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


def normalize(pixels: Tensor) -> Tensor:
    """uint8 -> float in 0..1, channels last."""
    return (pixels.float() / 255).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(model: Callable[[Tensor], Tensor], images: Images, batch: int = 500) -> float:
    """Share of right answers, in float32."""
    if isinstance(model, nn.Module):
        model.eval()
    pairs = zip(images.pixels.split(batch), images.labels.split(batch), strict=True)
    right = sum(int((model(normalize(x)).argmax(1) == y).sum()) for x, y in pairs)
    return right / len(images)


def fit(
    model: nn.Module,
    images: Images,
    recipe: Recipe,
    checkpoint: Path | None = None,
    report: Report = silent,
    after_step: Callable[[], None] = lambda: None,
) -> nn.Module:
    """Trains in place, in bfloat16 autocast; an interrupted run resumes after its last epoch.

    Args:
        checkpoint: written after every epoch, and read first where it exists.
        after_step: called after every update, to project parameters.

    Raises:
        InputError: fewer images than a batch, a checkpoint of another recipe, or a loss that is
            not finite.
    """
    if len(images) < recipe.batch:
        raise InputError(
            "images",
            len(images),
            f"fewer than a batch of {recipe.batch}",
            "give more images or a smaller batch",
        )
    model.to(memory_format=torch.channels_last).train()
    generator = torch.Generator().manual_seed(recipe.seed)
    per_epoch = len(images) // recipe.batch
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            learned, recipe.rate, momentum=0.9, nesterov=True, weight_decay=recipe.decay
        )
    else:
        optimizer = torch.optim.AdamW(learned, recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=recipe.steps(len(images)), pct_start=recipe.warm_up
    )
    first = 0
    epochs: list[dict[str, float]] = []
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state.get("recipe", asdict(recipe)) != asdict(recipe):
            raise InputError(
                "checkpoint", str(checkpoint), f"was made by {state['recipe']}", "delete it or use its recipe"
            )
        model.load_state_dict(state["model"])
        if state["epoch"] == recipe.epochs:
            return model.eval()
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        first, epochs = state["epoch"], state.get("history", [])
    for epoch in range(first, recipe.epochs):
        start, losses = time.perf_counter(), 0.0
        order = torch.randperm(len(images), generator=generator)
        for chosen in order[: per_epoch * recipe.batch].split(recipe.batch):
            x = normalize(augment(images.pixels[chosen], generator))
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(model(x), images.labels[chosen])
            loss.backward()
            optimizer.step()
            schedule.step()
            after_step()
            losses += float(loss.detach())
        mean, seconds = losses / per_epoch, time.perf_counter() - start
        if not math.isfinite(mean):
            raise InputError("loss", mean, f"diverged in epoch {epoch + 1}", "lower the rate")
        epochs.append({"loss": mean, "seconds": seconds})
        report(epoch + 1, mean, seconds)
        model.train()
        if checkpoint:
            save_atomically(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "generator": generator.get_state(),
                    "epoch": epoch + 1,
                    "recipe": asdict(recipe),
                    "history": epochs,
                },
                checkpoint,
            )
    return model.eval()


def history(checkpoint: Path) -> list[dict[str, float]]:
    """Mean loss and seconds of each epoch behind a checkpoint of `fit`."""
    return torch.load(checkpoint, weights_only=True).get("history", [])


def save_atomically(state: object, path: Path) -> None:
    """torch.save that leaves the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    os.replace(temporary, path)
