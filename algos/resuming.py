"""What a training must know to go on at any update as if nothing had happened: states of random numbers, files."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def generators(loader: Iterable[Any]) -> list[torch.Generator]:
    """Those that a loader, its samplers and its data set draw from, besides the global ones."""
    parts: list[Any] = [loader]
    for name in ("base_dataloader", "sampler", "batch_sampler", "dataset"):
        parts += [getattr(part, name) for part in list(parts) if getattr(part, name, None) is not None]
    found = [getattr(part, name, None) for part in parts for name in ("generator", "synchronized_generator")]
    return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())


def random_state(loader: Iterable[Any]) -> dict[str, Any]:
    """Of all that this process draws from: PyTorch on every device, NumPy, Python and the loader.

    `torch.load(weights_only=True)` reads it.
    """
    _, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 (users' transforms draw from it)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (torch.from_numpy(np.array(keys, np.int64)), int(place), int(has_gauss), float(gauss)),
        "python": random.getstate(),
        "loader": [generator.get_state() for generator in generators(loader)],
    }


def restore_random_state(state: dict[str, Any], loader: Iterable[Any]) -> None:
    """What `random_state` found."""
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
    keys, *rest = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    random.setstate(state["python"])
    for generator, own in zip(generators(loader), state["loader"], strict=True):
        generator.set_state(own)


def save_atomically(state: object, path: Path) -> None:
    """torch.save that leaves the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    os.replace(temporary, path)
