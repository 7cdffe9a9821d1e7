"""One training loop for every step: resumable, deterministic, on the CPU.

The random numbers of an epoch follow from the seed and the epoch's number, and every epoch ends
in a checkpoint that replaces the last one atomically; so a run that is stopped and started again
ends in the same weights as one that was not.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.data.fashion_mnist import ImageSet
from sim.errors import InputError


@dataclass(frozen=True)
class Schedule:
    """How to train: the learning rate warms up linearly, then falls as a cosine to zero.

    Attributes:
        optimizer: "sgd" (Nesterov momentum 0.9) or "adamw".
        weight_decay: on weights and codebooks, not on biases, batch norms and scales.
        warm_up: epochs of warm-up, may be a fraction.
        steps: steps an epoch, None for one pass over the images.
        bf16: bfloat16 autocast, twice as fast on a CPU; weights stay float32.
    """

    epochs: int
    lr: float
    optimizer: str = "sgd"
    weight_decay: float = 5e-4
    warm_up: float = 1.0
    batch: int = 128
    steps: int | None = None
    seed: int = 0
    augment: bool = True
    bf16: bool = True

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adamw"):
            raise InputError("optimizer", self.optimizer, "unknown", "use sgd or adamw")
        if self.epochs < 0 or self.batch < 1:
            raise InputError("epochs, batch", (self.epochs, self.batch), "out of range",
                             "use epochs >= 0 and batch >= 1")


@dataclass(frozen=True)
class Epoch:
    """What an epoch measured, on the augmented training images."""

    epoch: int
    loss: float
    accuracy: float
    seconds: float


def to_float(images: np.ndarray | Tensor) -> Tensor:
    """Bytes [n, 1, H, W] -> float32 in [0, 1], channels last."""
    x = torch.as_tensor(images).to(torch.float32).div_(255)
    return x.contiguous(memory_format=torch.channels_last)


def augmented(images: Tensor, generator: torch.Generator, pad: int = 2) -> Tensor:
    """Random crop of the zero-padded image and horizontal flip: uint8 [n, 1, H, W], same shape."""
    n, _, h, w = images.shape
    padded = F.pad(images, (pad, pad, pad, pad))[:, 0]
    corner = torch.randint(0, 2 * pad + 1, (2, n, 1), generator=generator)
    flip = torch.rand(n, 1, generator=generator) < 0.5
    rows = corner[0] + torch.arange(h)
    x = torch.arange(w).expand(n, w)
    columns = corner[1] + torch.where(flip, w - 1 - x, x)
    return padded[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]


def fit(
    model: nn.Module,
    data: ImageSet,
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    parameters: list[dict[str, object]] | None = None,
    after_epoch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Train the model in place by cross-entropy; returns one record an epoch.

    Args:
        checkpoint: file to resume from when it exists, rewritten after every epoch.
        parameters: optimizer groups, by default those of `parameter_groups`.
        after_epoch: called with each new record.

    Raises:
        InputError: no images, the checkpoint belongs to another schedule, or the loss is not
            finite.
    """
    if not len(data):
        raise InputError("training images", 0, "nothing to train on", "give at least one image")
    torch.use_deterministic_algorithms(True)
    groups = parameters or parameter_groups(model, schedule.weight_decay)
    optimizer = _optimizer(groups, schedule)
    base = [group["lr"] for group in optimizer.param_groups]
    history = _resume(checkpoint, model, optimizer, schedule) if checkpoint else []
    images, labels = torch.from_numpy(data.images), torch.from_numpy(data.labels).long()
    steps = schedule.steps or math.ceil(len(data) / schedule.batch)
    model.to(memory_format=torch.channels_last)
    for epoch in range(len(history), schedule.epochs):
        model.train()
        generator = torch.Generator().manual_seed(schedule.seed * 100_003 + epoch)
        start, seen, loss_sum, correct = time.perf_counter(), 0, 0.0, 0
        for step, index in enumerate(_batches(len(data), schedule.batch, steps, generator)):
            factor = _learning_rate(epoch + step / steps, schedule)
            for group, lr in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = lr * factor
            batch = images[index]
            x = to_float(augmented(batch, generator) if schedule.augment else batch)
            with torch.autocast("cpu", torch.bfloat16, enabled=schedule.bf16):
                logits = model(x)
            loss = F.cross_entropy(logits.float(), labels[index])
            if not torch.isfinite(loss):
                raise InputError("loss", float(loss), f"diverged in epoch {epoch}", "lower lr")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            seen += len(index)
            loss_sum += float(loss.detach()) * len(index)
            correct += int((logits.detach().argmax(1) == labels[index]).sum())
        history.append(Epoch(epoch, loss_sum / seen, correct / seen, time.perf_counter() - start))
        if checkpoint:
            _save(checkpoint, model, optimizer, schedule, history)
        if after_epoch:
            after_epoch(history[-1])
    return history


def accuracy(model: nn.Module, data: ImageSet, batch: int = 500) -> float:
    """Share of images classified rightly, in float32 and evaluation mode."""
    was_training = model.training
    model.eval()
    correct = 0
    with torch.no_grad():
        for low in range(0, len(data), batch):
            part = data.take(slice(low, low + batch))
            predicted = model(to_float(part.images)).argmax(1)
            correct += int((predicted == torch.from_numpy(part.labels)).sum())
    model.train(was_training)
    return correct / len(data)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Trainable parameters, decay on matrices and kernels only."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _optimizer(groups: list[dict[str, object]], schedule: Schedule) -> torch.optim.Optimizer:
    if schedule.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=schedule.lr)
    return torch.optim.SGD(groups, lr=schedule.lr, momentum=0.9, nesterov=True)


def _learning_rate(epoch: float, schedule: Schedule) -> float:
    """Factor of the learning rate at a fractional epoch."""
    if epoch < schedule.warm_up:
        return 0.05 + 0.95 * epoch / schedule.warm_up
    progress = (epoch - schedule.warm_up) / max(schedule.epochs - schedule.warm_up, 1e-9)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def _batches(n: int, batch: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Index tensors of `steps` batches, shuffled anew each time the images run out."""
    done = 0
    while done < steps:
        for index in torch.randperm(n, generator=generator).split(batch)[: steps - done]:
            yield index
            done += 1


def _save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Schedule,
          history: list[Epoch]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save({"schedule": asdict(schedule), "model": model.state_dict(),
                "optimizer": optimizer.state_dict(), "history": [asdict(e) for e in history]},
               partial)
    os.replace(partial, path)


def _resume(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer,
            schedule: Schedule) -> list[Epoch]:
    if not path.is_file():
        return []
    state = torch.load(path, weights_only=True)
    if state["schedule"] != asdict(schedule):
        raise InputError("checkpoint", path, "belongs to another schedule",
                         "delete it, or use the same schedule")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return [Epoch(**record) for record in state["history"]]
