"""What an edit takes of a machine, at the sizes of the papers and of the shipped models, by the closed form."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from algos.data.shapes import SIZE
from algos.frontend.shapes import import_module
from algos.video import models
from algos.video.models import VideoModel
from sim import accelerator
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.estimate import estimate
from sim.steps import steps
from sim.workloads import Workload, unet, video, workload

MACHINES = ("ews-64", "ews-cms-64", "int4-g128-64")
"""Those that exist here are used."""
STEPS = 50

FULL = (
    "wan2.1-1.3b-edit",
    "wan2.1-1.3b-batched-edit",
    "wan2.1-14b-edit",
    "wan2.1-14b-batched-edit",
    "cogvideox-5b-edit",
    "cogvideox-5b-batched-edit",
    "zeroscope-edit",
    "zeroscope-inverting-edit",
    "zeroscope-fusing-edit",
)
CASES = {  # the paper file's table: size in frames, height, width; PMAC of an edit
    "Wan-14B 512x512x25": (lambda: video.wan("x", 40, 5120, 13824, (25, 512, 512)), 21.4),
    "Wan-14B 480x864x41": (lambda: video.wan("x", 40, 5120, 13824, (41, 480, 864)), 68.2),
    "Wan-14B 512x864x41": (lambda: video.wan("x", 40, 5120, 13824, (41, 512, 864)), 74.5),
    "Wan-1.3B 512x512x25": (lambda: video.wan("x", 30, 1536, 8960, (25, 512, 512)), 2.8),
    "Wan-1.3B 480x864x41": (lambda: video.wan("x", 30, 1536, 8960, (41, 480, 864)), 10.3),
    "CogVideoX-5B 512x512x29": (lambda: video.cogvideox("x", video=(29, 512, 512)), 11.4),
    "CogVideoX-5B 480x720x49": (lambda: video.cogvideox("x", video=(49, 480, 720)), 32.6),
}


def machines() -> list[Accelerator]:
    """The machines of MACHINES that this version has."""
    found = []
    for name in MACHINES:
        try:
            found.append(accelerator.preset(name))
        except InputError:
            continue
    return found


def costs() -> dict[str, Any]:
    """PMAC of the paper file's table; edits at full size and here, on every machine."""
    loads = [*map(workload, FULL), *variants(), *shipped()]
    todo = [(found, machine) for machine in machines() for found in loads]
    rows = [_row(found, machine) for found, machine in steps(todo, "estimates", len(todo))]
    table = {
        name: {"pmac": 196 * make().macs / 1e15, "paper": paper} for name, (make, paper) in CASES.items()
    }
    return {"rows": rows, "table": table, "store": store_bytes()}


def variants() -> list[Workload]:
    """Zeroscope's way back with the blend on the softmax, with half of the rows stored, and with 4-bit maps."""
    return [
        unet.zeroscope_fusing("zeroscope fused", fused=True),
        unet.zeroscope_fusing("zeroscope fused, half stored", density=0.5, fused=True),
        unet.zeroscope_fusing("zeroscope fused, 4 bits", bits=4, fused=True),
    ]


def shipped() -> list[Workload]:
    """Edits with the shipped models, one clip a pass, as the front end records them."""
    return [
        Workload("shipped dit, DFVEdit", recorded(models.dit()), 0, 4 * (STEPS - 1)),
        Workload("shipped dit, injection", recorded(models.dit()), 0, 3 * STEPS),
        Workload("shipped unet, FreeMask", recorded(models.unet()), 0, 3 * STEPS),
    ]


class _Backbone(nn.Module):
    def __init__(self, model: VideoModel) -> None:
        super().__init__()
        self.backbone = model.backbone

    def forward(self, clips: Tensor, times: Tensor, text: Tensor) -> Tensor:
        return self.backbone(clips, times, text, return_dict=False)[0]


def recorded(model: VideoModel) -> tuple[Any, ...]:
    """Layer shapes of one pass of one clip."""
    side = SIZE // model.fold
    clip = torch.randn(1, model.backbone.config.in_channels, model.frames, side, side)
    model = model.eval().requires_grad_(False)
    return tuple(import_module(_Backbone(model), (clip, torch.tensor([500.0]), model.text([""]))))


def store_bytes() -> dict[str, float]:
    """Gigabytes of all steps in float16, Zeroscope at 512x512: attention maps by frames."""
    found = {}
    for frames in (8, 20):
        shapes = unet.zeroscope_inverting("x", frames).shapes
        total = sum(shape.results for shape in shapes if shape.name.endswith(".stored"))
        found[str(frames)] = 2 * STEPS * total / 1e9
    return found


def _row(found: Workload, machine: Accelerator) -> dict[str, Any]:
    estimated = estimate(found, machine, name=found.name)
    energy = estimated.cost.total_pj
    dram = sum(layer.counts.accesses["dram"] for layer in estimated.layers)
    return {
        "workload": found.name,
        "machine": machine.name,
        "passes": found.passes,
        "macs": found.passes * found.macs,
        "cycles": estimated.cost.cycles,
        "energy_j": None if energy is None else energy * 1e-12,
        "time_s": estimated.cost.time_s,
        "dram_bytes": found.passes * dram,
    }
