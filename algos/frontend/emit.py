"""Layers that need more than a line: products with constant weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from algos.frontend.calibrate import Activation
from algos.frontend.graph import Node, Value
from algos.frontend.layout import Layout
from algos.frontend.lower import Held, Lowering, Tail, table
from algos.frontend.operator import Missing
from algos.frontend.quantize import int8_weight, requantization
from sim.errors import InputError
from sim.network import CodebookWeight, Conv, DenseWeight, Requantization, Weight

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

    def lower(self, to: Lowering, source: Value) -> None:
        """Adds the layer.

        Raises:
            Missing: the input does not lie as the layer reads it.
            InputError: a bias beyond 32 bits.
        """
        coded = to.graph.coded.get(self.weight.origin) if self.weight is not None else None
        stored, scales = (coded.stored(), coded.scales()) if coded is not None else (None, None)
        held = self._read(to, source)
        order = self._columns
        assert self.result is not None
        tail = to.tail(self.node.out, self.result, affine=True)
        bias = self.offset if self.bias is None else self.bias.data.double().numpy()
        gain, offset = tail.gain, tail.offset + tail.gain * bias
        wide = self._last(to, tail) and (scales is None or np.ptp(scales) == 0 and np.ptp(gain) == 0)
        kernel = self.kernel.double()
        if order is not None:
            kernel = kernel[:, order]
            stored = None if stored is None else _reordered(stored, order)
        if stored is None:
            signs = torch.from_numpy(np.where(gain < 0, -1.0, 1.0) if not wide else gain)
            gain = np.abs(gain) if not wide else np.ones_like(gain)
            values, scales = int8_weight(kernel * signs[:, None, None, None], per_channel=not wide)
            stored = DenseWeight(values)
        elif (gain < 0).any():
            raise Missing(
                "a norm behind its codebook has a negative gain",
                "make gains positive before clustering: algos.norms.absorb_gain_signs",
            )
        assert scales is not None
        self._emit(to, tail, held, stored, scales * gain, offset, wide)

    def _read(self, to: Lowering, source: Value) -> Held:
        """The input, where the layer reads it."""
        self._columns: np.ndarray | None = None
        if self.place is not None:
            return to.read(source, self.place)
        inner, outer = source.extent[-1], self.node.out.extent[-1]
        held = to.held[source]
        if held.layout.map[0] != inner:
            rest = tuple((s, n) for s, n in held.layout.order)
            want = Layout(((1, inner),), _without(rest, inner))
            held = to.read(source, want)
        order = Layout(held.layout.channels).index().reshape(-1)
        if sorted(order) != list(range(inner)):
            raise Missing("sums over elements that do not lie along channels", "a layer that permutes a map")
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
        tail: Tail,
        held: Held,
        stored: Weight,
        scales: np.ndarray,
        offset: np.ndarray,
        wide: bool,
    ) -> None:
        """The layer, whose sums have steps scales * scale of the input."""
        name = to.name(self.node.name)
        # A channel of almost no gain is a constant: a larger step leaves its accumulator, below
        # 2^20, under a thousandth of the offset, and its bias in 32 bits.
        real = scales * held.scale
        if not wide:
            real = np.maximum(np.maximum(real, np.abs(offset) / 2**30), SMALLEST)
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
        to.held[tail.out] = Held(name, out, tail.layout)

    @staticmethod
    def _requantized(to: Lowering, tail: Tail, real: np.ndarray) -> tuple[Requantization, Activation]:
        if tail.function is None:
            out = to.scheme.activation(to.seen[tail.out], tail.clamp)
            return requantization(real / out.scale, out), out
        inner = to.scheme.activation(to.seen[tail.end], function=tail.function)
        out = to.scheme.activation(to.seen[tail.out])
        plain = requantization(real / inner.scale, inner)
        return replace(plain, table=table(tail.function, inner, out), table_zero_point=out.zero_point), out


def _without(digits: Any, inner: int) -> Any:
    """Digits of what is not the innermost `inner` elements."""
    found = []
    for stride, size in digits:
        if stride >= inner:
            found.append((stride, size))
        elif stride * size > inner and inner % stride == 0:
            found.append((inner, stride * size // inner))
    return tuple(found)


def _reordered(weight: CodebookWeight, columns: np.ndarray) -> CodebookWeight:
    """With its input channels in another order; codewords run along outputs."""
    masks, signs = (
        None if codes is None else codes[:, columns] for codes in (weight.mask_codes, weight.signs)
    )
    return replace(weight, assignments=weight.assignments[:, columns], mask_codes=masks, signs=signs)
