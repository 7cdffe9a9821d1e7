"""What every kind of machine offers; nothing above this file asks which kind a description is of.

A kind is a folder with a `machine.py` whose `MACHINE` is a `Machine`, and a line in `KINDS`, the only list of kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from sim.errors import InputError, nearest
from sim.results import Counted, Simulation, Totals

if TYPE_CHECKING:
    from sim.cost import Prices
    from sim.network import Network
    from sim.shapes import Shape
    from sim.trace import Trace

KINDS = {"systolic": "sim.systolic.machine", "digit-serial": "sim.digit_serial.machine"}
"""Module of each kind of machine, by the `kind` of its descriptions; loaded when first asked for."""

Family = Callable[[int, int], dict[str, object]]
"""Fields of a preset, by rows and columns."""


class Job(NamedTuple):
    """A network on a machine, to be counted.

    Attributes:
        key: of all that its totals depend on; empty where nobody knows.
        totals: counts it; raises InputError where the machine cannot run a layer.
    """

    key: bytes
    totals: Callable[[], Totals]


class Machine(ABC):
    """A kind of machine.

    Attributes:
        kind: its name in `KINDS`.
        description: the class of its descriptions, a pydantic model that is a `Description`.
        families: presets by name, `FAMILY-S` or `FAMILY-HxL`.
        sizes: smallest and largest number of rows and columns of a preset.
        objectives: of the mapping.
        hardware: name of the module whose `HARDWARE` is its `rtl.machine.Hardware`; empty of a model alone.
    """

    kind: ClassVar[str]
    description: ClassVar[type[Any]]
    families: ClassVar[Mapping[str, Family]]
    sizes: ClassVar[tuple[int, int]]
    objectives: ClassVar[tuple[str, ...]]
    hardware: ClassVar[str] = ""

    def summary(self, accelerator: Any) -> dict[str, Any]:
        """What a list of presets says of one: flow, weights, tile, L1 and L2 (bytes), WRF (words), d, k.

        What a kind has not it leaves out.
        """
        return {}

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

    def job(self, network: Network | Sequence[Shape], accelerator: Any, objective: str = "edp") -> Job:
        """What `count` says of a network in all, to be counted later, or never, if its key is known."""
        return Job(b"", lambda: _added(self.count(network, accelerator, objective=objective)))

    def prepare_many(self) -> None:  # noqa: B027
        """Loads what makes many estimates in this process quicker, and one of them slower."""

    @abstractmethod
    def prices(self, accelerator: Any) -> Prices:
        """What the accelerator's technology asks for its events, cycles and components."""

    @abstractmethod
    def mapping_energies(self, accelerator: Any) -> str:
        """The technology whose energies weigh the mapping: not the own one where that leaves some unknown."""

    def remarks(self, accelerator: Any) -> list[str]:
        """What a reader of an estimate must know of the machine, a sentence or two each."""
        return []

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

    def trace(
        self,
        network: Network,
        accelerator: Any,
        image: np.ndarray,
        *,
        objective: str = "edp",
        window: range = range(0),
    ) -> tuple[Simulation, Trace]:
        """Runs an image int8 [1, C, H, W] and says when each unit was at work.

        Args:
            window: cycles of which what each goes to is wanted too.

        Raises:
            InputError: what `run` raises, or a kind of machine without traces.
        """
        raise InputError(
            "accelerator", accelerator.name, "its kind of machine has no traces", "take ews-cms-16"
        )


def _added(counted: Counted) -> Totals:
    layers = counted.layers
    accesses = {what: sum(layer.accesses[what] for layer in layers) for what in layers[0].accesses}
    cycles = sum(layer.total_cycles for layer in layers)
    tokens = sum(layer.cycles["compute"] for layer in layers)
    return Totals(sum(layer.macs for layer in layers), cycles, tokens, accesses, counted.mapping_gap)


def machine(kind: str) -> Machine:
    """A kind of machine by name.

    Raises:
        InputError: unknown, with the nearest one.
    """
    if kind not in KINDS:
        raise InputError("kind", kind, "no such kind of machine", nearest(kind, KINDS))
    found: Machine = import_module(KINDS[kind]).MACHINE
    return found
