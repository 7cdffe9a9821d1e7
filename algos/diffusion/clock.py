"""Which time step and which condition each sample of a call is at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sim.errors import InputError

NEAR = 1e-3
"""Of time steps, which flow matching has as fractions."""


class Clock:
    """Read by tables and quantizers while the network runs.

    Attributes:
        times: float64 [T], the calibrated time steps in the order of sampling.
        step: int64 [n], the place of each sample's time step among them.
        label: int64 [n], the class of each sample, 0 without classes.
    """

    def __init__(self, times: Tensor | Sequence[float]) -> None:
        self.times = torch.as_tensor(times, dtype=torch.float64)
        self.step = torch.zeros(1, dtype=torch.int64)
        self.label = torch.zeros(1, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.times)

    def tell(self, count: int, timestep: Any, labels: Tensor | None) -> None:
        """Before a call on `count` samples.

        Raises:
            InputError: a time step that was not calibrated.
        """
        asked = torch.as_tensor(timestep, dtype=torch.float64).cpu().reshape(-1).expand(count)
        distance = (asked[:, None] - self.times).abs()
        nearest = distance.min(1)
        if (nearest.values > NEAR).any():
            wrong = float(asked[nearest.values.argmax()])
            known = ", ".join(f"{float(one):g}" for one in self.times)
            raise InputError(
                "time step", wrong, "was not calibrated", f"sample at {known}, or calibrate again"
            )
        self.step = nearest.indices
        self.label = torch.zeros(count, dtype=torch.int64) if labels is None else labels.cpu().reshape(-1)

    def attach(self, model: nn.Module) -> None:
        """Is told of every call from now on."""
        if not any(
            isinstance(one, _Before) and one.clock is self for one in model._forward_pre_hooks.values()
        ):
            model.register_forward_pre_hook(_Before(self), with_kwargs=True)


@dataclass(frozen=True, eq=False)
class _Before:
    """Tells a clock of a call; an object, so that a deep copy of the model tells a clock of its own."""

    clock: Clock

    def __call__(self, _: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        time = named["timestep"] if "timestep" in named else given[1]
        self.clock.tell(len(given[0]), time, named.get("class_labels"))
