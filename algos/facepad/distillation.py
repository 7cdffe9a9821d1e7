"""Training of teacher and student, and logit distillation from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from algos.facepad.networks import Student, Teacher, normalized, normalized_flow
from algos.facepad.samples import Samples
from algos.recipe import Recipe
from algos.trainer import Compressing, Forward, Trainer
from sim.errors import InputError

ALPHA, TEMPERATURE = 0.7, 3.0
"""Of the first author's earlier code, on all of its data sets."""
CROP = 80
"""Pixels a side of what a training step sees of 112: half the work, and no two epochs alike. Judged whole."""


def distilled(
    student: Tensor, labels: Tensor, teacher: Tensor, alpha: float = ALPHA, temperature: float = TEMPERATURE
) -> Tensor:
    """(1 - alpha) CE(student, labels) + alpha T^2 KL(softmax(teacher / T) || softmax(student / T)).

    The factor T^2 keeps the gradient of the second term where it is as T grows (Hinton et al. 2015).

    Args:
        student, teacher: logits [batch, classes].
        labels: int64 [batch].

    Raises:
        InputError: an alpha outside 0..1, a temperature that is not positive.
    """
    if not 0 <= alpha <= 1:
        raise InputError("alpha", alpha, "is no share", "use 0 to 1")
    if not temperature > 0:
        raise InputError("temperature", temperature, "divides logits", "use a number above 0")
    soft = F.kl_div(
        F.log_softmax(student / temperature, 1),
        F.log_softmax(teacher / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    return (1 - alpha) * F.cross_entropy(student, labels) + alpha * temperature**2 * soft


def train_teacher(samples: Samples, recipe: Recipe, checkpoint: Path | None = None) -> Teacher:
    """A teacher on crops of frames and of their flow.

    Args:
        checkpoint: written and gone on from, as `Trainer` does.

    Raises:
        InputError: samples of one class.
    """
    _require_both(samples.labels)
    torch.manual_seed(recipe.seed)
    teacher = Teacher().to(memory_format=torch.channels_last)
    data = TensorDataset(samples.pixels, samples.flow, samples.labels)

    def forward(module: nn.Module, batch: list[Tensor]) -> tuple[Tensor, Tensor]:
        pixels, flow, labels = *_crops(batch[0], batch[1]), batch[2]
        return module(normalized(pixels), normalized_flow(flow)), labels

    _run(teacher, data, recipe, F.cross_entropy, forward, checkpoint)
    return teacher


def train_student(
    samples: Samples,
    recipe: Recipe,
    soft: Tensor | None = None,
    checkpoint: Path | None = None,
    *,
    alpha: float = ALPHA,
    temperature: float = TEMPERATURE,
    student: Student | None = None,
    prepared: Compressing | None = None,
) -> Student:
    """A student on crops of frames; `samples.flow` is not read.

    Args:
        soft: the teacher's logits [n, 2] of the whole samples; None for a student without a teacher.
        student: to go on with; None for a new one.
        prepared: of a method that compresses it, `Method.prepare`.

    Raises:
        InputError: as `train_teacher` and `distilled`.
    """
    _require_both(samples.labels)
    torch.manual_seed(recipe.seed)
    student = (student or Student()).to(memory_format=torch.channels_last)
    data = TensorDataset(samples.pixels, samples.labels, *([] if soft is None else [soft]))

    def forward(module: nn.Module, batch: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        (pixels,) = _crops(batch[0])
        return module(normalized(pixels)), batch[1:]

    def loss(output: Tensor, target: list[Tensor]) -> Tensor:
        if soft is None:
            return F.cross_entropy(output, target[0])
        return distilled(output, target[0], target[1], alpha, temperature)

    _run(student, data, recipe, loss, forward, checkpoint, prepared)
    return student


@torch.no_grad()
def logits(network: Student | Teacher, samples: Samples, batch: int = 32) -> Tensor:
    """Of all samples [n, 2], in evaluation mode; only a teacher is given their flow."""
    network.eval()
    found = []
    for first in range(0, len(samples.labels), batch):
        pixels = normalized(samples.pixels[first : first + batch])
        if isinstance(network, Teacher):
            found.append(network(pixels, normalized_flow(samples.flow[first : first + batch])))
        else:
            found.append(network(pixels))
    return torch.cat(found)


def by_clip(values: Tensor, clips: Tensor) -> Tensor:
    """Means of frames [n] over each clip [clips]."""
    sums = torch.zeros(int(clips.max()) + 1, dtype=values.dtype).index_add_(0, clips, values)
    return sums / clips.bincount()


def _crops(*images: Tensor) -> list[Tensor]:
    """The same square of CROP pixels a side of each, at random."""
    height, width = images[0].shape[-2:]
    top, left = (int(torch.randint(0, max(1, length - CROP + 1), ())) for length in (height, width))
    return [image[..., top : top + CROP, left : left + CROP] for image in images]


def _run(
    network: nn.Module,
    data: TensorDataset,
    recipe: Recipe,
    loss: Callable[[Any, Any], Tensor],
    forward: Forward,
    checkpoint: Path | None,
    prepared: Compressing | None = None,
) -> None:
    order = torch.Generator().manual_seed(recipe.seed)
    loader = DataLoader(data, recipe.batch, shuffle=True, drop_last=True, generator=order)
    Trainer(
        network, loader, loss, recipe, forward=forward, checkpoint=checkpoint, every=100, prepared=prepared
    ).run()


def _require_both(labels: Tensor) -> None:
    if len(labels.unique()) < 2:
        raise InputError(
            "labels", labels.unique().tolist(), "are of one class", "give real faces and attacks"
        )
