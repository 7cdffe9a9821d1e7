"""A module under compression: what a training loop, the user's or ours, needs to know of the method."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from algos.methods.plan import Plan
from algos.recipe import Groups
from algos.weights.bits import Bits
from algos.weights.codebook import IntegerWeight, in_integers
from sim.errors import InputError
from sim.network import Network

if TYPE_CHECKING:
    from algos.frontend.export import Quantized


@dataclass(frozen=True)
class LayerReport:
    """Squared errors of a layer's weight before fine-tuning, and its storage.

    `total_sse` sums over all elements, `masked_sse` over those that N:M pruning keeps (MVQ Table 3). What layers
    share is in the bits of the first.
    """

    total_sse: float
    masked_sse: float
    bits: Bits


class Prepared:
    """A module whose layers take their weights from stored integers, ready to train.

    In a loop of one's own:

        prepared = method.prepare(module)
        optimizer = torch.optim.AdamW(prepared.parameters(codebook=1e-3, others=1e-4))
        for inputs, target in loader:
            optimizer.zero_grad()
            (criterion(module(inputs), target) + prepared.loss()).backward()
            optimizer.step()
            prepared.after_step()
        prepared.finish()

    Attributes:
        module: changed in place.
        plan: of the layers.
        reports: of each layer.
        updates: how many the whole training makes, for methods that keep a schedule; None where unknown.
        done: updates so far.
    """

    def __init__(
        self,
        module: nn.Module,
        plan: Plan,
        config: Any,
        reports: Mapping[str, LayerReport],
        updates: int | None = None,
    ) -> None:
        self.module, self.plan, self.config = module, plan, config
        self.reports = reports
        self.updates, self.done = updates, 0
        self.project: Callable[[], None] = lambda: None
        """After every update, before the method's own work."""

    def weights(self) -> dict[str, IntegerWeight]:
        """What the layers take their weights from, by layer."""
        found = {name: in_integers(layer) for name, layer in self.module.named_modules()}
        return {name: part for name, part in found.items() if part is not None}

    def groups(self) -> Groups:
        """All parameters to train: "codebook", "signs", "ratios", "scales", and "others", which are not in codes."""
        named: dict[str, list[nn.Parameter]] = {}
        seen: set[int] = set()
        for weight in self.weights().values():
            for kind, parameters in weight.groups().items():
                fresh = [p for p in parameters if p.requires_grad and id(p) not in seen]
                named.setdefault(kind, []).extend(fresh)
                seen.update(map(id, fresh))
        others = [p for p in self.module.parameters() if p.requires_grad and id(p) not in seen]
        return named | {"others": others}

    def parameters(self, **rates: float) -> list[dict[str, Any]]:
        """Parameter groups for an optimizer, each with its learning rate; `others` is for all that are not named.

        Raises:
            InputError: no such group in this module.
        """
        groups = self.groups()
        for name in rates:
            if name not in groups:
                raise InputError("group", name, "is none of this module", f"use {', '.join(groups)}")
        made = []
        for name, parameters in groups.items():
            rate = rates.get(name, rates.get("others"))
            if parameters:
                made.append({"params": list(parameters), **({} if rate is None else {"lr": rate})})
        return made

    def to(self, device: torch.device) -> None:
        """Moves what the method keeps beside the module."""

    def loss(self) -> Tensor | float:
        """What the method adds to the loss of the last forward pass."""
        return 0.0

    def after_step(self) -> None:
        """Projects parameters and moves the method's schedule on, after an update of the optimizer."""
        self.done += 1
        self.project()
        for weight in self.weights().values():
            weight.after_step(self.done, self.updates)

    def finish(self) -> nn.Module:
        """Decides what is still open; the module in evaluation mode, its weights as they will be stored."""
        return self.module.eval()

    def convert(self, batches: Iterable[Any], **options: Any) -> Network:
        """The network of `quantized`."""
        return self.quantized(batches, **options).network

    def quantized(self, batches: Iterable[Any], **options: Any) -> Quantized:
        """The finished module in integers; the module itself stays where it is.

        Args:
            batches: samples that set the activation scales.
            options: of `algos.frontend.export.quantize`.

        Raises:
            InputError: what has no layer of integers, or is too far from the float module.
        """
        from algos.frontend.export import quantize

        return quantize(copy.deepcopy(self.finish()).cpu(), batches, **options)

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with."""
        layers = {name: [target.k, target.d] for name, target in self.plan.targets.items()}
        return {"config": asdict(self.config), "layers": layers} if layers else {}

    def state_dict(self) -> dict[str, Any]:
        """All that is not in the module's own."""
        return {"done": self.done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.done = state["done"]


@dataclass(frozen=True)
class Task:
    """What a method is given.

    Attributes:
        module: float, changed in place.
        plan: the layers to replace.
        config: of the method.
        batches: samples of what the module takes, where there are any.
        blocks: names of the modules whose outputs count, for methods that compare them.
        updates: of the training that follows, where known.
    """

    module: nn.Module
    plan: Plan
    config: Any
    batches: Iterable[Any] | None = None
    blocks: tuple[str, ...] = ()
    updates: int | None = None

    def prepared(self, reports: Mapping[str, LayerReport]) -> Prepared:
        """When the weights are replaced, and the training needs nothing else of the method."""
        return Prepared(self.module, self.plan, self.config, reports, self.updates)
