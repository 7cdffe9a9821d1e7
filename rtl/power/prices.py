"""`python -m rtl.power.prices POWER.toml`: prices from a power table.

The power table holds joules of each component's events, its clock and its leakage, at the size at which it
was evaluated; the technology file holds pJ of the events that sim counts.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim.errors import InputError

_ROM = "rom_logic_"
_TILES = {"energy": "dense_tile", "sparse": "sparse_tile"}


def prices(power: Mapping[str, Any]) -> str:
    """TOML of `energy`, `sparse`, `clock_pj_per_flip_flop`, `leakage_mw_per_mm2` and `area.rom`."""
    parts, made = power["components"], power["provenance"]
    layers, dates = ({part[what] for part in parts.values()} for what in ("layers", "date"))
    source = (
        f"evaluation of our netlists on {made['library']}, operands of {made['operands']}, "
        f"{'at least ' if len(layers) > 1 else ''}{min(layers)} layers, {max(dates)}"
    )
    lines = []
    for section, kind in _TILES.items():
        events = parts[kind]["events"]
        lines += _price(f"{section}.mac", events["mac"], 1, f"{kind}, {source}")
        lines += _price(
            f"{section}.wrf", events["wrf_read"], 1, f"{kind}, a read; writes at the same price, {source}"
        )
    lines += _price(
        "energy.prf",
        parts["prf"]["events"]["prf_access"],
        0.5,
        f"half of a read and a write with the addition, {source}",
    )
    arf = parts["arf"]["events"]
    both = {what: (arf["arf_read"][what] + arf["arf_write"][what]) / 2 for what in ("mean_j", "error_mean")}
    lines += _price("energy.arf", both, 1, f"mean of a read and a write, {source}")
    lines += _price_by_size(
        "energy.rom",
        "rom_bank_bytes",
        _sizes(parts, _ROM, "rom_read"),
        f"ROM as logic of random contents, a read, {source}",
    )
    return "\n".join([*lines, *_everywhere(parts, source), *_rom_area(parts, made["library"])])


def _everywhere(parts: Mapping[str, Any], source: str) -> list[str]:
    """Clock pins and leakage, whatever the component."""
    # A pulse at a flip-flop with its share of the clock gates on the way.
    clock = [
        part["clock_j_per_cycle"] / part["clock_pulses_per_cycle"]
        for part in parts.values()
        if part["clock_pulses_per_cycle"]
    ]
    leakage, area = (sum(part[what] for part in parts.values()) for what in ("leakage_w", "area_um2"))
    return [
        "[clock_pj_per_flip_flop]",
        f"value = {1e12 * sum(clock) / len(clock):.4g}",
        'label = "measured"',
        f'source = "mean of components, a pulse at the clock pin of a flip-flop and in its gates, {source}"',
        f'uncertainty = "{1e12 * min(clock):.3g} to {1e12 * max(clock):.3g} pJ; no clock tree"',
        "",
        "[leakage_mw_per_mm2]",
        f"value = {1e9 * leakage / area:.4g}",
        'label = "measured"',
        f'source = "mean of components, {source}"',
        "",
    ]


def _rom_area(parts: Mapping[str, Any], library: str) -> list[str]:
    roms = ", ".join(
        f"{size} = {parts[f'{_ROM}{size}']['area_um2']}"
        for size in sorted(int(name.removeprefix(_ROM)) for name in parts if name.startswith(_ROM))
    )
    return [
        "[area.rom]",
        f"um2 = {{ {roms} }}",
        'label = "measured"',
        f'source = "logic of random contents, with its read registers: synthesis on {library}"',
        "",
    ]


def _sizes(parts: Mapping[str, Any], kind: str, event: str) -> dict[int, Mapping[str, Any]]:
    """An event of the components `kind` + size, by size."""
    return {
        int(name.removeprefix(kind)): part["events"][event]
        for name, part in parts.items()
        if name.startswith(kind)
    }


def _price(name: str, event: Mapping[str, Any], factor: float, source: str) -> list[str]:
    return [
        f"[{name}]",
        f"value = {1e12 * factor * event['mean_j']:.4g}",
        *_origin(source, event["error_mean"]),
    ]


def _price_by_size(name: str, by: str, events: Mapping[int, Mapping[str, Any]], source: str) -> list[str]:
    at = ", ".join(f"{size} = {1e12 * event['mean_j']:.4g}" for size, event in sorted(events.items()))
    return [
        f"[{name}]",
        f'by = "{by}"',
        f"at = {{ {at} }}",
        *_origin(source, max(event["error_mean"] for event in events.values())),
    ]


def _origin(source: str, error: float) -> list[str]:
    return [
        'label = "measured"',
        f'source = "{source}"',
        f'uncertainty = "{error:.0%} mean error on other layers; no glitches, no wires"',
        "",
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m rtl.power.prices", description="Prices of a technology file from a power table."
    )
    parser.add_argument("table", type=Path, metavar="POWER.toml", help="as `python -m rtl.power` writes it")
    given = parser.parse_args(arguments)
    try:
        print(prices(_table(given.table)))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _table(path: Path) -> dict[str, Any]:
    fix = "give a table that `python -m rtl.power` wrote"
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise InputError("table", str(path), "no such file", fix) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError("table", str(path), f"not TOML: {error}", fix) from None
    if not {"components", "provenance"} <= set(table):
        raise InputError("table", str(path), "has no components or provenance", fix)
    return table


if __name__ == "__main__":
    sys.exit(main())
