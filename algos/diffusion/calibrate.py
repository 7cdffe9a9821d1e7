"""Quantization parameters learned from the float network, on latents that the quantized one runs into.

Inspired by "serial-to-parallel calibration", "inter-layer distillation" and "selective freezing" (arXiv 2412.06661),
of which names and purposes are public and no equation. Serial: the quantized network draws pictures, its latents are
kept. Parallel: batches of mixed time steps are drawn from these; no gradient goes from one time step to another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.diffusion.model import Quantized, layers
from algos.diffusion.pool import Pool, rollout
from algos.diffusion.quantizers import RoundedWeight
from algos.diffusion.sampling import Condition, Sampler
from algos.resuming import save_atomically
from sim.errors import InputError


@dataclass(frozen=True)
class Training:
    """How to learn.

    Attributes:
        steps: updates.
        batch: entries of the pool in an update.
        pool: whose trajectories: "quantized" (serial-to-parallel) or "float" (latents that inference does not see).
        shuffled: whether a batch mixes time steps; else it is of one, in the order of sampling.
        refresh: updates between trajectories of the quantized network.
        distillation: weight of the blocks' relative squared errors beside that of the prediction; 0 for none.
        freeze: relative change of a layer's scales in `window` updates below which it stays; 0 never freezes.
        rate_scales, rate_weights: of Adam, for logarithms of scales, and for weights as they are.
        rounding: rate of Adam for rounding that is learned, and weight of its penalty.
    """

    steps: int = 600
    batch: int = 32
    pool: Literal["quantized", "float"] = "quantized"
    shuffled: bool = True
    refresh: int = 200
    distillation: float = 1.0
    freeze: float = 1e-3
    window: int = 50
    rate_scales: float = 1e-3
    rate_weights: float = 2e-4
    rounding: tuple[float, float] = (1e-2, 0.1)
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "refresh", "window"):
            if (value := getattr(self, name)) < 1:
                raise InputError(name, value, "not positive", "leave it out")


@dataclass
class State:
    """What a calibration must know to go on.

    Attributes:
        losses: of the prediction, relative, at the end of every window.
        frozen: layers by the update in which they froze.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    frozen: dict[str, int] = field(default_factory=dict)


def calibrate(
    quantized: Quantized,
    teacher: nn.Module,
    sampler: Sampler,
    noise: Tensor,
    condition: Condition,
    training: Training,
    checkpoint: Path | None = None,
    report: Callable[[State], None] = lambda state: None,
) -> State:
    """Learns scales and weights in place; an interrupted run gives the same tensors.

    Args:
        teacher: the float network, which has the same time steps.
        noise: [N, C, H, W], where the pool's pictures begin.
        condition: of the N pictures.
        checkpoint: written at the end of every window, and read first where it exists.
        report: called at the end of every window, before that.

    Raises:
        InputError: a checkpoint of another calibration, or a loss that is not finite.
    """
    run = _Run(quantized, teacher, sampler, noise, condition, training)
    run.restore(checkpoint)
    while run.state.step < training.steps:
        run.update()
        if run.state.step % training.window == 0 or run.state.step == training.steps:
            report(run.state)
            if checkpoint:
                run.save(checkpoint)
    for one in run.rounded:
        one.hard = True
    run.close()
    return run.state


