"""Parts of the built-in workloads, by the names of their layers."""

from __future__ import annotations

from sim.shapes import ConvShape, PassShape
from sim.workloads import workload


def convs(name: str) -> list[ConvShape]:
    return [shape for shape in workload(name).shapes if isinstance(shape, ConvShape)]


def passes(name: str) -> dict[str, PassShape]:
    return {shape.name: shape for shape in workload(name).shapes if isinstance(shape, PassShape)}


def macs(name: str, *starts: str) -> int:
    """Multiply-accumulates of the layers whose names begin with one of these."""
    return sum(shape.macs for shape in convs(name) if shape.name.startswith(starts))


def products(name: str, ending: str = "") -> int:
    """Those of products of two activations."""
    return sum(shape.macs for shape in convs(name) if shape.dynamic and shape.name.endswith(ending))
