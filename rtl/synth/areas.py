"""`python -m rtl.synth.areas --liberty FILE...`: areas of components, for a technology file.

Synthesizes each component of the presets at several sizes and prints the sections that a technology
of a cell library has under `area`. Minutes for each component.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Callable
from typing import NamedTuple

from rtl import verilog
from rtl.array.array import Array
from rtl.array.prf import Prf
from rtl.block import Block, module_name
from rtl.geometry import Geometry
from rtl.ifmap.arf import Arf
from rtl.storer.storer import Storer
from rtl.synth import Library, Synthesis, read, synthesize_modules
from rtl.weights.loader import Loader
from rtl.weights.rom_bank import RomBank
from sim import accelerator
from sim.accelerator import Accelerator
from sim.accelerator.systolic_presets import FAMILIES
from sim.errors import InputError
from sim.technology.coefficients import SizeUnit, size_units

SIZES = (16, 32, 64)


class Component(NamedTuple):
    """What makes it, of which preset family, and what its size is counted in."""

    family: str
    unit: SizeUnit
    block: Callable[[Accelerator], Block]


def _array(acc: Accelerator) -> Block:
    return Array(accelerator=acc)


def _loader(acc: Accelerator) -> Block:
    return Loader(accelerator=acc)


def _loaders() -> dict[str, Component]:
    """Of every weight format that a preset of the EWS dataflow has, on dense and sparse tiles."""
    found: dict[str, Component] = {}
    for family in FAMILIES:
        acc = accelerator.preset(f"{family}-{SIZES[0]}")
        if acc.dataflow == "ews":
            sparse = "-sparse" if acc.sparse_tile else ""
            found.setdefault(f"loader.{acc.format}{sparse}", Component(family, "column", _loader))
    return found


COMPONENTS = {
    "array.ws": Component("ws", "PE", _array),
    "array.ws-sparse": Component("ws-cms", "PE", _array),
    "array.ews": Component("ews", "PE", _array),
    "array.ews-sparse": Component("ews-cms", "PE", _array),
    **_loaders(),
    "arf": Component("ews", "row", lambda acc: Arf(depth=acc.arf_depth, width=8 * acc.rows)),
    "prf": Component(
        "ews",
        "column",
        lambda acc: Prf(depth=acc.prf_depth, columns=acc.columns, sum_bits=Geometry(acc).sum_bits),
    ),
    "storer": Component("ews", "column", lambda acc: Storer(accelerator=acc)),
}


def synthesis(name: str, size: int, library: Library, *, gated: bool = False) -> Synthesis:
    """A component at a size, with clock gates or enables.

    Codebook RF and ROM banks in a loader are black boxes, whose area is apart.
    """
    component = COMPONENTS[name]
    acc = accelerator.preset(f"{component.family}-{size}")
    block = component.block(acc)
    texts = {module_name(kind): text for kind, (_, text) in verilog.hierarchy(block, gated=gated).items()}
    # Modules of that name stay outside.
    inside, outside = module_name(RomBank.kind), module_name(f"sram_{RomBank.kind}")
    texts = {name.replace(inside, outside): text.replace(inside, outside) for name, text in texts.items()}
    return synthesize_modules(texts, module_name(block.kind), library, 1e9 / acc.clock_hz, gated=gated)


def section(name: str, sizes: list[int], library: Library) -> str:
    """TOML of a component by its size: um2 and flip-flops with enables, um2 and clock sinks with clock gates."""
    component = COMPONENTS[name]
    units, found = [], {}
    for size in sizes:
        units.append(size_units(component.unit, accelerator.preset(f"{component.family}-{size}")))
        found[units[-1]] = [synthesis(name, size, library)]
        if library.clock_gate:
            found[units[-1]].append(synthesis(name, size, library, gated=True))

    def line(what: str, values: Callable[[Synthesis], float], which: int) -> list[str]:
        texts = [
            f"{unit} = {values(kinds[which]):.6g}" for unit, kinds in found.items() if which < len(kinds)
        ]
        return [f"{what} = {{ {', '.join(texts)} }}"] if texts else []

    return "\n".join(
        [
            f"[area.{name}]",
            f'unit = "{component.unit}"',
            *line("um2", lambda made: made.area, 0),
            *line("flip_flops", lambda made: made.flip_flops, 0),
            *line("gated_um2", lambda made: made.area, 1),
            *line("sinks", lambda made: made.clock_sinks, 1),
            f"valid = [{min(units)}, {max(units)}]",
            'label = "measured"',
            f'source = "synthesis of our RTL for 300 MHz on {library.name}, {datetime.date.today().isoformat()}"',
            'uncertainty = "before placement, no wires; 5 % between runs of the mapper"',
            "",
        ]
    )


def main(arguments: list[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m rtl.synth.areas", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--liberty",
        nargs="+",
        required=True,
        metavar="FILE",
        help=".lib or .lib.gz files of one library, or a folder of them",
    )
    parser.add_argument("--component", action="append", choices=COMPONENTS, help="default all")
    parser.add_argument("--size", type=int, action="append", help=f"default {SIZES}")
    given = parser.parse_args(arguments)
    try:
        library = read(*given.liberty)
        for name in given.component or COMPONENTS:
            print(section(name, given.size or list(SIZES), library), flush=True)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
