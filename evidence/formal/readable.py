"""`python -m evidence.formal.readable PRESET`: every module as Yosys wrote it and as it is exported, proven equal.

Registers and named wires are matched by name, modules inside by instance; Yosys proves each pair of points equal,
whatever the state, by itself and by induction. A wrong match can only leave a point unproven.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import mock

from rtl import verilog, yosys
from rtl.readable import readable
from rtl.readable.module import read, rename, written
from rtl.readable.names import plain_names
from sim.accelerator import preset

LARGEST_MEMORY = 4096
"""Bits of a memory that is proven as registers; a larger one is left as it is and its module skipped."""
_INSTANCE = re.compile(r"^  (codeword_\w+) (\S+) +\($", re.M)
_SIZES = re.compile(r"^  reg (?:\[(\d+):0\] )?(?:\\\S+ |\w+) \[(\d+):0\];$", re.M)


def pairs(name: str) -> dict[str, tuple[str, str]]:
    """What Yosys wrote and what an export of a preset has, by module."""
    found = {}

    def kept(text: str, ports: Sequence[str] = ()) -> str:
        better = readable(text, ports)
        found[re.findall(r"^module (\w+)", text, re.M)[0]] = text, better
        return better

    with mock.patch.object(verilog, "readable", kept):
        verilog.modules.__wrapped__(preset(name))
    return found


def equal(gold: str, gate: str, within: str = "") -> str:
    """Whether two texts of a module do the same: "proven", "skipped" (a large memory), or what Yosys says last.

    Args:
        within: modules to look into; others are boxes with equal outputs where their inputs are equal.
    """
    sizes = _SIZES.findall(gold + within)
    if any((int(high or 0) + 1) * (int(last) + 1) > LARGEST_MEMORY for high, last in sizes):
        return "skipped"
    body = read(gold)
    rename(body, plain_names(body))
    steps = [
        "read_verilog gold.v",
        "read_verilog gate.v",
        *(["read_verilog within.v", "proc", "flatten"] if within else ["proc"]),
        "memory",
        "opt_clean",
        "equiv_make gold gate equiv",
        "cd equiv",
        "equiv_simple -undef",
        "equiv_induct -undef",
        "equiv_status -assert",
    ]
    with tempfile.TemporaryDirectory() as scratch:
        for side, text in (("gold", written(body, ())), ("gate", gate)):
            # An instance and a wire may have one name in Verilog, not in Yosys.
            text = _INSTANCE.sub(r"  \1 \2_ (", re.sub(r"^module \w+", f"module {side}", text, flags=re.M))
            (Path(scratch) / f"{side}.v").write_text(text)
        (Path(scratch) / "within.v").write_text(within)
        try:
            yosys.run(steps, Path(scratch))
        except RuntimeError as error:
            return str(error).strip().splitlines()[-1]
    return "proven"


def _inside(text: str, found: Mapping[str, tuple[str, str]]) -> list[str]:
    """Modules within a module, and within those."""
    names = [name for name, _ in _INSTANCE.findall(text) if name in found]
    return list(dict.fromkeys([*names, *(deep for name in names for deep in _inside(found[name][1], found))]))


def statuses(name: str) -> dict[str, str]:
    """What `equal` says of every module of a preset."""
    found, said = pairs(name), {}
    for module, (gold, gate) in found.items():
        said[module] = equal(gold, gate)
        if "No SAT model" in said[module]:  # induction does not go through boxes
            said[module] = equal(gold, gate, "".join(found[one][1] for one in _inside(gate, found)))
    return said


def main() -> int:
    print("| module | |\n|---|---|")
    found = statuses(sys.argv[1])
    for module, status in found.items():
        print(f"| {module} | {status} |")
    return int(any(status not in ("proven", "skipped") for status in found.values()))


if __name__ == "__main__":
    sys.exit(main())
