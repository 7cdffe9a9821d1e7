"""VQ4ALL's argument in numbers: one codebook in ROM for all networks against one a layer.

The paper prints neither memory accesses nor areas; these are ours: DRAM bytes from the formats alone,
accesses and cycles of MVQ's networks from the machine, areas from MVQ's densities.
"""

from __future__ import annotations

from dataclasses import dataclass

from codeword.reports.mvq_hardware.machine import Setup, run
from sim import accelerator, technology
from sim.formats.encoding import index_bits
from sim.shapes import ConvShape
from sim.systolic.streams import exclusions, own_codewords
from sim.technology.published import Published
from sim.workloads import WORKLOADS, workload

NETWORKS = tuple(name for name in WORKLOADS if not name.endswith(("-decode", "-edit")))
"""All of sim.workloads but those with the weights of another."""
D, ROM_CODEWORDS = 8, 2**16
LAYER_CODEWORDS = {"equal bits": 2**16, "EWS-C": 1024}
"""Codewords of a layer's own codebook: as long an index as the universal one's, or MVQ's EWS-C."""


@dataclass(frozen=True)
class Traffic:
    """DRAM bytes of a network's weights, read once.

    Attributes:
        layers: that are compressed.
        indices, codebooks: with a codebook a layer; equal_indices, equal_codebooks: the same with as many
            codewords as the ROM; universal: indices into the ROM, which need no codebook.
    """

    layers: int
    indices: int
    codebooks: int
    equal_indices: int
    equal_codebooks: int
    universal: int


def traffic(network: str) -> Traffic:
    """Of the layers that are compressed; the others are the same for all three."""
    shapes = workload(network).shapes
    reasons = exclusions(shapes, D)
    coded = [shape for shape in shapes if isinstance(shape, ConvShape) and not reasons[shape.name]]
    sizes = {}
    for name, most in LAYER_CODEWORDS.items():
        entries = [own_codewords(shape, most, D) for shape in coded]
        bits = sum(shape.weights // D * index_bits(k) for shape, k in zip(coded, entries, strict=True))
        sizes[name] = -(-bits // 8), sum(entries) * D
    universal = sum(shape.weights // D * index_bits(ROM_CODEWORDS) for shape in coded)
    return Traffic(len(coded), *sizes["EWS-C"], *sizes["equal bits"], -(-universal // 8))


@dataclass(frozen=True)
class Access:
    """What the convolutions of a network take on one machine of 64x64, codebook loads included.

    Attributes:
        lookups: energy of codeword reads in multiply-accumulates: a ROM's is assumed to be that of L1.
        waits: cycles in which two lookups wanted one bank of the ROM, an expectation.
    """

    dram: int
    l2: int
    lookups: float
    on_chip: float
    cycles: int
    waits: int


def accesses(network: str, using: Setup) -> dict[str, Access]:
    """Of a network on EWS with a codebook a layer ("ews-c") and with the universal ROM ("rom")."""
    found = {}
    for family in ("ews-c", "rom"):
        this = run(network, family, 64, using)
        found[family] = Access(
            this.accesses["dram"],
            this.accesses["l2"],
            this.units["crf"] + this.units["rom"],
            this.on_chip,
            this.cycles,
            this.stalls["rom"],
        )
    return found


def storage() -> dict[str, float]:
    """KiB that hold the codebooks: one RF reloaded a layer, one for each layer of all networks, the ROM."""
    every = sum(traffic(network).codebooks for network in NETWORKS)
    return {
        "codebook RF, reloaded for each layer": LAYER_CODEWORDS["EWS-C"] * D / 1024,
        "all codebooks of all networks on chip": every / 1024,
        "universal ROM": ROM_CODEWORDS * D / 1024,
    }


def areas() -> dict[str, tuple[float | None, str]]:
    """mm2 in 40 nm or None, with the source; and the mm2 a MB at which the ROM is as large as the RF."""
    tech = technology.load("mvq40")
    assert isinstance(tech, Published)
    found = tech.areas(accelerator.preset("ews-c-64"))["crf"]
    assert found.value is not None
    kib = storage()
    density = tech.area.l2.mm2_per_mb
    rom, every = (kib[name] / 1024 for name in ("universal ROM", "all codebooks of all networks on chip"))
    return {
        "codebook RF of EWS-C, 64x64": (found.value, f"{found.label}: {found.source}"),
        "all codebooks of all networks, as SRAM": (every * density, "derived: density of MVQ's L2"),
        "universal ROM": (None, "VQ4ALL prints no area, and mvq40 has no density of ROM"),
        "universal codebook, as SRAM": (
            rom * density,
            "derived: density of MVQ's L2; more than a ROM of the same size should take",
        ),
        "density at which the ROM equals the RF, mm2 a MB": (
            found.value / rom,
            f"derived; MVQ's L2 has {density:.2f}",
        ),
    }
