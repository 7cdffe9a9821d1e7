"""Layers that need more than a line: products with constant weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np
import torch

from algos.frontend.calibrate import Activation
from algos.frontend.correction import Sums
from algos.frontend.graph import Node, Value
from algos.frontend.layout import Layout
from algos.frontend.lower import Held, Lowering, Tail, table
from algos.frontend.operator import Missing
from algos.frontend.quantize import int8_weight, requantization
from sim.errors import InputError
from sim.network import (
    AqlmWeight,
    CodebookWeight,
    Conv,
    DenseWeight,
    Rearrange,
    Requantization,
    ScaledWeight,
    TernaryWeight,
    Weight,
)

SMALLEST = 1e-30
"""Of a real step; below it a channel is a constant."""


@dataclass
class Product:
    """A convolution or linear layer.

    Attributes:
        weight: the value that the kernel comes from.
        kernel: [K, C / groups, Ky, Kx].
        offset: float64 [K], in the place of a bias.
        place, result: where a convolution reads and writes; None for a linear layer, which does at any position.
    """

    node: Node
    weight: Value | None
    kernel: torch.Tensor
    place: Layout | None = None
    result: Layout | None = None
    bias: Value | None = None
    offset: np.ndarray | float = 0.0
    groups: int = 1
    stride: list[int] = field(default_factory=lambda: [1, 1])
    padding: list[int] = field(default_factory=lambda: [0, 0])
    dilation: list[int] = field(default_factory=lambda: [1, 1])
    _columns: np.ndarray | None = None

    def lower(self, to: Lowering, source: Value) -> None:
        """Adds the layer.

        Raises:
            Missing: the input does not lie as the layer reads it.
            InputError: a bias beyond 32 bits.
        """
        held = self._read(to, source)
        assert self.result is not None
        # Integers that are given keep their signs; a codebook's refusal says how the norm behind it gets positive.
        given = to.graph.coded.get(self.weight.origin) if self.weight is not None else None
        positive = given is not None and isinstance(given.stored(), DenseWeight)
        tail = to.tail(self.node.out, self.result, affine=True, positive=positive)
        pieces = to.pieces(tail) if self.groups == 1 else []
        if not pieces:
            self._part(to, held, self.node.name, slice(None), tail)
            return
        for number, (value, rows, layout) in enumerate(pieces):
            behind = to.tail(value, layout, affine=True, positive=positive)
            gain = tail.gain[rows] * behind.gain
            offset = tail.offset[rows] * behind.gain + behind.offset
            part = replace(behind, gain=gain, offset=offset)
            name = f"{self.node.name}.{number}" if len(pieces) > 1 else self.node.name
            self._part(to, held, name, rows, part)

    def _part(self, to: Lowering, held: Held, name: str, rows: np.ndarray | slice, tail: Tail) -> None:
        """Some of the outputs as a layer."""
        bias = self.offset if self.bias is None else self.bias.data.double().numpy()[rows]
        gain, offset = tail.gain, tail.offset + tail.gain * bias
        kernel = self.kernel.double()[rows]
        stored: Weight | None
        stored, scales = self._coded(to, rows)
        added = 0 if stored is None else stored.shape[0] - len(gain)
        gain, offset = (
            np.pad(part, (0, added), constant_values=fill) for part, fill in ((gain, 1), (offset, 0))
        )
        wide = self._last(to, tail) and (scales is None or (np.ptp(scales) == 0 and np.ptp(gain) == 0))
        wide = wide and not added
        if stored is None:
            signs = np.where(gain < 0, -1.0, 1.0) if not wide else gain
            gain = np.abs(gain) if not wide else np.ones_like(gain)
            kernel = kernel * torch.from_numpy(signs)[:, None, None, None]
            if self._columns is not None:
                kernel = kernel[:, self._columns]
            values, scales = int8_weight(kernel, per_channel=not wide)
            stored = DenseWeight(values)
        elif (gain < 0).any():
            raise Missing(
                "a norm behind its codebook has a negative gain",
                "make gains positive before clustering: algos.norms.absorb_gain_signs",
            )
        assert scales is not None
        self._emit(to, to.name(name), tail, held, stored, scales * gain, offset, wide)

    def _coded(self, to: Lowering, rows: np.ndarray | slice) -> tuple[Weight, np.ndarray] | tuple[None, None]:
        """The rows of a weight that is given in integers, with their scales."""
        part = to.graph.coded.get(self.weight.origin) if self.weight is not None else None
        if part is None:
            return None, None
        whole = part.stored()
        every = np.arange(whole.shape[0])[rows].reshape(-1)
        if isinstance(whole, ScaledWeight):
            return self._scaled(whole, every), part.scales()[rows]
        if isinstance(whole, DenseWeight | TernaryWeight):
            order = slice(None) if self._columns is None else self._columns
            return type(whole)(np.ascontiguousarray(whole.values[every][:, order])), part.scales()[rows]
        if (
            len(every) % whole.d
            or (every.reshape(-1, whole.d) - every[:: whole.d, None] != np.arange(whole.d)).any()
            or (every[:: whole.d] % whole.d).any()
        ):
            raise InputError(
                "d",
                whole.d,
                f"does not divide outputs of {self.node.name} that are read apart",
                "use a smaller d",
            )
        return _cut(whole, every[:: whole.d] // whole.d, self._columns), part.scales()[rows]

    def _scaled(self, weight: ScaledWeight, rows: np.ndarray) -> ScaledWeight:
        """Some outputs of a weight with group scales, with the input channels in the order in which they lie."""
        channels, group = weight.shape[1], weight.group
        order = np.arange(channels) if self._columns is None else self._columns
        first = order[::group] // group
        if (order // group != first.repeat(group)[:channels]).any():
            raise InputError(
                "group",
                group,
                f"{self.node.name} reads its inputs in an order that mixes the groups",
                "use groups that the order keeps together",
            )
        return replace(weight, elements=weight.elements[rows][:, order], scales=weight.scales[rows][:, first])

    def _read(self, to: Lowering, source: Value) -> Held:
        """The input, where the layer reads it."""
        if self.place is not None:
            return to.read(source, self.place)
        inner, outer = source.extent[-1], self.node.out.extent[-1]
        held, order = to.along_channels(source)
        if not np.array_equal(order, np.arange(inner)):
            self._columns = order
        rows, columns = (
            tuple((stride // inner * outer, size) for stride, size in digits)
            for digits in (held.layout.rows, held.layout.columns)
        )
        self.result = Layout(((1, outer),), rows, columns)
        return held

    def _last(self, to: Lowering, tail: Tail) -> bool:
        """Whether the layer's sums are what the network returns."""
        return to.graph.outputs == [tail.out] and tail.out is tail.end and not tail.out.users

    def _emit(
        self,
        to: Lowering,
        name: str,
        tail: Tail,
        held: Held,
        stored: Weight,
        scales: np.ndarray,
        offset: np.ndarray,
        wide: bool,
    ) -> None:
        """The layer, whose sums have steps scales * scale of the input."""
        # A channel of almost no gain is a constant: a larger step leaves its accumulator, below
        # 2^20, under a thousandth of the offset, and its bias in 32 bits.
        real = scales * held.scale
        least = np.abs(offset) / 2**30
        real = np.maximum(np.maximum(real, least.max() if wide else least), SMALLEST)
        sums = stored.decode().astype(np.int64).sum((1, 2, 3))
        bias = np.round(offset / real) - held.activation.zero_point * sums
        if np.abs(bias).max() >= 2**31:
            raise InputError(
                f"{name}.bias",
                float(np.abs(bias).max()),
                "exceeds 32 bits",
                "check the batch norm's running variance, or use larger activation scales",
            )
        requantized = None
        out = Activation(float(real[0]))
        if not wide:
            requantized, out = self._requantized(to, tail, real)
        (sy, sx), (py, px), (dy, dx) = self.stride, self.padding, self.dilation
        to.add(
            Conv(
                name,
                held.tensor,
                stored,
                bias.astype(np.int32),
                (sy, sx),
                (py, px),
                requantized,
                self.groups,
                (dy, dx),
            )
        )
        if len(real) > tail.layout.map[0]:
            name = _first(to, name, tail.layout, out.zero_point)
        else:
            to.sums[name] = Sums(tail.end, tail.layout, real)
        to.held[tail.out] = Held(name, out, tail.layout)

    @staticmethod
    def _requantized(to: Lowering, tail: Tail, real: np.ndarray) -> tuple[Requantization, Activation]:
        if tail.function is None:
            out = to.activation(tail.out, tail.clamp)
            return requantization(real / out.scale, out), out
        inner = to.scheme.activation(to.seen[tail.end], function=tail.function)
        out = to.activation(tail.out)
        plain = requantization(real / inner.scale, inner)
        return replace(plain, table=table(tail.function, inner, out), table_zero_point=out.zero_point), out


def _first(to: Lowering, padded: str, layout: Layout, zero_point: int) -> str:
    """The channels of a layer without those that were added behind them."""
    name, shape = to.name(f"{padded}.used"), layout.map
    to.add(Rearrange(name, padded, shape, (prod(shape),), (1,), 0, zero_point=zero_point))
    return name


def _cut(
    weight: CodebookWeight | AqlmWeight, groups: np.ndarray, columns: np.ndarray | None
) -> CodebookWeight | AqlmWeight:
    """Some groups of d outputs, with the input channels in another order."""
    order = slice(None) if columns is None else columns

    def cut(codes: np.ndarray | None) -> np.ndarray | None:
        return None if codes is None else codes[groups][:, order]

    assignments = weight.assignments[groups][:, order]
    if isinstance(weight, AqlmWeight):
        return replace(weight, assignments=assignments)
    return replace(
        weight, assignments=assignments, mask_codes=cut(weight.mask_codes), signs=cut(weight.signs)
    )
