"""Which layers of a module a method takes, and how it cuts each: decided before anything is changed, and printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from algos.flow import order
from algos.weights import phases
from algos.weights.bits import Bits
from algos.weights.codebook import in_integers
from algos.weights.grouping import Axis, group
from sim.errors import InputError, nearest

Layer: TypeAlias = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d | phases.Transposed
KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

Patterns = str | Sequence[str]
"""Of module names, as `fnmatch` reads them: features.*, *.conv2."""


@dataclass(frozen=True)
class Target:
    """A layer that is compressed.

    Attributes:
        name: of the module.
        k: codewords.
        d: codeword length.
        axis: along which sub-vectors lie.
        added: output channels of value 0 beside the layer's own, so that d divides them.
        subvectors: how many there are.
        bits: of what is stored.
        note: what differs from what was asked for.
    """

    name: str
    layer: Layer
    k: int
    d: int
    axis: Axis
    added: int
    subvectors: int
    bits: Bits
    note: str = ""

    def vectors(self) -> Tensor:
        """Sub-vectors of the weight, float [subvectors, d], without its history.

        Raises:
            InputError: the weight is not finite.
        """
        weight = stored(self.layer)
        if self.added:
            weight = torch.cat([weight, weight.new_zeros(self.added, *weight.shape[1:])])
        return group(weight, self.d, self.axis)

    @property
    def shape(self) -> torch.Size:
        """Of the weight as it is stored, with the channels added."""
        outputs, *rest = stored(self.layer).shape
        return torch.Size((outputs + self.added, *rest))


def stored(layer: Layer) -> Tensor:
    """The weight [K, C / groups, ...] whose output channels a codebook is of, without its history."""
    weight = layer.weight.detach()
    return phases.phases(weight, layer.stride, layer.groups) if phases.whole(layer) else weight


Storage = Callable[[Any, Sequence[Target]], list[Bits]]
"""Configuration and targets, whose own bits are not yet known -> their bits; what they share is in the first's."""


@dataclass(frozen=True)
class Plan:
    """All layers of a module: those to compress by name, and why the others stay as they are."""

    targets: Mapping[str, Target]
    skipped: Mapping[str, str]

    @property
    def bits(self) -> Bits:
        """Of all that is compressed; what layers share is in the first of them."""
        return sum((target.bits for target in self.targets.values()), Bits())

    def __str__(self) -> str:
        rows = [("layer", "weight", "d", "k", "bits a weight", "")]
        for target in self.targets.values():
            shape = "x".join(map(str, target.layer.weight.shape))
            own = f"{target.bits.per_weight:.3f}"
            rows.append((target.name, shape, str(target.d), str(target.k), own, target.note))
        widths = [max(len(row[place]) for row in rows) for place in range(5)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip()
            for row in rows
        ]
        lines += [f"{name}: stays, {reason}" for name, reason in self.skipped.items()]
        total = self.bits
        return "\n".join(
            [
                *lines,
                f"{total.weights:,} weights in codewords, {total.per_weight:.3f} bits each with all codebooks",
            ]
        )


@dataclass(frozen=True)
class Choice:
    """What a user says of the layers.

    Attributes:
        include: patterns of the layers to compress, the first, last and depth-wise ones too; None for all
            convolutions and linear layers but those.
        exclude: patterns of layers that stay.
        pad: add output channels of value 0 where d does not divide; otherwise such layers stay.
        layers: options k and d by pattern, in place of the configuration's; where several fit, the later one counts.
    """

    include: Patterns | None = None
    exclude: Patterns = ()
    pad: bool = False
    layers: Mapping[str, Mapping[str, int]] | None = None


def fits(name: str, patterns: Patterns) -> bool:
    """Whether one of the patterns is the name's."""
    return any(fnmatchcase(name, one) for one in several(patterns))


def plan(
    module: nn.Module, config: Any, storage: Storage, choice: Choice = Choice(), example: Any = None
) -> Plan:
    """What a method with this configuration would take.

    Args:
        config: with k and d, and perhaps an axis.
        example: inputs of the module; first and last are then the layers that run first and last, otherwise those
            that are registered so.

    Raises:
        InputError: a pattern that fits no layer, no layer left, or one that is compressed already.
    """
    kinds = (*KINDS, *phases.KINDS) if getattr(config, "transposed", False) else KINDS
    found = {name: part for name, part in module.named_modules() if isinstance(part, kinds)}
    for pattern in (*several(choice.include or ()), *several(choice.exclude), *(choice.layers or {})):
        if not any(fnmatchcase(name, pattern) for name in found):
            raise InputError(
                "layers", pattern, "fits no convolution or linear layer", nearest(pattern, found)
            )
    ends = order(module, example, kinds) if example is not None else list(found)
    skipped: dict[str, str] = {}
    targets: dict[str, Target] = {}
    for name, layer in found.items():
        reason = _left_out(name, layer, module, choice, ends)
        target = reason or _target(name, layer, config, choice)
        if isinstance(target, str):
            skipped[name] = target
        else:
            targets[name] = target
    if not targets:
        raise InputError(
            "layers",
            len(found),
            f"none can be compressed: {skipped}",
            "choose others with include, or pad=True",
        )
    return Plan(_stored(targets, config, storage), skipped)


