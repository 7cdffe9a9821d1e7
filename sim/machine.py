"""What every kind of machine offers; nothing above this file asks which kind a description is of.

A kind is a folder with a `machine.py` whose `MACHINE` is a `Machine`, and a line in `KINDS`. Its hardware is found in
the same way, in `rtl.machine`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from sim.errors import InputError, nearest

if TYPE_CHECKING:
    from sim.cost import Prices
    from sim.network import Network
    from sim.shapes import Shape

KINDS = {"systolic": "sim.systolic.machine"}
"""Module of each kind of machine, by the `kind` of its descriptions; loaded when first asked for."""

Family = Callable[[int, int], dict[str, object]]
"""Fields of a preset, by rows and columns."""


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
class Counted:
    """A network on a machine by its closed form.

    Attributes:
        layers: in execution order; an addition that rides on a convolution is part of it.
        exclusions: layers left out of the compression, with the reason.
        expected: the cycles contain an expectation, since they depend on values that nobody gave.
    """

    layers: tuple[LayerCounts, ...]
    exclusions: Mapping[str, str]
    expected: bool = False


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

    @property
    def outputs(self) -> np.ndarray:
        """The last layer's tensor, [batch, n]."""
        last = self.tensors[self.network.layers[-1].name]
        return last.reshape(len(last), -1)


class Description(Protocol):
    """What the description of an accelerator of any kind says; a frozen pydantic model."""

    name: str
    kind: Any
    clock_hz: float
    technology: str

    @property
    def peak_macs(self) -> int:
        """Dense-equivalent multiply-accumulates a cycle, at most."""


class Machine(ABC):
    """A kind of machine.

    Attributes:
        kind: its name in `KINDS`.
        description: the class of its descriptions, a pydantic model that is a `Description`.
        families: presets by name, `FAMILY-S` or `FAMILY-HxL`.
        sizes: smallest and largest number of rows and columns of a preset.
    """

    kind: ClassVar[str]
    description: ClassVar[type[Any]]
    families: ClassVar[Mapping[str, Family]]
    sizes: ClassVar[tuple[int, int]]

    @abstractmethod
    def count(
        self,
        network: Network | Sequence[Shape],
        accelerator: Any,
        *,
        objective: str = "edp",
        zeros: tuple[float, float] | None = None,
        formats: Mapping[str, Any] | None = None,
    ) -> Counted:
        """Maps every layer and counts cycles and accesses without running it.

        Args:
            network: integers, whose weights decide the formats, or shapes alone, which take the machine's own.
            objective: of the mapping: edp, energy or cycles.
            zeros: shares of zero activations and zero stored weights, for the expected number of gated
                multiplications; without them it stays unknown, since only the engine sees operands.
            formats: weight format by layer, of shapes that do not take the machine's own.

        Raises:
            InputError: the machine cannot run a layer.
        """

    @abstractmethod
    def prices(self, accelerator: Any) -> Prices:
        """What the accelerator's technology asks for its events, cycles and components."""

    @abstractmethod
    def mapping_energies(self, accelerator: Any) -> str:
        """The technology whose energies weigh the mapping: not the own one where that leaves some unknown."""

    @abstractmethod
    def run(
        self,
        network: Network,
        accelerator: Any,
        images: np.ndarray,
        *,
        objective: str = "edp",
        registers: bool = False,
        arbitrated: bool = False,
    ) -> Simulation:
        """Runs int8 images [batch, C, H, W], cycle by cycle, and compares every tensor.

        Args:
            objective: of the mapping, as in `count`.
            registers: clock every register of the array; the same values and counts, more slowly.
            arbitrated: all clients of L1 share its banks, instead of a group for each.

        Raises:
            InputError: the machine cannot run a layer of this network, or has no such depth.
        """


def machine(kind: str) -> Machine:
    """A kind of machine by name.

    Raises:
        InputError: unknown, with the nearest one.
    """
    if kind not in KINDS:
        raise InputError("kind", kind, "no such kind of machine", nearest(kind, KINDS))
    found: Machine = import_module(KINDS[kind]).MACHINE
    return found
