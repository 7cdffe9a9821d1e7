"""`make bench`: how fast we are, as ratios against a reference in the same run.

Each figure is the median of five runs after a warm-up. PyTorch and Numba have one thread each (`--threads`),
since one image on the cycle engine uses no more. Without PyTorch its references are left out. `make bench-check`
takes processor seconds instead, which other work on the machine hardly changes, and compares the ratios with bounds.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec

import numba
import numpy as np

from codeword import inputs, rendering, tables
from codeword.bench import kmeans
from codeword.bench.designs import NETWORK as SWEPT
from codeword.bench.designs import designs
from sim import accelerator, bulk
from sim.estimate import estimate
from sim.network import Network
from sim.synthetic import native
from sim.systolic import mapping
from sim.systolic.engine import simulate
from sim.workloads import workload

MACHINE = "ews-cms-64"
IMAGES = 8
DESIGNS = 20
TORCH = find_spec("torch") is not None
Clock = Callable[[], float]


@dataclass(frozen=True)
class Figure:
    """Median seconds of a call and of its reference, and multiply-accumulates of the network a second."""

    what: str
    seconds: float
    against: str = ""
    reference_s: float | None = None
    macs: int | None = None

    @property
    def ratio(self) -> float | None:
        """To the reference; None without one."""
        return self.reference_s and self.seconds / self.reference_s

    def to_json(self) -> dict[str, object]:
        return asdict(self) | {"macs_per_s": self.macs and self.macs / self.seconds, "ratio": self.ratio}

    def row(self) -> tuple[str, ...]:
        found = (self.seconds, self.reference_s, self.ratio)
        seconds, reference, ratio = ("" if value is None else f"{value:.3g}" for value in found)
        speed = f"{self.macs / self.seconds / 1e9:.2f} GMAC/s" if self.macs else ""
        return self.what, seconds, speed, ratio, reference, self.against


def timed(run: Callable[[], object], repeats: int, clock: Clock = time.perf_counter) -> float:
    """Median seconds of a call that has been warmed up."""
    seconds = []
    for _ in range(repeats):
        start = clock()
        run()
        seconds.append(clock() - start)
    return statistics.median(seconds)


@dataclass(frozen=True)
class Stopwatch:
    """Takes the time of a call by a clock, as the median of some calls."""

    clock: Clock = time.perf_counter
    repeats: int = 5

    def __call__(self, run: Callable[[], object]) -> float:
        """Median seconds, after one call that is not counted."""
        run()
        return timed(run, self.repeats, self.clock)


def torch_float(network: Network, images: int, median: Stopwatch) -> float | None:
    """Median seconds of float inference of a batch; None without PyTorch."""
    if not TORCH:
        return None
    import torch

    from codeword.bench.float_network import float_network

    torch.set_num_threads(numba.get_num_threads())
    batch, run = torch.rand(images, *network.input.shape), float_network(network)
    return median(lambda: run(batch))


def random_images(network: Network, count: int = 1) -> np.ndarray:
    """int8 [count, C, H, W]."""
    return np.random.default_rng(0).integers(-128, 128, (count, *network.input.shape)).astype(np.int8)


def engine(median: Stopwatch) -> Iterator[Figure]:
    """The cycle engine against float inference of the same networks."""
    machine = accelerator.preset(MACHINE)
    for name, levels in (("resnet18", (False, True)), ("resnet50", (False,))):
        network = native(name, machine)
        image, reference = random_images(network), torch_float(network, 1, median)
        for registers in levels:
            seconds = median(lambda: simulate(network, machine, image, compare=False, registers=registers))  # noqa: B023
            yield Figure(
                f"{network.name}, {'registers' if registers else 'values'}",
                seconds,
                "torch float",
                reference,
                network.macs,
            )
    network, small = inputs.shipped("resnet20-fashion"), accelerator.preset("ews-cms-16")
    images = random_images(network, IMAGES)
    yield Figure(
        f"{IMAGES} resnet20-fashion on ews-cms-16",
        median(lambda: simulate(network, small, images, compare=False)),
        "torch float",
        torch_float(network, IMAGES, median),
        IMAGES * network.macs,
    )


def closed_form(median: Stopwatch) -> Iterator[Figure]:
    """Estimates with nothing remembered, against one float inference of ResNet-18."""
    machine = accelerator.preset(MACHINE)
    reference = torch_float(native("resnet18", machine), 1, median)
    for name in ("resnet18", "wan2.1-14b-edit"):
        found = workload(name)

        def search() -> None:
            mapping.forget()
            estimate(found, machine)  # noqa: B023

        yield Figure(f"estimate {name}, afresh", median(search), "torch float, resnet18", reference)


def many_designs(median: Stopwatch) -> Iterator[Figure]:
    """A sweep with nothing remembered, and single estimates once its compiled code is loaded."""
    machine, machines = accelerator.preset(MACHINE), designs(DESIGNS)
    reference = torch_float(native("resnet18", machine), 1, median)
    swept = workload(SWEPT)

    def sweep() -> None:
        mapping.forget()
        bulk.estimates([swept], machines)

    yield Figure(
        f"{DESIGNS} designs x {swept.name}, afresh", median(sweep), "torch float, resnet18", reference
    )
    found = workload("resnet18")

    def search() -> None:
        mapping.forget()
        estimate(found, machine)

    yield Figure("estimate resnet18, compiled", median(search), "torch float, resnet18", reference)


def two_gemm_distance(median: Stopwatch) -> Iterator[Figure]:
    """Masked assignment by two GEMMs against the broadcast form of MVQ eq. 2."""
    if not TORCH:
        return
    import torch

    from algos.weights.kmeans import assign

    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(20_000, 16, generator=generator) < 0.25).float()
    vectors = torch.randn(20_000, 16, generator=generator) * masks
    codebook = torch.randn(128, 16, generator=generator)

    def broadcast() -> torch.Tensor:
        parts = zip(vectors.split(2000), masks.split(2000), strict=True)
        return torch.cat([((w[:, None] - codebook * m[:, None]) ** 2).sum(-1).argmin(1) for w, m in parts])

    yield Figure(
        "20,000 x 128 masked assignments",
        median(lambda: assign(vectors, masks, codebook)),
        "broadcast",
        median(broadcast),
    )


def in_fresh_processes() -> dict[str, object]:
    """Simulating ResNet-18 for the first time: with nothing compiled, then with all compiled on disk."""
    with tempfile.TemporaryDirectory() as folder:
        first, later = (
            json.loads(
                subprocess.run(
                    [sys.executable, "-m", "codeword.bench", "--once"],
                    check=True,
                    capture_output=True,
                    text=True,
                    env=os.environ | {"NUMBA_CACHE_DIR": folder},
                ).stdout
            )
            for _ in range(2)
        )
    return {
        "bit_exact": first["bit_exact"] and later["bit_exact"],
        "first_run_s": first["wall_s"],
        "first_run_compiled_s": later["wall_s"],
        "peak_rss_mb": later["peak_rss_mb"],
        "peak_rss_mb_compiling": first["peak_rss_mb"],
    }


def once() -> dict[str, object]:
    """One run in this process, then every tensor compared; resident memory is that of the run."""
    from resource import RUSAGE_SELF, getrusage

    machine = accelerator.preset(MACHINE)
    network = native("resnet18", machine)
    image = random_images(network)
    wall_s = simulate(network, machine, image, compare=False).wall_s
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    peak = getrusage(RUSAGE_SELF).ru_maxrss / unit
    return {
        "wall_s": wall_s,
        "peak_rss_mb": round(peak),
        "bit_exact": simulate(network, machine, image).bit_exact,
    }


def measured(stopwatch: Stopwatch) -> list[Figure]:
    """Every figure that has a reference in this process."""
    return [
        figure
        for bench in (engine, closed_form, many_designs, two_gemm_distance)
        for figure in bench(stopwatch)
    ]


def table(figures: Sequence[Figure], threads: int) -> tables.Table:
    columns = ["what", "seconds", "speed", "ratio to", "seconds", "reference"]
    title = f"On {MACHINE} unless named, threads: {threads}"
    return tables.table(title, columns, [figure.row() for figure in figures])


def full(threads: int, as_json: bool) -> None:
    """Measures everything; prints tables, or one JSON object."""
    fresh = in_fresh_processes()
    clustering = kmeans.measured(threads) if TORCH else {}
    figures = measured(Stopwatch())
    if as_json:
        system = {"threads": threads, "machine": platform.machine(), "accelerator": MACHINE}
        found = {
            "resnet18": fresh,
            "resnet50_kmeans": clustering,
            "figures": [figure.to_json() for figure in figures],
        }
        print(json.dumps(system | found, indent=1))
        return
    if clustering:
        columns = ["what", "processor s", "ratio", "peak MB", "ratio"]
        title = f"{kmeans.WHAT}, threads: {threads}"
        rendering.show(tables.table(title, columns, kmeans.rows(clustering)))
    rendering.show(
        table(figures, threads),
        f"resnet18-synthetic, one image: every tensor "
        f"{'equals' if fresh['bit_exact'] else 'DOES NOT equal'} the functional model.",
        f"In a fresh process: {fresh['first_run_s']:.1f} s with nothing compiled, "
        f"{fresh['first_run_compiled_s']:.1f} s after that; peak resident memory "
        f"{fresh['peak_rss_mb']} MB ({fresh['peak_rss_mb_compiling']} MB while compiling).",
    )
