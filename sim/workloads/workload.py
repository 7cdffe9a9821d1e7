"""A well-known network as shapes alone."""

from __future__ import annotations

from dataclasses import dataclass

from sim.shapes import Shape


@dataclass(frozen=True)
class Workload:
    """Layer shapes of a network in execution order, for one input.

    Attributes:
        parameters: all that a framework counts: weights, biases, normalizations, embeddings.
        passes: evaluations of the network that one use takes, as 196 for one edit of a video.
    """

    name: str
    shapes: tuple[Shape, ...]
    parameters: int
    passes: int = 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one evaluation."""
        return sum(shape.macs for shape in self.shapes)
