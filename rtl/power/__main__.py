"""Coefficient tables of a cell library, written after each component; minutes for each.

python -m rtl.power --liberty FILE... --out TABLE.toml
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rtl.power.characterize import characterize, merged, to_toml
from rtl.power.components import benches
from rtl.synth import read
from sim.errors import InputError
from sim.files import write_whole


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rtl.power", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--liberty",
        nargs="+",
        required=True,
        metavar="FILE",
        help=".lib or .lib.gz files of one library, or a folder of them",
    )
    parser.add_argument("--out", required=True, type=Path, help="the table, TOML")
    parser.add_argument("--layers", type=int, help="of the network, evenly spread; default all")
    parser.add_argument(
        "--component",
        action="append",
        choices=[bench.name for bench in benches()],
        help="only this one, beside those that the table has; may be repeated",
    )
    parser.add_argument(
        "--wire-farads",
        type=float,
        default=0.0,
        metavar="C",
        help="of a net's wire for each input on it, an assumption; default 0",
    )
    given = parser.parse_args(arguments)
    try:
        if not given.out.parent.is_dir():
            raise InputError("--out", str(given.out), "its folder does not exist", "make it first")
        library = read(*given.liberty)
        wire = given.wire_farads
        earlier = given.out.read_text() if given.out.exists() else ""
        found = []
        for part in characterize(library, kinds=given.component, layers=given.layers, wire_farads=wire):
            found.append(part)
            table = to_toml(library, found, wire_farads=wire)
            write_whole(given.out, merged(earlier, table) if earlier else table)
        if not given.component:
            write_whole(given.out, table)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
