"""Bits per weight and compression ratio (MVQ eq. 7), with the signs of SSVQ and universal codebooks."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import prod

from sim.formats.encoding import index_bits, mask_bits
from sim.network import AqlmWeight, CodebookWeight, Conv, Network, ScaledWeight, TernaryWeight

FLOAT_BITS = 32
CODEBOOK_BITS = 8
DENSE_BITS = 8


@dataclass(frozen=True)
class Bits:
    """Storage of compressed weights.

    Attributes:
        weights: N_G * d of eq. 7.
        assignments, masks, codebooks: bits b_a, b_m, b_c.
        signs: 1 bit a weight (SSVQ).
        universal: of the codebook that networks share (VQ4ALL), as if this network alone used it.
        scales: and zero points of groups of inputs.
    """

    weights: int = 0
    assignments: int = 0
    masks: int = 0
    codebooks: int = 0
    signs: int = 0
    universal: int = 0
    scales: int = 0

    @property
    def per_weight(self) -> float:
        """Of all that is stored, every codebook once."""
        stored = self.assignments + self.masks + self.codebooks + self.signs + self.universal + self.scales
        return stored / self.weights

    @property
    def ratio(self) -> float:
        """CR of eq. 7, codebooks included."""
        return FLOAT_BITS / self.per_weight

    @property
    def in_rom(self) -> Bits:
        """The same with the universal codebook in a ROM of the chip: the network does not store it."""
        return replace(self, universal=0)

    def __add__(self, other: Bits) -> Bits:
        return Bits(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def codebook_bits(k: int, d: int) -> int:
    """Of an INT8 codebook; magnitudes are stored in 8 bits too."""
    return k * d * CODEBOOK_BITS


def record_bits(subvectors: int, k: int, d: int, n: int = 0, m: int = 0, signs: bool = False) -> Bits:
    """Of one layer without its codebook; n = m = 0 without masks."""
    weights = subvectors * d
    return Bits(
        weights,
        subvectors * index_bits(k),
        weights // m * mask_bits(n, m) if m else 0,
        signs=weights if signs else 0,
    )


def bits(subvectors: int, k: int, d: int, n: int = 0, m: int = 0, signs: bool = False) -> Bits:
    """Of one layer with its own INT8 codebook."""
    return record_bits(subvectors, k, d, n, m, signs) + Bits(codebooks=codebook_bits(k, d))


def network_bits(network: Network) -> Bits:
    """Of all layers of a network that are not in INT8; a codebook that layers share counts once.

    Of a network without any: of all its weights, which lie there in INT8.
    """
    total, seen = Bits(), set()
    for layer in network.layers:
        if not isinstance(layer, Conv):
            continue
        weight = layer.weight
        if isinstance(weight, ScaledWeight):
            element, scale = ((high - low).bit_length() for low, high in (weight.bounds, weight.scale_bounds))
            size = weight.elements.size
            total += Bits(size, assignments=size * element, scales=weight.scales.size * scale)
        if isinstance(weight, TernaryWeight):
            total += Bits(weight.values.size, assignments=-(-weight.values.size // 5) * 8)
        if isinstance(weight, AqlmWeight):
            subvectors, (k, d) = weight.assignments.size // 2, weight.codebooks.shape[1:]
            total += Bits(subvectors * d, 2 * subvectors * index_bits(k), codebooks=2 * codebook_bits(k, d))
        if not isinstance(weight, CodebookWeight):
            continue
        k, d = weight.codebook.shape
        total += record_bits(
            weight.assignments.size, k, d, weight.keep, weight.group, weight.signs is not None
        )
        content = weight.universal, k, d, weight.codebook.tobytes()
        if content not in seen:
            seen.add(content)
            total += Bits(**{"universal" if weight.universal else "codebooks": codebook_bits(k, d)})
    if total.weights:
        return total
    dense = sum(prod(layer.weight.shape) for layer in network.layers if isinstance(layer, Conv))
    return Bits(dense, DENSE_BITS * dense)
