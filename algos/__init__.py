"""Compression methods in PyTorch; each ends in a `sim.network.Network` of integers.

    prepared = algos.METHODS["mvq"].prepare(module, k=64, d=16)

What one calls is here, and loads on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "METHODS": "methods.registry",
    "Method": "methods.method",
    "Plan": "methods.plan",
    "Prepared": "methods.prepared",
    "Recipe": "recipe",
    "Trainer": "trainer",
    "compress": "compressing",
    "masked_kmeans": "weights.kmeans",
    "group": "weights.grouping",
    "ungroup": "weights.grouping",
    "magnitude_mask": "weights.pruning",
    "sparsify": "weights.pruning",
    "densify": "weights.pruning",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"algos.{_HOME[name]}"), name)
    raise AttributeError(f"module 'algos' has no attribute {name!r}")
