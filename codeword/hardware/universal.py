"""VQ4ALL's argument in numbers: one codebook in ROM for all networks against one a layer.

The paper prints neither memory accesses nor areas; these are ours, from the formats alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim import accelerator, technology
from sim.encoding import index_bits
from sim.formats import exclusions, own_codewords
from sim.shapes import ConvShape
from sim.workloads import workload

NETWORKS = ("resnet18", "resnet50", "mobilenet-v1", "mobilenet-v2", "efficientnet-lite0", "alexnet", "vgg16",
            "deeplab-v3", "mask-rcnn", "deit-t", "deit-s", "deit-b", "vim-t", "sd-v1-4")
"""Those of sim.workloads that VQ4ALL's kind of network contains, one of each size."""
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


def storage() -> dict[str, float]:
    """KiB that hold the codebooks: one RF reloaded a layer, one for each layer of all networks, the ROM."""
    every = sum(traffic(network).codebooks for network in NETWORKS)
    return {"codebook RF, reloaded for each layer": LAYER_CODEWORDS["EWS-C"] * D / 1024,
            "all codebooks of all networks on chip": every / 1024,
            "universal ROM": ROM_CODEWORDS * D / 1024}


def areas() -> dict[str, tuple[float | None, str]]:
    """mm2 in 40 nm or None, with the source; and the mm2 a MB at which the ROM is as large as the RF."""
    found = technology.load("mvq40").areas(accelerator.preset("ews-c-64"))["crf"]
    assert found.value is not None
    return {
        "codebook RF of EWS-C, 64x64": (found.value, found.source),
        "universal ROM": (None, "VQ4ALL prints no area, and mvq40 has no density of ROM"),
        "break-even, mm2 a MB": (found.value / (ROM_CODEWORDS * D / 2**20), "RF's area over the ROM's size"),
    }
