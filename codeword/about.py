"""What there is by name: presets of accelerators, and networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from codeword import inputs

if TYPE_CHECKING:
    from sim.accelerator import Accelerator

SIZE = 64
"""Of presets that are listed, where their kind comes so large."""


@dataclass(frozen=True)
class Known:
    """A network that has a name.

    Attributes:
        layers: of the accelerator, additions that ride on convolutions left out.
        macs: multiply-accumulates of one evaluation.
        parameters: all that a framework counts; None of a network of integers.
        passes: evaluations of one use.
        values: it has weights, and can be simulated and verified.
        others: names that torchvision and timm give it.
    """

    name: str
    layers: int
    macs: int
    parameters: int | None
    passes: int
    values: bool
    others: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def presets(size: int = SIZE) -> dict[str, Accelerator]:
    """A preset of each family, by name.

    Args:
        size: rows and columns; of a family whose kind does not come so large or small, its nearest.
    """
    from sim import accelerator as accelerators

    sizes = {
        family: max(kind.sizes[0], min(size, kind.sizes[1]))
        for family, kind in accelerators.families().items()
    }
    return {
        name: accelerators.preset(name) for name in (f"{family}-{side}" for family, side in sizes.items())
    }


def names() -> list[str]:
    """Of every network, as torchvision and timm spell them too."""
    from sim import synthetic
    from sim.workloads import OTHER_NAMES, WORKLOADS

    return [*WORKLOADS, *inputs.EXPORTED, *synthetic.NAMES, *OTHER_NAMES]


def networks() -> list[Known]:
    """Every network that has a name: shapes alone, then those with weights."""
    from sim import synthetic
    from sim.workloads import WORKLOADS

    return [*map(_shapes, WORKLOADS), *map(_trained, inputs.EXPORTED), *map(_synthetic, synthetic.NAMES)]


def _shapes(name: str) -> Known:
    from sim.workloads import OTHER_NAMES, workload

    found = workload(name)
    others = tuple(other for other, own in OTHER_NAMES.items() if own == name)
    return Known(name, len(found.shapes), found.macs, found.parameters, found.passes, False, others)


def _trained(name: str) -> Known:
    shapes = inputs.shipped(name).shapes
    return Known(name, len(shapes), sum(shape.macs for shape in shapes), None, 1, True)


def _synthetic(name: str) -> Known:
    from sim import synthetic
    from sim.workloads import workload

    found = workload(name.removesuffix(synthetic.SUFFIX))
    return Known(name, len(found.shapes), found.macs, None, found.passes, True)