def whole(layers: Mapping[str, Layer], config: Any, storage: Storage) -> Plan:
    """All of these layers, none left out.

    Raises:
        InputError: d does not divide a layer.
    """
    targets = {}
    for name, layer in layers.items():
        target = _target(name, layer, config, Choice())
        if isinstance(target, str):
            group(layer.weight.detach(), config.d, getattr(config, "axis", "output"))
            raise InputError("layers", name, target, "choose a smaller d")
        targets[name] = target
    return Plan(_stored(targets, config, storage), {})


def _stored(targets: Mapping[str, Target], config: Any, storage: Storage) -> dict[str, Target]:
    bits = storage(config, list(targets.values()))
    return {
        name: replace(target, bits=own) for (name, target), own in zip(targets.items(), bits, strict=True)
    }


def several(patterns: Patterns) -> Iterable[str]:
    """The patterns, be they one or many."""
    return (patterns,) if isinstance(patterns, str) else patterns


def _left_out(name: str, layer: Layer, module: nn.Module, choice: Choice, ends: Sequence[str]) -> str:
    """Why a layer stays, "" if it does not."""
    if in_integers(layer) is not None:
        raise InputError(f"{name}.weight", "codebook", "is compressed already", "start from the float module")
    if fits(name, choice.exclude):
        return "excluded"
    if choice.include is not None and not fits(name, choice.include):
        return "not included"
    if not torch.isfinite(layer.weight).all():
        problem, fix = "holds NaN or infinity", "repair the checkpoint before compressing it"
        raise InputError(f"{name}.weight", float("nan"), problem, fix)
    users = [other for other, part in module.named_modules() if getattr(part, "weight", None) is layer.weight]
    if len(users) > 1:
        return f"shares its weight with {next(other for other in users if other != name)}"
    if name not in ends:
        return "does not run"
    if choice.include is not None:
        return ""
    if name == ends[0]:
        return "the first layer"
    if name == ends[-1]:
        return "the last layer"
    if not isinstance(layer, nn.Linear) and 1 < layer.groups == layer.in_channels:
        return "depth-wise"
    return ""


def _target(name: str, layer: Layer, config: Any, choice: Choice) -> Target | str:
    """How a layer is cut, or why it cannot be."""
    own: dict[str, int] = {"k": config.k, "d": config.d}
    for pattern, options in (choice.layers or {}).items():
        if fnmatchcase(name, pattern):
            own |= options
    if own.keys() > {"k", "d"}:
        raise InputError(
            "layers", sorted(own.keys() - {"k", "d"})[0], "is no option of a layer", "give k and d"
        )
    axis: Axis = getattr(config, "axis", "output")
    d, added = own["d"], 0
    if isinstance(layer, phases.KINDS) and any(step != 1 for step in layer.dilation):
        return "transposed and dilated"
    if isinstance(layer, phases.KINDS) and not phases.whole(layer):
        return "transposed, with another number of taps from place to place: its stride does not divide its kernel"
    weight = stored(layer)
    outputs = len(weight) if isinstance(layer, nn.Linear) else len(weight) // layer.groups
    length = outputs if axis == "output" else weight[0].numel()
    if d < 1 or length % d:
        what = "output channels" if axis == "output" else "weights of an output"
        if d < 1 or not choice.pad or axis == "input" or outputs != len(weight):
            return f"d = {d} does not divide its {length} {what}"
        added = -length % d
    subvectors = (weight.numel() + added * weight[0].numel()) // d
    k = min(own["k"], subvectors // 2) if getattr(config, "fits_k", True) else own["k"]
    if k < 2:
        return f"has only {subvectors} sub-vectors"
    notes = [f"k {own['k']} -> {k}, half of its {subvectors} sub-vectors"] if k < own["k"] else []
    notes += [f"{added} output channels of value 0 added"] if added else []
    return Target(name, layer, k, d, axis, added, subvectors, Bits(), "; ".join(notes))
