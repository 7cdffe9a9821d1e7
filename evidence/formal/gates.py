"""Proof that clock gates change nothing: a component with gates beside the same one with enables.

The clock is a signal here, with both its levels, so that latches and ANDs of the gates are looked at as they are;
inputs change at its rising edge, outputs are compared while it is low.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from amaranth.lib.wiring import In

from evidence.formal.prove import SECONDS, Result
from rtl import verilog, yosys
from rtl.array.array import Array
from rtl.array.dense_tile import DenseTile
from rtl.array.prf import Prf
from rtl.array.sparse_tile import SparseTile
from rtl.block import Block, module_name
from rtl.bus.fifo import Fifo
from rtl.clocking import ClockGate
from rtl.ifmap.arf import Arf
from sim.accelerator import load

_TINY = {
    "rows": 2,
    "columns": 2,
    "tile_rows": 1,
    "tile_columns": 1,
    "wrf_depth": 2,
    "prf_depth": 2,
    "requant_lanes": 2,
}


@dataclass(frozen=True)
class Gates:
    """A component whose gates are looked at.

    Attributes:
        engine: see `rtl.yosys.engines`; bounded ones look at `steps` half cycles.
        fast: takes seconds.
    """

    name: str
    block: Callable[[], Block]
    engine: str = "correspondence"
    steps: int = 0
    fast: bool = True


GATES = (
    Gates("fifo", lambda: Fifo(width=2, depth=2)),
    Gates("arf", lambda: Arf(depth=2, width=2)),
    Gates("prf", lambda: Prf(depth=2, columns=1, sum_bits=4)),
    Gates("dense tile", lambda: DenseTile(rows=1, columns=2, depth=2, sum_bits=16), fast=False),
    Gates(
        "sparse tile",
        lambda: SparseTile(rows=1, columns=2, multipliers=1, word_bits=9, depth=2, sum_bits=16),
        fast=False,
    ),
    # Words of latches, whose data the tile holds, beside words of flip-flops.
    Gates(
        "dense tile of latches",
        lambda: DenseTile(rows=1, columns=2, depth=2, sum_bits=16, latches=True),
        fast=False,
    ),
    Gates(
        "sparse tile of latches",
        lambda: SparseTile(rows=1, columns=2, multipliers=1, word_bits=9, depth=2, sum_bits=16, latches=True),
        fast=False,
    ),
    Gates("array", lambda: Array(accelerator=load("ews-4", _TINY)), fast=False),
)


def prove_gates(gates: Gates, *, late: bool = False) -> str:
    """What `rtl.yosys.prove` says of a component with gates and one with enables.

    Args:
        late: the false twin: a latch of the gates that is open while the clock is high.
    """
    block = gates.block()
    plain, gated = _texts(gates.block(), gated=False), _texts(block, gated=True)
    # Both hold modules of one name.
    gated = gated.replace(module_name(""), "gated_")
    if late:
        gated = gated.replace("if (!clk) open", "if (clk) open")
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for name, text in (("plain.v", plain), ("gated.v", gated), ("miter.sv", _miter(block))):
            (directory / name).write_text(text)
        return yosys.prove(
            ("plain.v", "gated.v", "miter.sv"),
            "miter",
            directory,
            SECONDS,
            engine="bounded" if late else gates.engine,
            cycles=12 if late else gates.steps,
            gated=True,
        )


def result(gates: Gates) -> Result:
    """Outcome of the proof and of its false twin."""
    started = time.monotonic()
    return Result(
        f"gates: {gates.name}", prove_gates(gates), prove_gates(gates, late=True), time.monotonic() - started
    )


def _texts(block: Block, *, gated: bool) -> str:
    found: Mapping[str, tuple[Block, str]] = verilog.hierarchy(block, gated=gated)
    assert not gated or ClockGate.kind in found
    return "\n".join(text for _, text in found.values())


def _miter(block: Block) -> str:
    """Both components with the same inputs, and that their outputs are equal."""
    lines, ports, checks = [], [".clk(clk)", ".rst(rst)"], []
    inputs = {"rst": 1}
    outputs: dict[str, int] = {}
    for name, member in block.signature.members.items():
        (inputs if member.flow == In else outputs)[name] = len(getattr(block, name))
    for name, width in inputs.items():
        lines += [
            f"  (* anyseq *) wire [{width - 1}:0] next_{name};",
            f"  reg [{width - 1}:0] {name} = 0;",
            f"  always @(posedge clk) {name} <= next_{name};",
        ]
    ports += [f".{name}({name})" for name in inputs if name != "rst"]
    for name, width in outputs.items():
        lines.append(f"  wire [{width - 1}:0] plain_{name}, gated_{name};")
        checks.append(f"    if (!clk) assert (plain_{name} == gated_{name});")
    instances = [
        f"  {prefix}_{block.kind} {kind} ("
        + ", ".join([*ports, *scan, *(f".{name}({kind}_{name})" for name in outputs)])
        + ");"
        for kind, prefix, scan in (
            ("plain", module_name("").rstrip("_"), []),
            ("gated", "gated", [".scan_enable(1'b0)"]),
        )
    ]
    return "\n".join(
        [
            "module miter;",
            "  reg clk = 0;",
            "  always @($global_clock) clk <= !clk;",
            *lines,
            *instances,
            "  always @* begin",
            *checks,
            "  end",
            "endmodule",
            "",
        ]
    )