class _Run:
    def __init__(
        self,
        quantized: Quantized,
        teacher: nn.Module,
        sampler: Sampler,
        noise: Tensor,
        condition: Condition,
        training: Training,
    ) -> None:
        self.quantized, self.teacher, self.sampler, self.training = quantized, teacher, sampler, training
        self.noise, self.condition = noise, condition
        self.state, self.generator = State(), torch.Generator().manual_seed(training.seed)
        self.parameters = _parameters(quantized)
        weights = quantized.weights()
        self.rounded = [one for one in weights.values() if isinstance(one, RoundedWeight)]
        self.groups = self._trained()
        self.optimizer = torch.optim.Adam([group for group in self.groups if group["params"]])
        self.pool: Pool | None = None
        self.order = torch.zeros(0, dtype=torch.int64)
        self.scales = self._scales()
        self.blocks = [_Outputs(teacher), _Outputs(quantized.model)] if training.distillation else []

    def _trained(self) -> list[dict[str, Any]]:
        training, model = self.training, self.quantized.model
        model.requires_grad_(False)
        logits = [one.logit for one in self.rounded]
        scales = [part.log_scale for part in self.quantized.activations()]
        weights: list[nn.Parameter] = []
        if not logits:
            scales += [one.log_scale for one in self.quantized.weights().values()]
            weights = [layer.parametrizations.weight.original for layer in _layers(self.quantized).values()]
        for one in (*logits, *scales, *weights):
            one.requires_grad_(True)
        return [
            {"params": scales, "lr": training.rate_scales},
            {"params": weights, "lr": training.rate_weights},
            {"params": logits, "lr": training.rounding[0]},
        ]

    def update(self) -> None:
        """One step of Adam on a batch, and now and then a new pool or a frozen layer."""
        training, state = self.training, self.state
        if self.pool is None or (state.step % training.refresh == 0 and training.pool == "quantized"):
            source = self.quantized.model if training.pool == "quantized" else self.teacher
            self.pool = rollout(source, self.sampler, self.noise, self.condition)
        loss = self._loss(*self.pool.batch(self._chosen()))
        if not torch.isfinite(loss):
            raise InputError(
                "loss", float(loss), f"is not finite in update {state.step}", "use smaller rates"
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        state.step += 1
        if state.step % training.window == 0:
            state.losses.append(self.error)
            if training.freeze:
                self._freeze()

    def _chosen(self) -> Tensor:
        """Entries of the pool: of a new order of all of them, or of one time step."""
        assert self.pool is not None
        batch = min(self.training.batch, len(self.pool))
        if not self.training.shuffled:
            steps, pictures = self.pool.latents.shape[:2]
            picture = torch.randperm(pictures, generator=self.generator)[:batch]
            return self.state.step % steps * pictures + picture
        if len(self.order) < batch:
            self.order = torch.randperm(len(self.pool), generator=self.generator)
        chosen, self.order = self.order[:batch], self.order[batch:]
        return chosen

    def _loss(self, latent: Tensor, times: Tensor, condition: Condition) -> Tensor:
        for one in self.blocks:
            one.values.clear()
        with torch.no_grad():
            target = self.sampler.predict(self.teacher, latent, times, condition)
        found = self.sampler.predict(self.quantized.model, latent, times, condition)
        loss = F.mse_loss(found, target) / target.square().mean()
        self.error = float(loss.detach())
        if self.blocks:
            wanted, given = (one.values for one in self.blocks)
            errors = [
                F.mse_loss(y, x) / x.square().mean().clamp(min=1e-12)
                for x, y in zip(wanted, given, strict=True)
            ]
            loss = loss + self.training.distillation * torch.stack(errors).mean()
        if self.rounded:
            share = self.state.step / self.training.steps
            beta = 20 - 18 * share  # from 20 to 2, as AdaRound anneals it
            penalty = torch.stack([one.penalty(beta) for one in self.rounded]).mean()
            loss = loss + (share > 0.2) * self.training.rounding[1] * penalty
        return loss

    def _scales(self) -> dict[str, Tensor]:
        """Logarithms of each layer's scales, as they are."""
        return {
            name: torch.cat([p.detach().flatten() for p in own[1:]]) for name, own in self.parameters.items()
        }

    def _freeze(self) -> None:
        """Layers whose scales hardly moved in the last window."""
        now = self._scales()
        for name, own in self.parameters.items():
            moved = float((now[name] - self.scales[name]).abs().mean())
            if name not in self.state.frozen and moved < self.training.freeze:
                self.state.frozen[name] = self.state.step
                self._stop(own)
        self.scales = now

    @staticmethod
    def _stop(parameters: list[nn.Parameter]) -> None:
        for one in parameters:
            one.requires_grad_(False)
            one.grad = None

    def close(self) -> None:
        """Takes the hooks off."""
        for one in self.blocks:
            one.close()

    def save(self, path: Path) -> None:
        assert self.pool is not None
        trained = [p.detach() for group in self.groups for p in group["params"]]
        saved = {"training": _described(self.training, self.sampler), "state": asdict(self.state)}
        saved |= {"trained": trained, "optimizer": self.optimizer.state_dict(), "pool": self.pool.latents}
        saved |= {"generator": self.generator.get_state(), "order": self.order, "scales": self.scales}
        save_atomically(saved, path)

    @torch.no_grad()
    def restore(self, path: Path | None) -> None:
        if path is None or not path.exists():
            return
        saved = torch.load(path, weights_only=True)
        if saved["training"] != _described(self.training, self.sampler):
            raise InputError("checkpoint", str(path), "is of another calibration", "use another folder")
        for one, value in zip(
            (p for group in self.groups for p in group["params"]), saved["trained"], strict=True
        ):
            one.copy_(value)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.generator.set_state(saved["generator"])
        self.order, self.scales, self.state = saved["order"], saved["scales"], State(**saved["state"])
        self.pool = Pool(saved["pool"], self.sampler.fresh().timesteps.double(), self.condition)
        for name in self.state.frozen:
            self._stop(self.parameters[name])


def _described(training: Training, sampler: Sampler) -> str:
    return f"{training} {sampler}"


def _layers(quantized: Quantized) -> dict[str, Any]:
    named = layers(quantized.model)
    return {name: named[name] for name in quantized.bits}


def _parameters(quantized: Quantized) -> dict[str, list[nn.Parameter]]:
    """Of each layer: its weight, and all its scales."""
    weights = quantized.weights()
    return {
        name: [
            layer.parametrizations.weight.original,
            weights[name].log_scale,
            *(part.log_scale for part in quantized.activations(name)),
        ]
        for name, layer in _layers(quantized).items()
    }


class _Outputs:
    """What the blocks of a network give, call by call."""

    def __init__(self, model: nn.Module) -> None:
        self.values: list[Tensor] = []
        self._hooks = [
            model.get_submodule(name).register_forward_hook(self._keep) for name in block_names(model)
        ]

    def _keep(self, _: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        self.values.append(out[0] if isinstance(out, tuple) else out)

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()


def block_names(model: nn.Module) -> list[str]:
    """Blocks whose outputs are compared: the entries of the model's lists, and `mid_block`."""
    found = [
        f"{name}.{i}"
        for name, part in model.named_children()
        if isinstance(part, nn.ModuleList)
        for i in range(len(part))
    ]
    return found + [name for name, _ in model.named_children() if name == "mid_block"]
