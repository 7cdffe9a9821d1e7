"""The layers that the accelerator runs, one after another; refusal of what it cannot run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sim.errors import InputError
from sim.network import Add, AveragePool, Conv, Network, Pool, Reshape
from sim.network.layers import Map
from sim.shapes import ConvShape, Shape
from sim.systolic.plan import as_planned
from sim.systolic.schedule import Schedule, Source


@dataclass(frozen=True, eq=False)
class Step:
    """One layer.

    Attributes:
        add: the addition that rides on a convolution.
        shape: of the layer itself.
        reads: map group of L1 that holds its ifmap; its rows go to the other one.
        stays: the next layer reads its ofmap where it is, in L1.
    """

    layer: Conv | AveragePool | Pool
    add: Add | None
    shape: Shape
    how: Schedule | Source
    reads: int
    stays: bool

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def tensor(self) -> str:
        """Name of what it writes."""
        return self.shape.tensor if isinstance(self.shape, ConvShape) else self.layer.name

    def ofmap(self, network: Network) -> Map:
        """(C, H, W) of what it writes."""
        channels, high, wide = network.maps[self.layer.name]
        pooled = isinstance(self.shape, ConvShape) and self.shape.pool
        return channels, len(self.shape.written) if pooled else high, wide  # type: ignore[union-attr]

    @property
    def wide(self) -> bool:
        return isinstance(self.layer, Conv) and self.layer.requantization is None

    @property
    def writes(self) -> int:
        """Map group of L1 that its rows go through."""
        return 1 - self.reads


def steps(network: Network, plans: Sequence[Schedule | Source]) -> Iterator[Step]:
    """Every step in execution order.

    Raises:
        InputError: a layer that the hardware has no packet for.
    """
    for layer in network.layers:
        if isinstance(layer, Reshape):
            _check_reshape(network, layer)
    writes = 1
    sources = [_source(how) for how in plans]
    pooled: dict[str, str] = {}
    for n, (shape, how) in enumerate(zip(as_planned(network.shapes, plans), plans, strict=True)):
        layer = network[shape.name]
        add = network[shape.residual] if isinstance(shape, ConvShape) and shape.residual else None
        _check(network, layer, how)
        assert isinstance(layer, Conv | AveragePool | Pool)
        assert add is None or isinstance(add, Add)
        if isinstance(layer, Pool) and layer.input in pooled:
            layer = replace(layer.along_x, input=pooled[layer.input])
        if isinstance(shape, ConvShape) and shape.pool:
            pooled[layer.name] = shape.tensor
        reads = writes if sources[n] == "l1" else 0
        step = Step(layer, add, shape, how, reads, sources[n + 1 : n + 2] == ["l1"])
        writes = step.writes
        yield step


def _source(how: Schedule | Source) -> Source:
    return how.source if isinstance(how, Schedule) else how


def _check(network: Network, layer: object, how: Schedule | Source) -> None:
    kind, name = type(layer).__name__, getattr(layer, "name", "")
    if isinstance(layer, Conv):
        assert isinstance(how, Schedule)
        q = layer.requantization
        if q is not None and q.table is not None:
            raise InputError(
                f"{name}.table",
                "given",
                "the storer has no table",
                "use an activation that is a clamp, or simulate",
            )
        folded = how.shape.unfolded is not None
        if folded and resolve(network, layer.input) != "input":
            raise InputError(
                f"{name}.kernel",
                layer.weight.shape[2:],
                "the schedule folds kernel columns into channels; only the network's input comes folded",
                "give the layer more channels, or fix A, B, D with `extension`",
            )
        return
    if isinstance(layer, AveragePool) or (isinstance(layer, Pool) and layer.mode == "max"):
        if how != "l1":
            raise InputError(
                f"{name}",
                kind,
                f"its operand comes from {how}, and a pass reads L1",
                "put it right behind the layer that it reads, with a map that L1 keeps",
            )
        return
    ridden = "an addition runs only on the convolution right before it, as its only reader"
    raise InputError(
        f"{name}",
        kind,
        ridden if isinstance(layer, Add) else "the hardware has no such layer",
        "use convolutions, additions on them, global average and max pools, or simulate",
    )


def _check_reshape(network: Network, layer: Reshape) -> None:
    if layer.to[0] != network.maps[layer.input][0]:
        raise InputError(
            layer.name,
            layer.to,
            "moves values between channels and places, which lie apart in memory",
            "reshape H and W only",
        )


def resolve(network: Network, tensor: str) -> str:
    """The tensor whose values another one has, reshaped."""
    while tensor != "input" and isinstance(layer := network[tensor], Reshape):
        tensor = layer.input
    return tensor
