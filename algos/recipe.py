"""How a training goes: length, optimizer, learning rates and their schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import nn

from algos.precision import Precision
from sim.errors import InputError, nearest

Groups = Mapping[str, Sequence[nn.Parameter]]
"""Parameters by what they are, as `algos.methods.prepared.Prepared.groups` tells them."""

Schedule = Literal["one-cycle", "cosine", "constant"]
"""Of the learning rates. one-cycle rises from 1/25 of the peak and turns momentum the other way (Smith 2018);
the others rise linearly from 0, then stay (constant) or fall to 0 (cosine)."""

SCHEDULES = get_args(Schedule)

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "adamw": torch.optim.AdamW,
    "rmsprop": partial(torch.optim.RMSprop, alpha=0.9),
}


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: over the training data.
        rate: peak learning rate of all parameters that `rates` does not name.
        optimizer: one of OPTIMIZERS.
        batch: samples of an update, where the loader is made here.
        warm_up: share of the updates before the peak.
        decay: weight decay.
        seed: of the order of the samples, where the loader is made here.
        precision: of the forward pass; auto is what the device computes fast.
        schedule: one of SCHEDULES.
        rates: peak learning rates by group: "codebook", "signs", "ratios", "scales", "others".
        clip: most that the norm of all gradients may be; None for no bound.
    """

    epochs: int
    rate: float
    optimizer: str = "sgd"
    batch: int = 128
    warm_up: float = 0.15
    decay: float = 5e-4
    seed: int = 0
    precision: Precision = "auto"
    schedule: Schedule = "one-cycle"
    rates: dict[str, float] = field(default_factory=dict)
    clip: float | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("optimizer", self.optimizer, tuple(OPTIMIZERS)),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value not in known:
                raise InputError(name, value, "unknown", nearest(value, known))
        if not 0 <= self.warm_up < 1:
            raise InputError("warm_up", self.warm_up, "is no share of the updates", "use 0 to 0.99")

    def steps(self, samples: int) -> int:
        """Updates in a whole training; samples that fill no batch are left out of an epoch."""
        return self.epochs * (samples // self.batch)

    def make_optimizer(self, groups: Groups) -> torch.optim.Optimizer:
        """Of the parameters by group; a group without a rate of its own takes `rate`.

        Raises:
            InputError: a rate of no group.
        """
        for name in self.rates:
            if name not in groups:
                raise InputError("rates", name, "is no group of this module", nearest(name, groups))
        made: list[dict[str, Any]] = [
            {"params": list(parameters), "lr": self.rates.get(name, self.rate), "name": name}
            for name, parameters in groups.items()
            if parameters
        ]
        if not made:
            raise InputError("module", 0, "has no parameter to train", "unfreeze some")
        return OPTIMIZERS[self.optimizer](made, lr=self.rate, weight_decay=self.decay)

    def make_schedule(
        self, optimizer: torch.optim.Optimizer, total: int
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Of all groups, over this many updates."""
        if self.schedule == "one-cycle":
            peaks = [group["lr"] for group in optimizer.param_groups]
            return torch.optim.lr_scheduler.OneCycleLR(
                optimizer, peaks, total_steps=total, pct_start=self.warm_up
            )
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.factor((step + 0.5) / total))

    def factor(self, progress: float) -> float:
        """Of the peak learning rates after this share of the updates, where the schedule is not one-cycle."""
        if progress < self.warm_up:
            return progress / self.warm_up
        if self.schedule == "constant":
            return 1.0
        return (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up))) / 2
