"""Operands of DFVEdit's target branch as deltas of the source branch: how small they are, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from algos.video import dfvedit
from algos.video.edits import Edit
from algos.video.models import VideoModel
from algos.zoo import video as zoo
from codeword.reports.video.cases import cases
from sim import accelerator
from sim.estimate import estimate
from sim.workloads import video
from sim.workloads.deltas import deltas
from sim.workloads.workload import Workload

PARTS = 3
"""Of an edit, by its steps."""
EDITS = 3
MACHINE = "ews-64"
LOADS = {"wan2.1-1.3b": video.wan_1b, "wan2.1-14b": video.wan_14b, "cogvideox-5b": video.cogvideox}


def found() -> dict[str, Any]:
    """Deltas of edits with the shipped transformer, and their cost at full size."""
    return {
        "measured": measured(),
        "machine": MACHINE,
        "costs": [_cost(make(name)) for name, make in LOADS.items()],
    }


@torch.no_grad()
def measured() -> list[dict[str, float]]:
    """By part of the edit, mean over edits: shares of INT8 operands of linear layers, by the products they enter.

    Both branches have the scale of the largest operand of the two in that layer and step, so that nothing is clipped.
    """
    model, rows = zoo.model("dit"), []
    for case in cases(EDITS):
        config = dfvedit.DfvEditConfig(**zoo.settings("dfvedit", "dit"))
        task = Edit(case.source.caption, case.target.caption)
        calls: list[Tensor] = []
        with compared(model, calls):
            dfvedit.edit(model, case.clips()[0].pixels[None], task, config)
        per_step = torch.stack(calls).reshape(config.steps - 1, -1, 3).sum(1)
        rows.append(torch.stack([part.sum(0) for part in per_step.tensor_split(PARTS)]))
    total = torch.stack(rows).sum(0)
    return [{"zero": float(z / n), "small": float(s / n)} for z, s, n in total]


@contextmanager
def compared(model: VideoModel, counts: list[Tensor]) -> Iterator[None]:
    """Of each layer's second call of two: products of zero deltas, of those of 4 bits, of all; float64 [3] each."""
    kept: dict[nn.Module, Tensor] = {}

    def see(layer: nn.Linear, given: tuple[Tensor, ...]) -> None:
        source = kept.pop(layer, None)
        if source is None:
            kept[layer] = given[0].clone()
            return
        scale = torch.maximum(source.abs().max(), given[0].abs().max()) / 127
        delta = (given[0] / scale).round() - (source / scale).round()
        seen = [float((delta == 0).sum()), float((delta.abs() <= 7).sum()), float(delta.numel())]
        counts.append(layer.out_features * torch.tensor(seen, dtype=torch.float64))

    layers = [part for part in model.backbone.modules() if isinstance(part, nn.Linear)]
    handles = [layer.register_forward_pre_hook(see) for layer in layers]  # type: ignore[arg-type]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _cost(branch: Workload) -> dict[str, Any]:
    """Of both branches once: bytes, and picojoules of the products and of what comes from off chip in addition."""
    counted, one = deltas(branch), estimate(branch, accelerator.preset(MACHINE))
    energy = one.cost.energy_pj
    off_chip = sum(layer.counts.accesses["dram"] for layer in one.layers)
    assert energy["mac"] is not None
    assert energy["dram"] is not None
    return {
        "model": branch.name,
        "linear": counted.linear / branch.macs,
        "whole_bytes": counted.whole_bytes,
        "subtracted_bytes": counted.subtracted_bytes,
        "sum_bytes": counted.sum_bytes,
        "weight_bytes": counted.weight_bytes,
        "added_bytes": counted.added_bytes,
        "pair_bytes": 2 * off_chip,
        "pair_pj": 2 * (one.cost.total_pj or 0.0),
        "linear_pj": energy["mac"] * counted.linear / branch.macs,
        "added_pj": counted.added_bytes * energy["dram"] / off_chip,
    }
