"""Who else runs or counts the same networks: seconds of each, and what it computes in them.

`make bench` shows one image on one thread; `make bench-grid` every array, batch and number of threads, in many
minutes; `make bench-others` adds SCALE-Sim and ZigZag, in environments of their own, minutes each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product

import numba
import numpy as np

from codeword import rendering, tables
from codeword.bench import scale_sim, zigzag
from codeword.bench.suite import Stopwatch, random_images
from sim import accelerator
from sim.estimate import estimate
from sim.network import Network
from sim.synthetic import native
from sim.systolic import mapping
from sim.systolic.engine import simulate
from sim.workloads import workload

NETWORKS = ("resnet18", "resnet50")
SIZES = (16, 32, 64)
"""Of the arrays, rows and columns."""
BATCHES = (1, 8, 32)
THREADS = (1, 2)
REFERENCE = "torch float"


@dataclass(frozen=True)
class Task:
    """A network of `sim.synthetic`, images at a time, and threads."""

    network: str
    images: int = 1
    threads: int = 1


Run = Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """Attributes:
    computes: in a run.
    prepared: the run of a task, all that is done once behind it.
    needs: packages without which it is left out.
    batches: whether more images are another task to it.
    """

    name: str
    computes: str
    prepared: Callable[[Task], Run]
    needs: tuple[str, ...] = ()
    batches: bool = True


def _engine(size: int) -> Callable[[Task], Run]:
    def prepared(task: Task) -> Run:
        machine = accelerator.preset(f"ews-cms-{size}")
        network = native(task.network, machine)
        images = random_images(network, task.images)
        return lambda: simulate(network, machine, images, compare=False)

    return prepared


def _estimate(size: int) -> Callable[[Task], Run]:
    def prepared(task: Task) -> Run:
        machine, shapes = accelerator.preset(f"ews-cms-{size}"), workload(task.network)

        def run() -> None:
            mapping.forget()
            estimate(shapes, machine)

        return run

    return prepared


def _network(task: Task) -> Network:
    return native(task.network, accelerator.preset("ews-64"))


def _torch(task: Task) -> Run:
    import torch

    from codeword.bench.float_network import float_network

    torch.set_num_threads(task.threads)
    network = _network(task)
    batch, run = torch.rand(task.images, *network.input.shape), float_network(network)
    return lambda: run(batch)


def _onnxruntime(integers: bool) -> Callable[[Task], Run]:
    def prepared(task: Task) -> Run:
        from codeword.bench.onnx_network import session

        network = _network(task)
        batch = np.random.default_rng(0).random((task.images, *network.input.shape), np.float32)
        run = session(network, task.threads, integers=integers)
        return lambda: run(batch)

    return prepared


VALUES = "INT8 values bit for bit, every cycle, access and stall"
CONTENDERS = (
    Contender(REFERENCE, "values in float32", _torch, ("torch",)),
    Contender("onnxruntime float", "values in float32", _onnxruntime(False), ("onnx", "onnxruntime")),
    Contender("onnxruntime INT8", "values in INT8", _onnxruntime(True), ("onnx", "onnxruntime")),
    *(Contender(f"engine, ews-cms-{size}", VALUES, _engine(size)) for size in SIZES),
    *(
        Contender(
            f"estimate, ews-cms-{size}",
            "the engine's cycles and accesses, energy, area; mapping search afresh",
            _estimate(size),
            batches=False,
        )
        for size in SIZES
    ),
)


@dataclass(frozen=True)
class Result:
    """Median seconds an image."""

    task: Task
    contender: str
    computes: str
    seconds: float
    runs: int


def measured(tasks: Iterable[Task], stopwatch: Stopwatch) -> Iterator[Result]:
    """Every contender that is installed, on every task that is one to it."""
    for task in tasks:
        numba.set_num_threads(task.threads)
        for one in CONTENDERS:
            if all(map(find_spec, one.needs)) and (one.batches or task == Task(task.network)):
                seconds = stopwatch(one.prepared(task)) / task.images
                yield Result(task, one.name, one.computes, seconds, stopwatch.repeats)


def apart(network: str, repeats: int) -> Iterator[Result]:
    """The tools of other environments that are there, in processor seconds of one process."""
    size = SIZES[-1]
    shapes = scale_sim.layers_of(network)
    others: tuple[tuple[str, str, bool, Callable[[], scale_sim.Process]], ...] = (
        (
            f"SCALE-Sim 3, {size}x{size}",
            "cycles of a dense array; no values",
            scale_sim.PYTHON.exists(),
            lambda: scale_sim.scale_sim(shapes, size, size),
        ),
        (
            "ZigZag, tpu_like",
            "cycles and energy of a cost model with mapping search; no values",
            zigzag.PYTHON.exists(),
            lambda: zigzag.zigzag(_network(Task(network))),
        ),
    )
    for name, computes, there, run in others:
        if there:
            seconds = statistics.median(run().cpu_seconds for _ in range(repeats))
            yield Result(Task(network), name, computes, seconds, repeats)


def table(results: Sequence[Result], unit: str = "seconds") -> tables.Table:
    """A row each, with the ratio to the reference on the same task."""
    reference = {found.task: found.seconds for found in results if found.contender == REFERENCE}
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return tables.table(
        f"{unit} an image, medians; load of the machine {load} in 1, 5 and 15 minutes",
        ["what", "computes", "network", "images", "threads", "runs", "seconds", f"to {REFERENCE}"],
        [
            (
                found.contender,
                found.computes,
                found.task.network,
                str(found.task.images),
                str(found.task.threads),
                str(found.runs),
                f"{found.seconds:.3g}",
                f"{found.seconds / reference[found.task]:.2f}" if found.task in reference else "",
            )
            for found in results
        ],
        text=3,
    )


def main() -> None:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    parser.add_argument("--images", nargs="*", type=int, default=[1])
    parser.add_argument("--threads", nargs="*", type=int, default=[1])
    parser.add_argument("--repeats", type=int, default=Stopwatch.repeats)
    parser.add_argument(
        "--processor", action="store_true", help="seconds of the processor, which other work hardly changes"
    )
    parser.add_argument("--others", type=int, default=0, metavar="RUNS", help="of SCALE-Sim and ZigZag each")
    given = parser.parse_args()
    tasks = [Task(*found) for found in product(given.networks, given.images, given.threads)]
    clock = time.process_time if given.processor else time.perf_counter
    results = list(measured(tasks, Stopwatch(clock, given.repeats)))
    if given.others:
        results += [found for name in given.networks for found in apart(name, given.others)]
    rendering.show(table(results, "processor seconds" if given.processor else "seconds"))


if __name__ == "__main__":
    main()
