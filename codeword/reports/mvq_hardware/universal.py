"""VQ4ALL's argument in numbers: one codebook in ROM for all networks against one a layer.

The paper prints neither memory accesses nor areas; these are ours: DRAM bytes from the formats alone,
accesses and cycles of MVQ's networks from the machine, areas from MVQ's densities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codeword.reports.mvq_hardware.machine import Setup, run
from codeword.reports.mvq_hardware.words import grid, kib, name_of
from sim import accelerator, technology
from sim.formats.encoding import index_bits
from sim.formats.policy import exclusions, own_codewords
from sim.shapes import ConvShape
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
    held = storage()
    density = tech.area.l2.mm2_per_mb
    rom, every = (held[name] / 1024 for name in ("universal ROM", "all codebooks of all networks on chip"))
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


def section(found: Mapping[str, Any]) -> str:
    """Of the report."""
    networks = found["universal"].values()
    fewer = sum(t["universal"] < t["indices"] + t["codebooks"] for t in networks)
    stored = [[name, f"{size:,.0f}"] for name, size in storage().items()]
    mm2 = [[name, "null" if value is None else f"{value:.2f}", why] for name, (value, why) in areas().items()]
    return f"""## VQ4ALL: one codebook in ROM

Nothing is published but the argument; all figures are ours. KiB of compressed weights that DRAM delivers
for one inference, each read once: with a codebook a layer (1024 x 8, MVQ's EWS-C; or up to 2^16 x 8, an
index as long as the universal one's) and with one ROM of 2^16 x 8 for all networks.

{_read(found)}

At equal index length the ROM saves what codebooks weigh, most on small networks. Against short indices
with small codebooks it reads less on {fewer} of {len(networks)}, since 16 bits an index are 60 % more than 10.

Accesses of the convolutions at 64x64, counted by the closed form, as universal ROM over EWS-C (1024 x 8 a
layer); lookups are the share of on-chip energy, where a ROM read is assumed to cost what L1 does:

{_taken(found)}

Codebooks on chip, KiB:

{grid(["", "KiB"], stored)}

Areas in 40 nm:

{grid(["", "mm2", "source, or why not"], mm2)}

The ROM would replace 8 KiB of RF by 512 KiB: it saves area against codebooks that all stay on chip, not
against an RF that is loaded layer by layer, unless a MB of it takes less than the last line says. It saves
the loads of codebooks, and with as many codewords a layer it saves traffic, against small ones not."""


def _read(found: Mapping[str, Any]) -> str:
    """KiB of weights, by network."""
    rows = []
    for network, t in found["universal"].items():
        own, equal = t["indices"] + t["codebooks"], t["equal_indices"] + t["equal_codebooks"]
        rows.append(
            [
                network,
                str(t["layers"]),
                *map(kib, (own, t["codebooks"], equal, t["universal"])),
                f"{t['universal'] / equal:.2f}",
                f"{t['universal'] / own:.2f}",
            ]
        )
    head = [
        "",
        "layers",
        "own codebooks",
        "codebooks of it",
        "own, equal bits",
        "universal",
        "universal / equal bits",
        "universal / own",
    ]
    return grid(head, rows)


def _taken(found: Mapping[str, Any]) -> str:
    """Accesses and cycles of the ROM over those of EWS-C, by network."""
    rows = []
    for network, by in found["universal accesses"].items():
        own, rom = by["ews-c"], by["rom"]
        rows.append(
            [
                name_of(network),
                *(f"{rom[what] / own[what]:.2f}" for what in ("dram", "l2", "on_chip", "cycles")),
                f"{rom['waits'] / rom['cycles']:.0%}",
                *(f"{one['lookups'] / one['on_chip']:.1%}" for one in (own, rom)),
            ]
        )
    head = ["", "DRAM", "L2", "on-chip energy", "cycles", "waits for a bank", "lookups, RF", "lookups, ROM"]
    return grid(head, rows)
