"""One resumable training loop, for any module, loader and loss, on any device and any number of them.

Devices and processes are those of Hugging Face Accelerate: `accelerate launch script.py` trains on all GPUs what
`python script.py` trains on one or on the processor.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from algos.precision import computing, resolved
from algos.recipe import Groups, Recipe
from algos.resuming import random_state, restore_random_state, save_atomically
from sim.errors import InputError
from sim.steps import steps

if TYPE_CHECKING:  # a second to import
    from accelerate import Accelerator

Report = Callable[[int, float, float], None]
"""Called after every epoch with its number, mean loss and seconds."""


def silent(epoch: int, loss: float, seconds: float) -> None:
    """Reports nothing."""


class Compressing(Protocol):
    """What a training asks of the method behind it; `algos.methods.prepared.Prepared` is one."""

    updates: int | None

    def groups(self) -> Groups:
        """Parameters to train, by what they are."""

    def to(self, device: torch.device) -> None:
        """Moves what is not in the module."""

    def loss(self) -> Tensor | float:
        """To be added to the task's loss after a forward pass."""

    def after_step(self) -> None:
        """After every update."""

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with."""

    def state_dict(self) -> dict[str, Any]:
        """All that is not in the module's own."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""


class Plain:
    """A training without a method: all parameters are others."""

    updates: int | None = None

    def __init__(self, module: nn.Module, after_step: Callable[[], None] = lambda: None) -> None:
        self.module, self.after_step = module, after_step

    def groups(self) -> Groups:
        return {"others": [p for p in self.module.parameters() if p.requires_grad]}

    def to(self, device: torch.device) -> None:
        pass

    def loss(self) -> float:
        return 0.0

    def identity(self) -> dict[str, Any]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


Forward = Callable[[nn.Module, Any], tuple[Any, Any]]
"""Module and batch -> output and target, which the loss takes."""


def supervised(module: nn.Module, batch: Any) -> tuple[Any, Any]:
    """Of batches (inputs, target); inputs are a tensor, or a tuple or mapping of arguments."""
    inputs, target = batch
    if isinstance(inputs, Mapping):
        return module(**inputs), target
    return module(*inputs) if isinstance(inputs, tuple) else module(inputs), target


def top1(output: Tensor, target: Tensor) -> Tensor:
    """Right answers of a batch of logits [n, classes], as a share."""
    return (output.argmax(1) == target).float().mean()


