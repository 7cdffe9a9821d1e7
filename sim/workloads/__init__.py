"""Shapes of well-known networks by name."""

from __future__ import annotations

from collections.abc import Callable

from sim.errors import InputError, nearest
from sim.shapes import Shape
from sim.workloads import resnet

WORKLOADS: dict[str, Callable[[], list[Shape]]] = {
    "resnet18": lambda: resnet.imagenet((2, 2, 2, 2)),
    "resnet34": lambda: resnet.imagenet((3, 4, 6, 3)),
    "resnet50": lambda: resnet.imagenet((3, 4, 6, 3), bottleneck=True),
    "resnet20": resnet.small,
}


def workload(name: str) -> list[Shape]:
    """Layer shapes of a network in execution order.

    Raises:
        InputError: unknown name, with the nearest one.
    """
    if name not in WORKLOADS:
        raise InputError("network", name, "unknown", nearest(name, WORKLOADS))
    return WORKLOADS[name]()
