"""What machines of every kind are described by, count and compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sim.shown import html

if TYPE_CHECKING:
    from sim.network import Network


@dataclass(frozen=True)
class LayerCounts:
    """What one layer takes on one accelerator, for one image.

    Attributes:
        macs: dense-equivalent multiply-accumulates of the layer.
        cycles: by cause; every cycle has exactly one, and every cause of the machine is there.
        accesses: words by memory, and `mac`, the physical multiplications.
        schedule: how the layer runs, where the machine had a choice; it has `to_json()`.
        gated: multiplications that a zero operand gates; counted by the engine, in the closed form the
            expected number for given densities, or None. It depends on operands, so equality ignores it.
    """

    name: str
    macs: int
    cycles: dict[str, int]
    accesses: dict[str, int]
    schedule: Any = None
    gated: int | None = field(default=None, compare=False)

    @property
    def total_cycles(self) -> int:
        return sum(self.cycles.values())

    def repeated(self, times: int) -> LayerCounts:
        """The counts of the layer run `times` times."""
        return replace(
            self,
            macs=times * self.macs,
            cycles={cause: times * n for cause, n in self.cycles.items()},
            accesses={memory: times * n for memory, n in self.accesses.items()},
            gated=None if self.gated is None else times * self.gated,
        )


@dataclass(frozen=True)
class Totals:
    """A network on a machine by its closed form, all layers together.

    Attributes:
        cycles, accesses: of one pass, as those of `LayerCounts`.
        tokens: cycles of them with a token, those of the cause `compute`.
        mapping_gap: as in `Counted`.
    """

    macs: int
    cycles: int
    tokens: int
    accesses: dict[str, int]
    mapping_gap: float = 0.0

    @property
    def counts(self) -> LayerCounts:
        """As if it were one layer; nobody knows what its other cycles wait for."""
        cycles = {"compute": self.tokens, "other": self.cycles - self.tokens}
        return LayerCounts("total", self.macs, cycles, self.accesses)


@dataclass(frozen=True)
class Counted:
    """A network on a machine by its closed form.

    Attributes:
        layers: in execution order; an addition that rides on a convolution is part of it.
        exclusions: layers left out of the compression, with the reason.
        expected: the cycles contain an expectation, since they depend on values that nobody gave.
        mapping_gap: how much less of the objective the best schedule of a layer alone may take at most, as a share.
    """

    layers: tuple[LayerCounts, ...]
    exclusions: Mapping[str, str]
    expected: bool = False
    mapping_gap: float = 0.0


@dataclass(frozen=True, eq=False)
class Simulation:
    """What a machine computed, cycle by cycle, and what it took.

    Attributes:
        tensors: every tensor by layer name, [batch, C, H, W]; int32 where not requantized.
        layers: counts of the first image, in execution order (an addition that rides on a convolution
            belongs to it).
        bit_exact: every tensor equals the functional model; None when not compared.
        wall_s: seconds in the engine, lowering included, comparison not.
    """

    network: Network
    tensors: dict[str, np.ndarray]
    layers: tuple[LayerCounts, ...]
    bit_exact: bool | None
    wall_s: float

    def __repr__(self) -> str:
        exact = {True: "bit-exact", False: "NOT bit-exact", None: "not compared"}[self.bit_exact]
        cycles = sum(layer.total_cycles for layer in self.layers)
        images = len(self.tensors["input"])
        return f"<Simulation {self.network.name}: {images} images, {cycles:,} cycles an image, {exact}>"

    def _repr_html_(self) -> str:
        rows = []
        for layer in self.layers:
            own = layer.cycles
            others = ", ".join(
                f"{cause} {own[cause]:,}" for cause in sorted(own, key=lambda c: -own[c]) if own[cause]
            )
            rows.append((layer.name, f"{layer.macs:,}", f"{layer.total_cycles:,}", others))
        return html(repr(self)[1:-1], ("layer", "MACs", "cycles", "by cause"), rows)

    @property
    def outputs(self) -> np.ndarray:
        """The last layer's tensor, [batch, n]."""
        last = self.tensors[self.network.layers[-1].name]
        return last.reshape(len(last), -1)


class Description(Protocol):
    """What the description of an accelerator of any kind says; a frozen pydantic model."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def clock_hz(self) -> float: ...
    @property
    def technology(self) -> str: ...

    @property
    def peak_macs(self) -> float:
        """Dense-equivalent multiply-accumulates a cycle, at most."""
