"""`make bench`: how fast we are, as ratios against a reference in the same run.

Each figure is the median of five runs after a warm-up, on one thread of PyTorch and all cores of Numba.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.table import Table

from algos.kmeans import assign
from codeword import inputs, tables
from sim import accelerator
from sim.engine import simulate
from sim.estimate import estimate
from sim.mapping import forget
from sim.workloads import workload

IMAGES = 20


def median(run: Callable[[], object], repeats: int = 5) -> float:
    """Median seconds of a call, after one call that is not counted."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def engine_against_torch() -> tuple[str, float, str, float]:
    """The cycle engine against float inference of the same network, for a batch of images."""
    from algos import zoo

    network = inputs.shipped("resnet20-fashion")
    images = np.random.default_rng(0).integers(-128, 128, (IMAGES, 1, 28, 28)).astype(np.int8)
    machine = accelerator.preset("ews-cms-16")
    model = zoo.load_float().eval()
    batch = torch.rand(IMAGES, 1, 28, 28)
    with torch.no_grad():
        reference = median(lambda: model(batch))
    return (f"cycle engine, ResNet-20, {IMAGES} images, ews-cms-16",
            median(lambda: simulate(network, machine, images, compare=False)),
            "torch float inference", reference)


def closed_form_against_engine() -> tuple[str, float, str, float]:
    """The closed form (mapping search included) against one image on the engine."""
    network = inputs.shipped("resnet20-fashion")
    machine = accelerator.preset("ews-cms-16")
    image = np.zeros((1, 1, 28, 28), np.int8)

    def search() -> None:
        forget()
        estimate(network, machine)

    return ("closed form with mapping search, ResNet-20", median(search),
            "cycle engine, one image", median(lambda: simulate(network, machine, image, compare=False)))


def mapping_search() -> tuple[str, float, str, float]:
    """A ResNet-18 estimate with its mapping search, against the same with every schedule known."""
    machine, shapes = accelerator.preset("ews-cms-64"), workload("resnet18").shapes

    def search() -> None:
        forget()
        estimate(shapes, machine)

    return ("estimate resnet18, ews-cms-64, mapping search", median(search),
            "the same, schedules known", median(lambda: estimate(shapes, machine)))


def two_gemm_distance() -> tuple[str, float, str, float]:
    """Masked assignment by two GEMMs against the broadcast form of MVQ eq. 2."""
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(20_000, 16, generator=generator) < 0.25).float()
    vectors = torch.randn(20_000, 16, generator=generator) * masks
    codebook = torch.randn(128, 16, generator=generator)

    def broadcast() -> torch.Tensor:
        parts = zip(vectors.split(2000), masks.split(2000), strict=True)
        return torch.cat([((w[:, None] - codebook * m[:, None]) ** 2).sum(-1).argmin(1) for w, m in parts])

    return ("masked assignment, two GEMMs, 20,000 x 128", median(lambda: assign(vectors, masks, codebook)),
            "broadcast", median(broadcast))


def main() -> None:
    """Runs every benchmark and prints one table."""
    torch.set_num_threads(1)
    table = Table("what", "seconds", "reference", "seconds", "reference / what")
    for bench in (engine_against_torch, closed_form_against_engine, mapping_search, two_gemm_distance):
        what, seconds, against, reference = bench()
        table.add_row(what, f"{seconds:.4f}", against, f"{reference:.4f}", f"{reference / seconds:.2f}")
    tables.show(table)


if __name__ == "__main__":
    main()
