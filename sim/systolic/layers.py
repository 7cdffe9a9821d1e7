"""The layers of a network as the compiled closed form takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from sim.shapes import ConvShape, PassShape, Shape, rides
from sim.systolic.plan import riders


class Layers:
    """The layers of a network as the arrays of one kind see them; equal ones are of one kind.

    Attributes:
        kinds: of each layer: convolutions first, as in `convolutions`, then passes, as in `passes`.
    """

    def __init__(self, shapes: Sequence[Shape], formats: Mapping[str, tuple[str, int]]) -> None:
        self.shapes, self._formats = shapes, formats
        self._riding: dict[tuple[int, ...], Layers] = {}
        convolutions: dict[tuple[ConvShape, str, int], int] = {}
        passes: dict[PassShape, int] = {}
        found = []
        for shape in shapes:
            if isinstance(shape, PassShape):
                of = replace(shape, name="")
                found.append((True, passes.setdefault(of, len(passes))))
            else:
                alike = replace(shape, name="", residual="residual" if shape.residual else "", chained=True)
                key = (alike, *formats[shape.name])
                found.append((False, convolutions.setdefault(key, len(convolutions))))
        self.convolutions, self.passes = list(convolutions), list(passes)
        self.kinds = [number + len(convolutions) * is_pass for is_pass, number in found]
        self.written = [shape.ofmap_bytes for shape in shapes]
        self.chained = [shape.chained for shape in shapes]
        stored = [isinstance(shape, PassShape) and shape.stored for shape in shapes]
        first = stored.index(False) if False in stored else len(stored) - 1
        self.unread = [n <= first for n in range(len(shapes))]
        self.macs = sum(shape.macs for shape in shapes)
        order = np.array([self.kinds, self.written, self.chained, self.unread], np.int64)
        windows = [(n, shape.windows) for n, shape in enumerate(shapes) if rides(shapes, n)]  # type: ignore[union-attr]
        self.key = len(convolutions).to_bytes(8) + order.tobytes() + repr(windows).encode()

    def riding(self, pools: Sequence[int]) -> Layers:
        """The network some of whose pools, by number, ride on the convolutions before them."""
        if not pools:
            return self
        key = tuple(pools)
        if key not in self._riding:
            self._riding[key] = Layers(riders(self.shapes, pools), self._formats)
        return self._riding[key]

    def name(self, kind: int) -> Shape:
        """The first layer of a kind."""
        return self.shapes[self.kinds.index(kind)]