class Trainer:
    """Trains a module in place.

    Args:
        module: moved to the device.
        loader: a DataLoader, or any iterable with a length that gives the batches of an epoch anew each time.
        loss: of output and target; its mean over a batch.
        prepared: of `Method.prepare`, whose module this is; adds its loss, its groups, its projections.
        forward: how output and target come from a batch.
        validation: batches, for `metric` after every epoch.
        metric: of output and target, a mean over the batch.
        checkpoint: file, written after every epoch and every `every` updates, and read first where it exists. A
            training goes on in the precision in which it began, on another processor too.
        report: called after every epoch.
        after_step: called after every update, where nothing is prepared.
        accelerator: to train with; by default one as `accelerate launch` describes it.

    Attributes:
        history: mean loss, seconds and, with validation, metric of each epoch.
    """

    def __init__(
        self,
        module: nn.Module,
        loader: Iterable[Any],
        loss: Callable[[Any, Any], Tensor],
        recipe: Recipe,
        *,
        prepared: Compressing | None = None,
        forward: Forward = supervised,
        validation: Iterable[Any] | None = None,
        metric: Callable[[Any, Any], Tensor | float] = top1,
        checkpoint: Path | None = None,
        every: int | None = None,
        report: Report = silent,
        after_step: Callable[[], None] = lambda: None,
        accelerator: Accelerator | None = None,
    ) -> None:
        self.accelerator = accelerator or _accelerator(gradients_may_end=prepared is not None)
        self.device = self.accelerator.device
        self.loss, self.recipe, self.forward, self.metric = loss, recipe, forward, metric
        self.checkpoint, self.every, self.report = checkpoint, every, report
        self.method: Compressing = prepared or Plain(module, after_step)
        self.loader, self.validation = self._shared(loader, "loader"), None
        if validation is not None:
            self.validation = self._shared(validation, "validation")
        self.per_epoch = _length(self.loader)
        self.total = recipe.epochs * self.per_epoch
        self.method.updates = self.total
        self.module = module.to(self.device)
        self.method.to(self.device)
        self.optimizer = recipe.make_optimizer(self.method.groups())
        self.schedule = recipe.make_schedule(self.optimizer, self.total)
        self.precision = resolved(recipe.precision, self.device)
        self.running = self.accelerator.prepare_model(module) if self._several else module
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "float16")
        self.history: list[dict[str, float]] = []
        self.done = 0
        self.losses, self.seconds = 0.0, 0.0
        self.begun = random_state(self.loader)

    def run(self) -> nn.Module:
        """The trained module, in evaluation mode.

        Raises:
            InputError: a checkpoint of another recipe, method or module, or a loss that is not finite.
        """
        if self.checkpoint and self.checkpoint.exists():
            self.resume(self.checkpoint)
        while len(self.history) < self.recipe.epochs:
            self._epoch()
        return self.module.eval()

    def step(self, batch: Any) -> Tensor:
        """One update; the loss before it."""
        self.optimizer.zero_grad()
        with computing(self.precision, self.device):
            loss = self.loss(*self.forward(self.running, batch)) + self.method.loss()
        self.scaler.scale(loss).backward()
        if self.recipe.clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.running.parameters(), self.recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.method.after_step()
        return loss.detach()

    @torch.no_grad()
    def validate(self) -> float:
        """The metric's mean over the validation batches, weighted by their samples, in evaluation mode."""
        assert self.validation is not None
        self.module.eval()
        total = torch.zeros(2, device=self.device)
        for batch in self.validation:
            with computing(self.precision, self.device):
                output, target = self.forward(self.module, _moved(batch, self.device))
            samples = len(target) if isinstance(target, Tensor) and target.ndim else 1
            value = torch.as_tensor(self.metric(output, target), dtype=torch.float32, device=self.device)
            total += torch.stack([value * samples, torch.full_like(value, samples)])
        weighted, samples = self.accelerator.reduce(total).tolist()
        return weighted / max(1, samples)

    def _epoch(self) -> None:
        number, before = len(self.history) + 1, self.done % self.per_epoch
        start = time.perf_counter() - self.seconds
        self.running.train()
        sums = torch.full((), self.losses, device=self.device)
        for batch in steps(
            self._batches(before), f"epoch {number} of {self.recipe.epochs}", self.per_epoch - before
        ):
            sums += self.step(_moved(batch, self.device))
            self.done += 1
            if self.every and self.done % self.every == 0 and self.done % self.per_epoch:
                self.losses, self.seconds = float(sums), time.perf_counter() - start
                self._save()
        mean = float(sums) / self.per_epoch
        if not math.isfinite(mean):
            raise InputError("loss", mean, f"diverged in epoch {number}", "lower the rate")
        self.history.append({"loss": mean, "seconds": time.perf_counter() - start})
        if self.validation is not None:
            self.history[-1]["metric"] = self.validate()
        self.losses, self.seconds = 0.0, 0.0
        self.begun = random_state(self.loader)
        self._save()
        self.report(number, mean, self.history[-1]["seconds"])

    def _batches(self, before: int) -> Iterator[Any]:
        """Those of the epoch, less the ones before; these are drawn again, as workers and transforms draw too."""
        if not before:
            yield from self.loader
            return
        now = random_state(self.loader)
        restore_random_state(self.begun, self.loader)
        batches = iter(self.loader)
        for _ in islice(batches, before):
            pass
        restore_random_state(now, self.loader)
        yield from batches

    def _save(self) -> None:
        """Writes the checkpoint; every process tells its random numbers, the first one writes."""
        if self.checkpoint is None:
            return
        from accelerate.utils import gather_object

        random = gather_object([{"begun": self.begun, "now": random_state(self.loader)}])
        if self.accelerator.is_main_process:
            save_atomically(self.state() | {"random": random}, self.checkpoint)
        self.accelerator.wait_for_everyone()

    def state(self) -> dict[str, Any]:
        """All that the next update depends on, but for random numbers."""
        return {
            "model": self.module.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "done": self.done,
            "epoch": len(self.history),
            "losses": self.losses,
            "seconds": self.seconds,
            "recipe": asdict(self.recipe),
            "identity": self.method.identity(),
            "precision": self.precision,
            "history": self.history,
        }

    def resume(self, checkpoint: Path) -> None:
        """Goes on where a checkpoint of the same recipe and method was written."""
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")
        fix = "delete it or use its recipe"
        if state["recipe"] != asdict(self.recipe):
            raise InputError("checkpoint", str(checkpoint), f"was made by {state['recipe']}", fix)
        if state["identity"] != self.method.identity():
            raise InputError("checkpoint", str(checkpoint), "is of another configuration or codebook", fix)
        if len(state["random"]) != self.accelerator.num_processes:
            raise InputError(
                "checkpoint", len(state["random"]), "processes made it", "resume with as many, or delete it"
            )
        self.module.load_state_dict(state["model"])
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.precision, self.history, self.done = state["precision"], state["history"], state["done"]
        self.losses, self.seconds = state["losses"], state["seconds"]
        random = state["random"][self.accelerator.process_index]
        self.begun = random["begun"]
        restore_random_state(random["now"], self.loader)

    @property
    def _several(self) -> bool:
        return self.accelerator.num_processes > 1

    def _shared(self, loader: Iterable[Any], name: str) -> Iterable[Any]:
        """This process's part of the batches."""
        if not self._several:
            return loader
        if not isinstance(loader, DataLoader):
            raise InputError(
                name, type(loader).__name__, "is no DataLoader, which several processes share", "make it one"
            )
        return self.accelerator.prepare_data_loader(loader)


def _accelerator(gradients_may_end: bool) -> Accelerator:
    """One as the environment describes it.

    Args:
        gradients_may_end: a parameter may get no gradient in some update, as a confirmed sub-vector does.
    """
    from accelerate import Accelerator, DistributedDataParallelKwargs

    return Accelerator(
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=gradients_may_end)]
    )


def _moved(batch: Any, device: torch.device) -> Any:
    """The tensors of a batch, however nested, on the device."""
    from accelerate.utils import send_to_device

    return send_to_device(batch, device)


def _length(loader: Iterable[Any]) -> int:
    """Batches of an epoch."""
    if not isinstance(loader, Sized):
        raise InputError(
            "loader", type(loader).__name__, "has no length", "give it __len__, batches of an epoch"
        )
    found = len(loader)
    if not found:
        raise InputError("loader", 0, "has no batches", "give more samples or a smaller batch")
    return found
