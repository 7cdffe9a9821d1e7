"""From noise to pictures: schedulers of diffusers, conditions, classifier-free guidance."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from sim.errors import InputError, nearest

SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "dpm-solver": ("DPMSolverMultistepScheduler", {}),
    "flow-matching": ("FlowMatchEulerDiscreteScheduler", {}),
}
"""Class of diffusers by our name, and settings that it needs; all of them are deterministic."""


@dataclass(frozen=True)
class Condition:
    """What the pictures of a batch are to show.

    Attributes:
        labels: int64 [n], classes.
        text: float [n, tokens, width], of a text encoder.
        added: what SDXL adds to the time embedding: `text_embeds` [n, width], `time_ids` [n, 6].
        without: the same of no condition, for guidance.
    """

    labels: Tensor | None = None
    text: Tensor | None = None
    added: Mapping[str, Tensor] = field(default_factory=dict)
    without: Condition | None = None

    def arguments(self) -> dict[str, Any]:
        """Of the network's call."""
        named: dict[str, Any] = {}
        if self.labels is not None:
            named["class_labels"] = self.labels
        if self.text is not None:
            named["encoder_hidden_states"] = self.text
        if self.added:
            named["added_cond_kwargs"] = dict(self.added)
        return named

    def __getitem__(self, chosen: Any) -> Condition:
        """Of some samples."""
        return self._each(lambda part: part[chosen])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Condition:
        return Condition(
            None if self.labels is None else change(self.labels),
            None if self.text is None else change(self.text),
            {name: change(part) for name, part in self.added.items()},
            None if self.without is None else self.without._each(change),
        )

    def both(self) -> Condition:
        """No condition, then the condition, in one batch.

        Raises:
            InputError: nothing says what no condition is.
        """
        none = self.without
        if none is None:
            raise InputError(
                "condition", "without", "is missing", "give the empty label or the empty prompt's text"
            )

        def joined(one: Tensor | None, two: Tensor | None) -> Tensor | None:
            return None if one is None or two is None else torch.cat([one, two])

        added = {name: torch.cat([none.added[name], part]) for name, part in self.added.items()}
        return Condition(joined(none.labels, self.labels), joined(none.text, self.text), added)


def classes(labels: Tensor, unconditional: int | None = None) -> Condition:
    """Of a network with classes, one of which may mean none."""
    none = None if unconditional is None else Condition(torch.full_like(labels, unconditional))
    return Condition(labels, without=none)


@dataclass(frozen=True)
class Sampler:
    """How pictures are drawn.

    Attributes:
        scheduler: name in SCHEDULERS.
        steps: evaluations of the network, or pairs of them with guidance.
        guidance: weight of classifier-free guidance, 1 for none (Ho and Salimans 2022: 1 + w).
        settings: of the scheduler's class.

    Raises:
        InputError: no such scheduler, no step, or settings that it does not take.
    """

    scheduler: str = "ddim"
    steps: int = 25
    guidance: float = 1.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scheduler not in SCHEDULERS:
            raise InputError("scheduler", self.scheduler, "unknown", nearest(self.scheduler, SCHEDULERS))
        if self.steps < 1:
            raise InputError("steps", self.steps, "not positive", "use 25")

    def fresh(self) -> Any:
        """The scheduler of diffusers, its steps set."""
        import diffusers

        name, needed = SCHEDULERS[self.scheduler]
        with warnings.catch_warnings():  # diffusers' own, of NumPy 2
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                scheduler = getattr(diffusers, name)(**{**needed, **self.settings})
            except TypeError as error:
                raise InputError(
                    "settings", dict(self.settings), f"{name}: {error}", "see its documentation"
                ) from None
            scheduler.set_timesteps(self.steps)
        return scheduler

    @property
    def times(self) -> Tensor:
        """float64 [T], time steps in the order of sampling."""
        times: Tensor = self.fresh().timesteps.double()
        return times.unique_consecutive()

    @torch.no_grad()
    def run(
        self,
        model: nn.Module,
        noise: Tensor,
        condition: Condition,
        watch: Callable[[int, Tensor, Tensor], None] = lambda step, latent, prediction: None,
    ) -> Tensor:
        """Draws pictures from noise [n, C, H, W].

        Args:
            watch: called with the number of each step, the latent and what the network, guided, says of it.
        """
        scheduler, latent = self.fresh(), noise
        if hasattr(scheduler, "init_noise_sigma"):
            latent = latent * scheduler.init_noise_sigma
        for number, time in enumerate(scheduler.timesteps):
            told = (
                scheduler.scale_model_input(latent, time)
                if hasattr(scheduler, "scale_model_input")
                else latent
            )
            prediction = self.predict(model, told, time, condition)
            watch(number, told, prediction)
            latent = scheduler.step(prediction, time, latent).prev_sample
        return latent

    def predict(self, model: nn.Module, latent: Tensor, time: Tensor, condition: Condition) -> Tensor:
        """What the network says of latents [n, C, H, W] at a time step, or at n of them, guided."""
        if self.guidance == 1:
            return called(model, latent, time, condition)
        times = time.repeat(2) if time.ndim else time
        none, with_it = called(model, torch.cat([latent, latent]), times, condition.both()).chunk(2)
        return none + self.guidance * (with_it - none)

    def at(self, steps: int) -> Sampler:
        """With another number of steps."""
        return replace(self, steps=steps)


def called(model: nn.Module, latent: Tensor, time: Tensor, condition: Condition) -> Tensor:
    """The network's prediction [n, C, H, W]; of one that predicts a variance too, without that."""
    times = time.expand(len(latent)) if time.ndim == 0 else time
    found: Tensor = model(latent, timestep=times, **condition.arguments()).sample
    return found[:, : latent.shape[1]]
