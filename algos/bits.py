"""Bits per weight and compression ratio (MVQ eq. 7)."""

from __future__ import annotations

from dataclasses import dataclass

from sim.encoding import index_bits, mask_bits
from sim.network import CodebookWeight, Conv, Network

FLOAT_BITS = 32


@dataclass(frozen=True)
class Bits:
    """Storage of compressed weights.

    Attributes:
        weights: N_G * d of eq. 7.
        assignments, masks, codebooks: bits b_a, b_m, b_c.
    """

    weights: int = 0
    assignments: int = 0
    masks: int = 0
    codebooks: int = 0

    @property
    def per_weight(self) -> float:
        return (self.assignments + self.masks + self.codebooks) / self.weights

    @property
    def ratio(self) -> float:
        """CR of eq. 7, codebooks included."""
        return FLOAT_BITS / self.per_weight

    def __add__(self, other: Bits) -> Bits:
        return Bits(self.weights + other.weights, self.assignments + other.assignments,
                    self.masks + other.masks, self.codebooks + other.codebooks)


def bits(subvectors: int, k: int, d: int, n: int = 0, m: int = 0) -> Bits:
    """Of one layer with its own INT8 codebook; n = m = 0 without masks."""
    masks = subvectors * d // m * mask_bits(n, m) if m else 0
    return Bits(subvectors * d, subvectors * index_bits(k), masks, k * d * 8)


def network_bits(network: Network) -> Bits:
    """Of all vector-quantized layers of a network."""
    weights = (layer.weight for layer in network.layers if isinstance(layer, Conv))
    return sum((bits(w.assignments.size, len(w.codebook), w.d, w.keep, w.group)
                for w in weights if isinstance(w, CodebookWeight)), Bits())
