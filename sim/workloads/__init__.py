"""Shapes of well-known networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from sim.errors import InputError, nearest
from sim.workloads import cnn, mobilenet, resnet
from sim.workloads.workload import Workload

__all__ = ["WORKLOADS", "Workload", "workload"]

WORKLOADS: dict[str, Callable[[], Workload]] = {
    "alexnet": cnn.alexnet,
    "vgg16": cnn.vgg16,
    "resnet18": lambda: resnet.imagenet("resnet18", (2, 2, 2, 2)),
    "resnet34": lambda: resnet.imagenet("resnet34", (3, 4, 6, 3)),
    "resnet50": lambda: resnet.imagenet("resnet50", (3, 4, 6, 3), bottleneck=True),
    "resnet20": resnet.small,
    "mobilenet-v1": mobilenet.v1,
    "mobilenet-v2": mobilenet.v2,
    "mobilenet-v3-facepad": mobilenet.v3_facepad,
    "efficientnet-lite0": mobilenet.efficientnet_lite0,
}


@cache
def workload(name: str) -> Workload:
    """A network's layer shapes in execution order, and its parameters.

    Raises:
        InputError: unknown name, with the nearest one.
    """
    if name not in WORKLOADS:
        raise InputError("network", name, "unknown", nearest(name, WORKLOADS))
    return WORKLOADS[name]()
