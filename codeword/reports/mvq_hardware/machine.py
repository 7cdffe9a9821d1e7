"""The one machine of the reproduction, and what a network takes on it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from codeword.reports.mvq_hardware.published import published
from sim import accelerator, technology
from sim.accelerator import Accelerator
from sim.estimate import estimate
from sim.formats.policy import own_codewords
from sim.results import LayerCounts
from sim.shapes import ConvShape, Shape
from sim.systolic.closed_form.accesses import core_counts
from sim.systolic.streams import native_formats
from sim.technology.published import Published
from sim.workloads import workload

SIZES = (16, 32, 64)
FAMILIES = ("ws", "ws-cms", "ews", "ews-c", "ews-cm", "ews-cms")
_FOLDER = Path(__file__).parent


def document() -> dict[str, Any]:
    """All of machine.toml."""
    return tomllib.loads((_FOLDER / "machine.toml").read_text())


@dataclass(frozen=True)
class Energy:
    """What MVQ Table 8 leaves open; units are multiply-accumulates unless the name says pJ.

    Attributes:
        background: a cycle.
        gated: of a multiplication whose weight a mask removed on a dense array.
        psum_accesses: L1 accesses of a stored psum, read or written.
    """

    mac_pj: float
    background: float
    gated: float
    psum_accesses: float


@dataclass(frozen=True)
class NetworkSetting:
    """A network of the figures.

    Attributes:
        name: as the paper has it.
        layers: by table or figure, which of its layers are counted (one of LAYERS); convolutions elsewhere.
        masked: fields of the description for its records on codebook machines.
    """

    name: str
    layers: Mapping[str, str] = field(default_factory=dict)
    masked: Mapping[str, int] = field(default_factory=dict)


LAYERS = ("convolutions", "pointwise", "all", "compressed")
"""Convolutions are all but classifiers; "all" has classifiers in dense INT8, "compressed" as records."""


def _counted(shape: Shape, layers: str) -> bool:
    if layers in ("all", "compressed"):
        return True
    convolution = isinstance(shape, ConvShape) and shape.size != (1, 1)
    if layers == "convolutions" or not convolution:
        return convolution
    assert isinstance(shape, ConvShape)
    return shape.groups == 1 and shape.kernel == (1, 1)


@dataclass(frozen=True)
class Setup:
    """Everything free, in one place."""

    description: Mapping[str, Any]
    energy: Energy
    networks: Mapping[str, NetworkSetting]
    objective: str = "edp"

    def accelerator(
        self, family: str, size: int, network: str = "", changes: Mapping[str, Any] | None = None
    ) -> Accelerator:
        """A preset with this setup's fields, and the records of a network."""
        fields = dict(self.description)
        if network in self.networks and family in ("ws-cms", "ews-cm", "ews-cms"):
            fields |= dict(self.networks[network].masked)
        return accelerator.load(f"{family}-{size}", fields | dict(changes or {}))

    def variant(self, change: Mapping[str, Any]) -> Setup:
        """This setup with one entry of machine.toml's `variants`.

        Its `layers` hold for all figures, and for the network `of` or all.
        """
        networks = self.networks
        if "layers" in change:
            always = dict.fromkeys(published(), change["layers"])
            networks = {
                key: replace(net, layers=always) if change.get("of", key) == key else net
                for key, net in networks.items()
            }
        if change.get("masked") is False:
            networks = {key: replace(net, masked={}) for key, net in networks.items()}
        return replace(
            self,
            description={**self.description, **change.get("description", {})},
            networks=networks,
            energy=replace(self.energy, **change.get("energy", {})),
            objective=change.get("objective", self.objective),
        )


def setup() -> Setup:
    """What machine.toml says."""
    found = document()
    networks = {key: NetworkSetting(**net) for key, net in found["networks"].items()}
    return Setup(found["description"], Energy(**found["energy"]), networks, found["objective"])


