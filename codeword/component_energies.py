"""`python -m codeword.component_energies POWER.toml FLIP_FLOP_UM2`: prices from a power table.

The power table holds joules of each component's events, its clock and its leakage, at the size at which it
was evaluated; the technology file holds pJ of the events that sim counts.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_TILES = {"energy": "dense_tile", "sparse": "sparse_tile"}


def prices(power: Mapping[str, Any], flip_flop_um2: float) -> str:
    """TOML of `energy`, `sparse`, `clock_pj_per_flip_flop` and `leakage_mw_per_mm2`.

    Args:
        flip_flop_um2: area of the library's flip-flop, which turns areas into numbers of them.
    """
    parts, made = power["components"], power["provenance"]
    source = (f"evaluation of our netlists on {made['library']}, operands of {made['operands']}, "
              f"{made['date']}")
    lines = []
    for section, kind in _TILES.items():
        events = parts[kind]["events"]
        lines += _price(f"{section}.mac", events["mac"], 1, f"{kind}, {source}")
        lines += _price(f"{section}.wrf", events["wrf_read"], 1,
                        f"{kind}, a read; writes at the same price, {source}")
    lines += _price("energy.prf", parts["prf"]["events"]["prf_access"], 0.5,
                    f"half of a read and a write with the addition, {source}")
    decoder = parts["row_decoder"]
    lines += _price("energy.crf", decoder["events"]["crf_read"], 1 / decoder["size"]["codeword_length"],
                    f"row decoder, a read; writes at the same price, {source}",
                    by="codebook_entries", size=decoder["size"]["codebook_entries"])
    for name, what in (("arf", "the ARF"), ("rom", "a ROM")):
        lines += [f"[energy.{name}]", f'missing = "the energy of {what} has not been evaluated"', ""]
    clock = [part["clock_j_per_cycle"] / (part["flip_flop_area_um2"] / flip_flop_um2)
             for part in parts.values() if part["flip_flop_area_um2"]]
    leakage, area = (sum(part[what] for part in parts.values()) for what in ("leakage_w", "area_um2"))
    lines += ["[clock_pj_per_flip_flop]", f"value = {1e12 * sum(clock) / len(clock):.4g}",
              'label = "measured"',
              f'source = "mean of components, clock pins of flip-flops, {source}"',
              f'uncertainty = "{1e12 * min(clock):.3g} to {1e12 * max(clock):.3g} pJ; no clock tree"', "",
              "[leakage_mw_per_mm2]", f"value = {1e9 * leakage / area:.4g}", 'label = "measured"',
              f'source = "mean of components, {source}"', ""]
    return "\n".join(lines)


def _price(name: str, event: Mapping[str, Any], factor: float, source: str,
           by: str = "", size: int = 0) -> list[str]:
    """Of one size only where `by` names the accelerator field that it depends on."""
    value = f"{1e12 * factor * event['mean_j']:.4g}"
    given = [f'by = "{by}"', f"at = {{ {size} = {value} }}"] if by else [f"value = {value}"]
    return [f"[{name}]", *given, 'label = "measured"',
            f'source = "{source}"',
            f'uncertainty = "{event["error_mean"]:.0%} mean error on other layers; no glitches, no wires"',
            ""]


if __name__ == "__main__":
    print(prices(tomllib.loads(Path(sys.argv[1]).read_text()), float(sys.argv[2])))
