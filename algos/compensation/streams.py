"""A module layer by layer, in two streams: the float module, and the one whose layers are rounded so far."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.batches import applied, calibration
from algos.compensation.scales import Rounding
from algos.compensation.solve import Solution, Solver, solve
from algos.compensation.statistics import Statistics
from algos.flow import order
from algos.methods.blocks import blocks, first_tensor
from algos.methods.plan import Patterns, fits, several
from sim.errors import InputError, nearest
from sim.steps import steps

KINDS = (nn.Linear, nn.Conv2d)

_ROUNDING, _SOLVER = Rounding(), Solver()

Call = tuple[tuple[Any, ...], dict[str, Any]]
"""What a module was called with."""


@dataclass(frozen=True)
class Compensated:
    """What became of a layer.

    Attributes:
        groups: of a convolution, each with its own inputs; one of a linear layer.
        shape: of the weight.
    """

    groups: tuple[Solution, ...]
    shape: torch.Size

    def weight(self) -> Tensor:
        return torch.cat([one.weights() for one in self.groups]).reshape(self.shape)


@torch.no_grad()
def compensate(
    module: nn.Module,
    batches: Iterable[Any],
    rounding: Rounding = _ROUNDING,
    solver: Solver = _SOLVER,
    *,
    include: Patterns | None = None,
    exclude: Patterns = (),
    dtype: torch.dtype = torch.float32,
) -> dict[str, Compensated]:
    """Rounds the weights of a module in place, layer after layer, each on what the rounded ones before it give.

    Every block runs once in the float stream, and once in the rounded stream for each set of layers that read one
    tensor; statistics are gathered in one pass and shared by these.

    Args:
        batches: samples of what the module takes, or batches (inputs, target).
        include: patterns of the layers, as `fnmatch` reads them; None for all linear layers and convolutions but the
            first, the last and depth-wise ones.
        exclude: patterns of layers that stay.
        dtype: of statistics and solver; float64 for exact comparisons.

    Returns:
        The integers of each layer, in the order in which they were rounded.

    Raises:
        InputError: no such layer, groups that do not divide one, or statistics that do not do; layers before it are
            rounded then.
    """
    given = list(calibration(batches, module))
    chosen = _chosen(module, given[0], include, exclude)
    for name, layer in chosen.items():
        try:
            rounding.check(_columns(layer))
        except InputError as error:
            raise error.within(f"{name}: ") from None
    training = module.training
    try:
        return _block_by_block(module.eval(), given, chosen, _Task(rounding, solver, dtype))
    finally:
        module.train(training)


class _Task(NamedTuple):
    rounding: Rounding
    solver: Solver
    dtype: torch.dtype


def _block_by_block(
    module: nn.Module, batches: Sequence[Any], chosen: Mapping[str, nn.Linear | nn.Conv2d], task: _Task
) -> dict[str, Compensated]:
    """The layers in the order in which they run."""
    plain, ran = copy.deepcopy(module), list(chosen)
    names = sorted(blocks(module, chosen), key=lambda block: min(map(ran.index, _inside_of(block, chosen))))
    streams, found = _Streams(plain, module, batches), {}
    for block in steps(names, "compensating", len(names)):
        calls = streams.calls(block)
        inside = _inside_of(block, chosen)
        for members in _sharing(plain.get_submodule(block), inside, block, calls.plain[0]):
            statistics = _gather(streams, calls, block, members[0], task.dtype)
            for name in members:
                try:
                    found[name] = _rounded(chosen[name], statistics, task.rounding, task.solver)
                    chosen[name].weight.copy_(found[name].weight())
                except InputError as error:
                    raise error.within(f"{name}: ") from None
    return found


def _inside_of(block: str, layers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: layer for name, layer in layers.items() if name == block or name.startswith(f"{block}.")}


def _chosen(
    module: nn.Module, example: Any, include: Patterns | None, exclude: Patterns
) -> dict[str, nn.Linear | nn.Conv2d]:
    """Layers to round, in the order in which they run."""
    ran = order(module, example, KINDS)
    for pattern in [*several(include or ()), *several(exclude)]:
        if not any(fits(name, pattern) for name in ran):
            raise InputError("layers", pattern, "fits no layer that runs", nearest(pattern, ran))
    ends = () if include is not None else (ran[0], ran[-1])
    found: dict[str, nn.Linear | nn.Conv2d] = {}
    for name in ran:
        layer = module.get_submodule(name)
        assert isinstance(layer, KINDS)
        alone = isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels
        wanted = fits(name, include) if include is not None else name not in ends and not alone
        if wanted and not fits(name, exclude):
            found[name] = layer
    if not found:
        raise InputError("layers", len(ran), "none is left to round", "choose others with include")
    return found


@dataclass
class _Calls:
    """What a block is called with in both streams, a call a batch."""

    plain: list[Call]
    rounded: list[Call]


class _Streams:
    """The float module and the rounded one, whose inputs go from block to block where one feeds the next alone."""

    def __init__(self, plain: nn.Module, rounded: nn.Module, batches: Sequence[Any]) -> None:
        self.plain, self.rounded, self.batches = plain, rounded, batches
        self._last: tuple[str, _Calls] | None = None

    def calls(self, block: str) -> _Calls:
        """Of the next block in the order of the module."""
        calls = self._continued(block) or _Calls(
            _recorded(self.plain, block, self.batches), _recorded(self.rounded, block, self.batches)
        )
        self._last = (block, calls)
        return calls

    def _continued(self, block: str) -> _Calls | None:
        """Outputs of the last block as the inputs of this one; None where they are not just that."""
        if self._last is None:
            return None
        before, calls = self._last
        if not _feeds(self.plain, before, block, self.batches[0]):
            return None

        def onward(module: nn.Module, made: list[Call]) -> list[Call]:
            part = module.get_submodule(before)
            return [((first_tensor(part(*args, **kwargs)), *args[1:]), kwargs) for args, kwargs in made]

        return _Calls(onward(self.plain, calls.plain), onward(self.rounded, calls.rounded))


def _feeds(module: nn.Module, before: str, block: str, example: Any) -> bool:
    """Whether a block is called with the output of another and else with the same things."""
    seen: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            seen[name] = (args, kwargs, output)

        return hook

    handles = [
        module.get_submodule(name).register_forward_hook(keep(name), with_kwargs=True)
        for name in (before, block)
    ]
    try:
        applied(module, example)
    finally:
        for handle in handles:
            handle.remove()
    (args, kwargs, output), (next_args, next_kwargs, _) = seen[before], seen[block]
    if not args or not next_args or next_args[0] is not first_tensor(output):
        return False
    return _same(args[1:], next_args[1:]) and _same(kwargs, next_kwargs)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return one is other
    return one is other or (not isinstance(one, nn.Module) and bool(one == other))


def _recorded(module: nn.Module, block: str, batches: Iterable[Any]) -> list[Call]:
    found: list[Call] = []
    handle = module.get_submodule(block).register_forward_pre_hook(
        lambda _, args, kwargs: found.append((args, kwargs)), with_kwargs=True
    )
    try:
        for batch in batches:
            applied(module, batch)
    finally:
        handle.remove()
    return found


def _sharing(block: nn.Module, layers: Mapping[str, nn.Module], prefix: str, call: Call) -> list[list[str]]:
    """Layers of a block in the order in which they run, those that read one tensor together."""
    read: dict[str, Tensor] = {}
    handles = [
        _inside(block, name, prefix).register_forward_pre_hook(
            lambda _, args, name=name: read.setdefault(name, args[0])
        )
        for name in layers
    ]
    try:
        block(*call[0], **call[1])
    finally:
        for handle in handles:
            handle.remove()
    groups: list[list[str]] = []
    for name, tensor in read.items():
        mates = next(
            (group for group in groups if read[group[0]] is tensor and _alike(layers, group[0], name)), None
        )
        if mates is None:
            groups.append([name])
        else:
            mates.append(name)
    return groups


def _alike(layers: Mapping[str, nn.Module], one: str, other: str) -> bool:
    """Linear layers read a tensor in one way; a convolution has a window of its own."""
    return all(isinstance(layers[name], nn.Linear) for name in (one, other))


def _inside(block: nn.Module, name: str, prefix: str) -> nn.Module:
    return block if name == prefix else block.get_submodule(name.removeprefix(f"{prefix}."))


def _gather(streams: _Streams, calls: _Calls, block: str, name: str, dtype: torch.dtype) -> list[Statistics]:
    """Statistics of each group of a layer."""
    parts = [module.get_submodule(block) for module in (streams.rounded, streams.plain)]
    layer = streams.rounded.get_submodule(name)
    assert isinstance(layer, KINDS)
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    found = [Statistics(_columns(layer), dtype, layer.weight.device) for _ in range(groups)]
    for rounded, plain in zip(calls.rounded, calls.plain, strict=True):
        inputs = [_input(part, name, block, call) for part, call in zip(parts, (rounded, plain), strict=True)]
        for statistics, one, other in zip(found, *(_rows(layer, each) for each in inputs), strict=True):
            statistics.add(one, other)
    return found


def _input(block: nn.Module, name: str, prefix: str, call: Call) -> Tensor:
    """What a layer of the block reads."""
    read: list[Tensor] = []
    handle = _inside(block, name, prefix).register_forward_pre_hook(lambda _, args: read.append(args[0]))
    try:
        block(*call[0], **call[1])
    finally:
        handle.remove()
    return read[0]


def _rows(layer: nn.Linear | nn.Conv2d, inputs: Tensor) -> Iterator[Tensor]:
    """What each group of the layer multiplies: [samples, columns]."""
    if isinstance(layer, nn.Linear):
        yield inputs
        return
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise InputError("padding", layer.padding_mode, "is not unfolded", "exclude the layer")
    windows = F.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
    yield from windows.transpose(1, 2).chunk(layer.groups, 2)


def _columns(layer: nn.Linear | nn.Conv2d) -> int:
    return layer.weight[0].numel()


def _rounded(
    layer: nn.Linear | nn.Conv2d, statistics: Sequence[Statistics], rounding: Rounding, solver: Solver
) -> Compensated:
    parts = layer.weight.flatten(1).chunk(len(statistics))
    found = tuple(solve(part, own, rounding, solver) for part, own in zip(parts, statistics, strict=True))
    return Compensated(found, layer.weight.shape)