@dataclass(frozen=True)
class Run:
    """What the counted layers of a network take.

    Attributes:
        units: energy by memory, `mac` and `background`, in multiply-accumulates.
    """

    macs: int
    multiplications: int
    cycles: int
    accesses: dict[str, int]
    units: dict[str, float]
    stalls: dict[str, int]

    @property
    def data_access(self) -> float:
        """DRAM, L2, L1 and register files, as Figure 15 counts."""
        return sum(value for what, value in self.units.items() if what not in ("mac", "background"))

    @property
    def on_chip(self) -> float:
        """All but DRAM."""
        return sum(self.units.values()) - self.units["dram"]

    def tops_per_watt(self, energy: Energy) -> float:
        """Dense-equivalent, DRAM excluded."""
        return 2 * self.macs / (self.on_chip * energy.mac_pj)


def run(
    network: str,
    family: str,
    size: int,
    using: Setup,
    changes: Mapping[str, Any] | None = None,
    layers: str = "convolutions",
) -> Run:
    """The whole network runs; the layers that count are added up.

    Args:
        changes: further fields of the description.
        layers: one of LAYERS.
    """
    machine = using.accelerator(family, size, network, changes)
    counts = _counts(network, machine, using.objective, layers == "compressed")
    counted = [
        layer
        for layer, shape in zip(counts, workload(network).shapes, strict=True)
        if _counted(shape, layers)
    ]
    return _sum(counted, machine, using.energy)


@cache
def _counts(network: str, machine: Accelerator, objective: str, compressed: bool) -> tuple[LayerCounts, ...]:
    """Of every layer.

    Args:
        compressed: classifiers too, on a codebook machine.
    """
    found = workload(network)
    formats = None
    if compressed and machine.coded:
        native = native_formats(found.shapes, machine)
        coded = next(form for form, k, _ in native.values() if k)
        formats = {name: native[name][:2] for name in native}
        for shape in found.shapes:
            if (
                isinstance(shape, ConvShape)
                and native[shape.name][2] == "classifier"
                and shape.outputs % machine.codeword_length == 0
            ):
                formats[shape.name] = (
                    coded,
                    own_codewords(shape, machine.codebook_entries, machine.codeword_length),
                )
    whole = estimate(found.shapes, machine, objective=objective, formats=formats)
    return tuple(layer.counts for layer in whole.layers)


def _sum(layers: list[LayerCounts], machine: Accelerator, energy: Energy) -> Run:
    tech = technology.load(machine.technology)
    assert isinstance(tech, Published)
    ratios = tech.energy.ratio
    accesses = {what: sum(layer.accesses[what] for layer in layers) for what in ratios}
    units = {what: count * ratios[what].value for what, count in accesses.items()}
    # Counted in bytes of 32-bit psums; priced as what Table 8 may mean by an access.
    stored = sum(_psum_bytes(layer) for layer in layers)
    units["l1"] -= stored * ratios["l1"].value * (1 - energy.psum_accesses / (machine.psum_store_bits // 8))
    units["mac"] -= (1 - energy.gated) * sum(_masked_off(layer, machine) for layer in layers)
    cycles = sum(layer.total_cycles for layer in layers)
    units["background"] = energy.background * cycles
    stalls = {cause: sum(layer.cycles[cause] for layer in layers) for cause in layers[0].cycles}
    return Run(sum(layer.macs for layer in layers), accesses["mac"], cycles, accesses, units, stalls)


def _psum_bytes(layer: LayerCounts) -> int:
    if layer.schedule is None:
        return 0
    counts = core_counts(layer.schedule)
    return counts["l1_psum_read"] + counts["l1_psum_write"]


def _masked_off(layer: LayerCounts, machine: Accelerator) -> float:
    """Multiplications with a weight that a mask removed; a sparse tile has no multiplier for it."""
    if layer.schedule is None or not layer.schedule.stream.masks or machine.sparse_tile:
        return 0.0
    return layer.accesses["mac"] * (1 - machine.keep / machine.group)
