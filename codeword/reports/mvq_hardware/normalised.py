"""Table 9's comparators at MVQ's 40 nm, by the equations that the paper cites for it.

Stillmaker and Baas, Integration 58 (2017), DOI 10.1016/j.vlsi.2017.02.002: the energy of an operation at a
node is proportional to a2 V^2 + a1 V + a0. Coefficients of the high-performance models; 40 and 28 nm are not
among the nodes, and lie here between their neighbours in proportion to the length.
"""

from __future__ import annotations

from bisect import bisect_left

from codeword.reports.mvq_hardware.machine import document
from codeword.reports.mvq_hardware.published import Rows, published

COEFFICIENTS = {
    65: (3.755, -4.398, 1.975),
    45: (1.018, -0.3107, 0.1539),
    32: (0.8367, -0.4341, 0.1701),
    20: (0.373, -0.1582, 0.04104),
    16: (0.2958, -0.1241, 0.03024),
}
"""(a2, a1, a0) by nm; transcribed from the MIT-licensed nodeScale, not from the article itself."""
NODE, VOLTS = 40, 0.99
"""MVQ sec. 7.1."""


def energy(nm: float, volts: float) -> float:
    """Of an operation, in the equations' unit."""
    nodes = sorted(COEFFICIENTS)
    high = nodes[bisect_left(nodes, nm)]
    low = high if high == nm else nodes[bisect_left(nodes, nm) - 1]
    small, large = (a * volts**2 + b * volts + c for a, b, c in (COEFFICIENTS[low], COEFFICIENTS[high]))
    return large if low == high else small + (large - small) * (nm - low) / (high - low)


def factor(nm: float, volts: float) -> float:
    """TOPS/W at MVQ's node and supply over TOPS/W at these."""
    return energy(nm, volts) / energy(NODE, VOLTS)


def supply(nm: float, wanted: float) -> float:
    """Volts at which the factor is `wanted`, to a millivolt; energy grows with the supply."""
    return next(mv for mv in range(600, 1300) if factor(nm, mv / 1000) >= wanted) / 1000


def assumed_volts(nm: float) -> float:
    """Supply of a comparator, from machine.toml."""
    return float(document()["supply"][f"{nm:g}"])


def comparators() -> Rows:
    """TOPS/W of the comparators, normalised."""
    return {
        row: [raw * factor(nm, assumed_volts(nm))]
        for row, (nm, raw) in published()["comparators"].rows.items()
    }
