"""What an importer found, and its multiply-accumulates against the source's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.errors import InputError
from sim.shapes import Shape


@dataclass(frozen=True)
class Imported:
    """Layer shapes of a network described elsewhere.

    Attributes:
        source: where from, as messages name it.
        shapes: in execution order.
        source_macs: multiply-accumulates as the source itself counts them.
        notes: where the shapes knowingly differ from the source.
    """

    source: str
    shapes: list[Shape]
    source_macs: int
    notes: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        return sum(shape.macs for shape in self.shapes)

    def summary(self) -> list[str]:
        """Lines for people: both totals and the notes."""
        line = (
            f"{self.source}: {len(self.shapes)} layers, {self.macs:,} MACs; "
            f"the source counts {self.source_macs:,}"
        )
        return [line, *self.notes]


def checked(source: str, shapes: Sequence[Shape], source_macs: int, counter: str) -> Imported:
    """Shapes whose multiply-accumulates equal an independent count.

    Args:
        counter: who counted `source_macs`.

    Raises:
        InputError: the totals differ, or there is no layer at all.
    """
    if not shapes:
        raise InputError("network", source, "has no layer", "give a network that computes something")
    found = Imported(source, list(shapes), source_macs)
    if found.macs != source_macs:
        raise InputError(
            f"{source}: MACs",
            found.macs,
            f"{counter} counts {source_macs}",
            "report this network: a layer was lost or misread",
        )
    return found
