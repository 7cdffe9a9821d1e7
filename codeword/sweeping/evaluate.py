"""One design on one network becomes a row: what a worker does, on this machine or another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from codeword import __version__, inputs
from codeword.sweeping.metrics import METRICS
from sim import accelerator as accelerators
from sim import synthetic
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.estimate import Estimate, estimate
from sim.machine import machine
from sim.network import Network
from sim.shapes import Shape
from sim.workloads import Workload

Row = dict[str, Any]
"""Plain values by column."""


class Job(NamedTuple):
    """One design on one network.

    Attributes:
        key: of its row.
        accelerator: fields of the description.
        network: a name, or the whole path of a file.
        objective: of the mapping.
    """

    key: str
    accelerator: Mapping[str, Any]
    network: str
    objective: str


@cache
def model() -> str:
    """Of the code that computes the rows: what another state of it computed is not mixed in."""
    digest = hashlib.sha256(__version__.encode())
    root = Path(inputs.__file__).parents[1] / "sim"
    for path in sorted((*root.rglob("*.py"), *root.rglob("*.toml"))):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def key(fields: Mapping[str, Any], network: str, objective: str) -> str:
    """Of a row: what it is computed from. The name of the description is not, nor where a file lies."""
    said = {name: value for name, value in fields.items() if name != "name"}
    text = json.dumps([said, _content(network), objective, model()], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@cache
def _content(network: str) -> str:
    """A built-in name, or the digest of a file."""
    path = Path(network)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else network


def rows(jobs: Sequence[Job], expected: str, many: bool = False) -> list[Row]:
    """A row for each job, of a design that cannot be, or cannot run the network, with the reason.

    Args:
        expected: `model()` of who asks.
        many: there are so many of them in all that compiled code is worth its loading.

    Raises:
        InputError: this worker has another state of the code.
    """
    if model() != expected:
        problem = "computes by another version of the code"
        raise InputError("worker", model(), problem, f"install the same one everywhere, here {expected}")
    if many:
        _prepare(frozenset(str(job.accelerator["kind"]) for job in jobs))
    return [_row(job) for job in jobs]


@cache
def _prepare(kinds: frozenset[str]) -> None:
    for kind in sorted(kinds):
        try:
            machine(kind).prepare_many()
        except ModuleNotFoundError:  # without Numba a sweep takes longer, and finds the same
            return


def _row(job: Job) -> Row:
    row = named(job)
    try:
        described = accelerators.build(job.accelerator)
        found = estimate(
            _network(job.network, described), described, objective=job.objective, name=job.network
        )
    except InputError as error:
        return row | {"refused": str(error)}
    return row | figures(found)


def named(job: Job) -> Row:
    """What a row is found by: key, network, objective of the mapping, and all fields of the accelerator."""
    flat = {
        field: json.dumps(value) if isinstance(value, list | tuple | dict) else value
        for field, value in job.accelerator.items()
    }
    network = Path(job.network).name
    return {"key": job.key, "model": model(), "network": network, "mapping.objective": job.objective} | flat


def figures(found: Estimate) -> Row:
    """Metrics, cycles by cause, energy and area by component; what is unknown is None."""
    cost = found.cost
    stalls = sum(cost.stall_cycles.values())
    return (
        {"refused": None}
        | {name: metric.of(found) for name, metric in METRICS.items()}
        | {"mapping_gap": found.mapping_gap, "macs": cost.macs, "multiplications": cost.multiplications}
        | {"cycles.compute": cost.cycles - stalls}
        | {f"cycles.{cause}": count for cause, count in cost.stall_cycles.items()}
        | {f"energy_pj.{component}": pj for component, pj in cost.energy_pj.items()}
        | {f"area_mm2.{component}": area.value for component, area in cost.area_mm2.items()}
    )


@cache
def _imported(network: str) -> Network | Workload | list[Shape] | None:
    """A network whose shapes no machine changes; None of a synthetic one, whose weights are the machine's own."""
    if network in synthetic.NAMES:
        return None
    return inputs.network(network, accelerators.preset("ews-16"))


def _network(network: str, described: Accelerator) -> Network | Workload | list[Shape]:
    found = _imported(network)
    return inputs.network(network, described) if found is None else found
