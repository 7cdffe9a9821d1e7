"""A module layer by layer, in two streams: the float module, and the one whose layers are rounded so far."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from algos.batches import calibration
from algos.compensation.activations import Activations
from algos.compensation.scales import Rounding
from algos.compensation.solve import Solution, Solver, nearest, solve
from algos.compensation.statistics import Statistics
from algos.compensation.streams import Streams
from algos.flow import order
from algos.methods.blocks import blocks
from algos.methods.plan import Patterns, fits, several
from algos.weights.scalar import folded, laid_out
from sim.errors import InputError
from sim.errors import nearest as closest
from sim.steps import steps

KINDS = (nn.Linear, nn.Conv2d)

Layer: TypeAlias = nn.Linear | nn.Conv2d

_ROUNDING, _SOLVER = Rounding(), Solver()


@dataclass(frozen=True)
class Compensated:
    """What became of a layer.

    Attributes:
        groups: of a convolution, each with its own inputs; one of a linear layer. Inputs of one kernel position lie
            together, as `algos.weights.scalar.laid_out` puts them.
        shape: of the weight.
    """

    groups: tuple[Solution, ...]
    shape: torch.Size

    def weight(self) -> Tensor:
        return folded(torch.cat([one.weights() for one in self.groups]), self.shape)


@torch.no_grad()
def compensate(
    module: nn.Module,
    batches: Iterable[Any],
    rounding: Rounding = _ROUNDING,
    solver: Solver | None = _SOLVER,
    *,
    include: Patterns | None = None,
    exclude: Patterns = (),
    activations: Activations | None = None,
    dtype: torch.dtype = torch.float32,
) -> dict[str, Compensated]:
    """Rounds the weights of a module in place, layer after layer, each on what the rounded ones before it give.

    Every block runs once in the float stream, and in the rounded stream up to each set of layers that read one
    tensor; statistics are gathered in one pass and shared by these.

    Args:
        batches: samples of what the module takes, or batches (inputs, target).
        solver: None for the nearest level of each weight.
        include: patterns of the layers, as `fnmatch` reads them; None for all linear layers and convolutions but the
            first, the last and depth-wise ones.
        exclude: patterns of layers that stay.
        activations: how the layers round their inputs, from here on and so while their weights are chosen.
        dtype: of statistics and solver; float64 for exact comparisons.

    Returns:
        The integers of each layer, in the order in which they were rounded.

    Raises:
        InputError: no such layer, groups that do not divide one, or statistics that do not do; layers before it are
            rounded then.
    """
    given = list(calibration(batches, module))
    with _evaluating(module):
        chosen = _chosen(module, given[0], include, exclude)
        return round_layers(module, given, chosen, Compensation(rounding, solver, activations, dtype))


class Compensation(NamedTuple):
    """How layers are rounded; without a solver each weight to its nearest level (RTN)."""

    rounding: Rounding
    solver: Solver | None
    activations: Activations | None = None
    dtype: torch.dtype = torch.float32


@torch.no_grad()
def round_layers(
    module: nn.Module, batches: Sequence[Any], chosen: Mapping[str, Layer], how: Compensation
) -> dict[str, Compensated]:
    """`compensate` of these layers, which are in the order in which they run; without a solver no batch is needed."""
    for name, layer in chosen.items():
        with _of(name):
            how.rounding.check(layer.weight.shape[1])
    with _evaluating(module):
        ran = list(chosen)
        names = sorted(blocks(module, ran), key=lambda block: ran.index(_inside_of(block, ran)[0]))
        streams = Streams(copy.deepcopy(module), module, batches, names)
        if how.activations is not None:
            for layer in chosen.values():
                how.activations.put_on(layer)
        return dict(_nearest(chosen, how) if how.solver is None else _in_streams(streams, chosen, how))


def _nearest(chosen: Mapping[str, Layer], how: Compensation) -> Iterator[tuple[str, Compensated]]:
    """Each layer by itself."""
    for name, layer in chosen.items():
        yield name, _set(layer, (nearest(laid_out(layer.weight), how.rounding),))


def _in_streams(
    streams: Streams, chosen: Mapping[str, Layer], how: Compensation
) -> Iterator[tuple[str, Compensated]]:
    """Each layer on what the rounded ones before it give."""
    for block in steps(streams.blocks, "compensating", len(streams.blocks)):
        reads = streams.enter(block, _inside_of(block, chosen))
        for members in reads.sharing(chosen):
            first = members[0]
            both = zip(streams.inputs(first), reads.inputs[first], strict=True)
            statistics = _gathered(chosen[first], both, how.dtype)
            for name in members:
                with _of(name):
                    yield name, _solved(chosen[name], statistics, how)


def _solved(layer: Layer, statistics: Sequence[Statistics], how: Compensation) -> Compensated:
    assert how.solver is not None
    rows = laid_out(layer.weight)
    rounding = how.rounding.of(rows)  # one palette, also where a convolution has groups
    parts = zip(rows.chunk(len(statistics)), statistics, strict=True)
    return _set(layer, tuple(solve(part, own, rounding, how.solver) for part, own in parts))


def _set(layer: Layer, groups: tuple[Solution, ...]) -> Compensated:
    """Gives a layer its rounded weight."""
    found = Compensated(groups, layer.weight.shape)
    layer.weight.copy_(found.weight())
    return found


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, and no cache of keys and values in a module of transformers: a block runs several times."""
    training, config = module.training, getattr(module, "config", None)
    cached = getattr(config, "use_cache", None)
    try:
        if cached:
            config.use_cache = False  # type: ignore[union-attr]
        module.eval()
        yield
    finally:
        module.train(training)
        if cached:
            config.use_cache = cached  # type: ignore[union-attr]


@contextmanager
def _of(name: str) -> Iterator[None]:
    """Errors that name the layer."""
    try:
        yield
    except InputError as error:
        raise error.within(f"{name}: ") from None


def _inside_of(block: str, layers: Iterable[str]) -> list[str]:
    return [name for name in layers if name == block or name.startswith(f"{block}.")]


def _chosen(module: nn.Module, example: Any, include: Patterns | None, exclude: Patterns) -> dict[str, Layer]:
    """Layers to round, in the order in which they run."""
    ran = order(module, example, KINDS)
    for pattern in [*several(include or ()), *several(exclude)]:
        if not any(fits(name, pattern) for name in ran):
            raise InputError("layers", pattern, "fits no layer that runs", closest(pattern, ran))
    ends = () if include is not None else (ran[0], ran[-1])
    found: dict[str, Layer] = {}
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


def _gathered(layer: Layer, both: Iterable[tuple[Tensor, Tensor]], dtype: torch.dtype) -> list[Statistics]:
    """Statistics of each group of a layer, of its inputs in the rounded and in the float stream."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    found = [Statistics(_columns(layer), dtype, layer.weight.device) for _ in range(groups)]
    for inputs in both:
        for statistics, rounded, plain in zip(found, *(_rows(layer, each) for each in inputs), strict=True):
            statistics.add(rounded, plain)
    return found


def _rows(layer: Layer, inputs: Tensor) -> Iterator[Tensor]:
    """What each group of the layer multiplies: [samples, columns]."""
    if isinstance(layer, nn.Linear):
        yield inputs
        return
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise InputError("padding", layer.padding_mode, "is not unfolded", "exclude the layer")
    windows = F.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
    positions = prod(layer.kernel_size)
    for part in windows.chunk(layer.groups, 1):
        yield part.unflatten(1, (-1, positions)).permute(0, 3, 2, 1).flatten(2)


def _columns(layer: Layer) -> int:
    """Inputs of an output."""
    return layer.weight[0].numel()
