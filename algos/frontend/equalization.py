"""Cross-layer equalization (Nagel et al. 2019, arXiv 1906.04721, section 4.1): channels of like ranges.

A channel divided by s > 0 behind one convolution and multiplied by s before the next leaves the network as it is,
where all that lies between commutes with a positive factor.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

HOMOGENEOUS = tuple(
    f"aten.{name}."
    for name in (
        *("relu", "relu_", "leaky_relu", "leaky_relu_", "dropout", "clone", "contiguous"),
        *("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"),
    )
)
"""f(x / s) = f(x) / s for s > 0, channel by channel; ReLU6 is none of them."""

ROUNDS = 20
"""At most: a convolution in two pairs moves both; chains settle in fewer."""

SETTLED = 0.01
"""Largest relative change of a factor in the last round."""


@dataclass(frozen=True)
class Pair:
    """Two convolutions in a row, `norm` the batch norm behind the first."""

    first: nn.Conv2d
    norm: nn.BatchNorm2d | None
    second: nn.Conv2d

    @torch.no_grad()
    def factors(self) -> Tensor:
        """s of each channel: sqrt(r1 / r2), ranges of its weights before and behind (eq. 11); 1 for a dead one."""
        before = self.first.weight.flatten(1).abs().amax(1)
        if self.norm is not None:
            assert self.norm.running_var is not None
            before = before * self.norm.weight.abs() / (self.norm.running_var + self.norm.eps).sqrt()
        weight = self.second.weight
        behind = weight.flatten(1).abs().amax(1) if self.depthwise else weight.abs().amax((0, 2, 3))
        found = (before / behind).sqrt()
        return torch.where(torch.isfinite(found) & (found > 0), found, torch.ones_like(found))

    @property
    def depthwise(self) -> bool:
        return self.second.groups > 1

    def scale(self, s: Tensor) -> None:
        """Divides before and multiplies behind."""
        owner = self.norm or self.first
        owner.weight.div_(s.view(-1, *[1] * (owner.weight.ndim - 1)))
        if owner.bias is not None:
            owner.bias.div_(s)
        self.second.weight.mul_(s.view(-1, 1, 1, 1) if self.depthwise else s.view(1, -1, 1, 1))


def equalized(module: nn.Module, example: Tensor | tuple[Tensor, ...]) -> nn.Module:
    """A copy that computes the same.

    Args:
        example: the arguments of a call.
    """
    module = copy.deepcopy(module)
    found = list(pairs(module, example))
    with torch.no_grad():
        for _ in range(ROUNDS):
            moved = 0.0
            for pair in found:
                s = pair.factors()
                pair.scale(s)
                moved = max(moved, float((s - 1).abs().max()))
            if moved < SETTLED:
                break
    return module


def pairs(
    module: nn.Module, example: Tensor | tuple[Tensor, ...], between: tuple[str, ...] = HOMOGENEOUS
) -> Iterator[Pair]:
    """By data flow, with operators of these names between; nothing of a value that has another user, a weight that is
    used twice, or a codebook."""
    with torch.no_grad():
        program = torch.export.export(module.eval(), example if isinstance(example, tuple) else (example,))
    owners = program.graph_signature.inputs_to_parameters

    def part(node: fx.Node) -> nn.Module | None:
        """Whose own weight a node reads, alone."""
        weight = node.args[1]
        if not isinstance(weight, fx.Node) or len(weight.users) > 1:
            return None
        path, _, field = owners.get(weight.name, "").rpartition(".")
        return module.get_submodule(path) if field == "weight" else None

    for node in program.graph.nodes:
        if not str(node.target).startswith("aten.conv2d.") or not isinstance(first := part(node), nn.Conv2d):
            continue
        behind, norm = _user(node), None
        if behind is not None and str(behind.target).startswith("aten.batch_norm."):
            norm = part(behind)
            if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None:
                continue
            behind = _user(behind)
        while behind is not None and str(behind.target).startswith(between):
            behind = _user(behind)
        if behind is None or not str(behind.target).startswith("aten.conv2d."):
            continue
        second = part(behind)
        if isinstance(second, nn.Conv2d) and (
            second.groups == 1 or second.groups == second.out_channels == second.in_channels
        ):
            yield Pair(first, norm, second)


def _user(node: fx.Node) -> fx.Node | None:
    """The only one, which takes the value as its first operand."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].args and users[0].args[0] is node else None
