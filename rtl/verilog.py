"""Verilog of the accelerator: one readable module for each kind of component, one file each."""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Fragment
from amaranth.hdl._ir import PortDirection
from amaranth.lib.wiring import In, Out

from rtl import yosys
from rtl.block import SCAN, Block, collect, module_name
from rtl.readable import readable
from rtl.top import Top
from sim.accelerator import Accelerator
from sim.names import require_word
from sim.steps import step

TOP = module_name(Top.kind)
_STRICT = "`default_nettype none\n\n"
_LENIENT = "\n`default_nettype wire\n"
_PORT = re.compile(r"^  (input|output) (?:wire|reg) (?:signed )?(?:\[(\d+):0\] )?(\\\S+|\w+)", re.M)


@cache
@step("elaborating the hardware")
def modules(accelerator: Accelerator) -> dict[str, str]:
    """Verilog text by module name, top module first.

    Raises:
        InputError: the accelerator's name cannot stand in Verilog.
    """
    acc = accelerator
    tile = f"tiles {acc.tile_rows} x {acc.tile_columns}"
    if acc.sparse_tile:
        tile += f" with {acc.multipliers_per_codeword} multipliers a row"
    configuration = (
        f"{acc.name}, {acc.rows} x {acc.columns}, {tile}, {acc.weights.text(acc)}, "
        f"WRF {acc.wrf_depth}, PRF {acc.prf_depth}, weight port {acc.weight_port_bits} bits"
    )
    return texts(Top(accelerator=acc), acc.name, configuration, gated=acc.clock_gating)


def texts(top: Block, name: str, configuration: str, *, gated: bool) -> dict[str, str]:
    """Verilog text by module name, `top` first, each with a header.

    Args:
        name: of the accelerator.
        configuration: a sentence without its full stop.

    Raises:
        InputError: the name cannot stand in Verilog.
    """
    require_word("name", name, "the Verilog, the FuseSoC core and the C header")
    return {
        module_name(kind): f"{_header(block, configuration)}{_STRICT}{text}{_LENIENT}"
        for kind, (block, text) in hierarchy(top, gated=gated).items()
    }


def hierarchy(top: Block, *, gated: bool = False) -> dict[str, tuple[Block, str]]:
    """One block of each kind below `top`, by kind, with its Verilog; `top` first.

    Args:
        gated: with clock gates; every clocked module then has the port `scan_enable`.
    """
    blocks: dict[str, Block] = {}
    intermediate: dict[str, str] = {}
    texts: dict[str, str] = {}
    with collect(gated=gated) as found:
        pending = [top]
        while pending:
            block = pending.pop(0)
            for port in block.signature.members:
                getattr(block, port).name = port
            blocks[block.kind] = block
            text = block.verilog()
            if text is not None:
                texts[block.kind] = text
            else:
                intermediate[block.kind] = _rtlil(block, gated=gated)
            pending = [new for kind, new in found.items() if kind not in blocks]
    orders = {kind: tuple(blocks[kind].signature.members) for kind in intermediate}
    texts |= _verilog(intermediate, orders)
    return {kind: (block, texts[kind]) for kind, block in blocks.items()}


def _rtlil(block: Block, *, gated: bool) -> str:
    directions = {In: PortDirection.Input, Out: PortDirection.Output}
    ports = {
        name: (getattr(block, name), directions[member.flow])
        for name, member in block.signature.members.items()
    }
    fragment = Fragment.get(block, None)
    if gated and block.clocked:
        scan = ClockDomain(SCAN, reset_less=True)
        fragment.add_domains(scan)
        ports["scan_enable"] = (scan.clk, PortDirection.Input)
    return rtlil.convert(fragment, name=module_name(block.kind), ports=ports, emit_src=False)


def _verilog(intermediate: dict[str, str], ports: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Verilog text of RTLIL modules by kind, with the order of their ports."""
    with tempfile.TemporaryDirectory() as scratch:
        for kind, text in intermediate.items():
            Path(scratch, f"{kind}.il").write_text(text)
        passes = ["proc", "opt_expr", "opt_clean", "opt_dff", "memory_collect", "opt_clean -purge"]
        script = [*(f"read_rtlil {kind}.il" for kind in intermediate), *passes]
        for kind in intermediate:
            script += [
                f"select {module_name(kind)}",
                f"write_verilog -noattr -selected {kind}.v",
                "select -clear",
            ]
        yosys.run(script, Path(scratch))
        return {kind: readable(Path(scratch, f"{kind}.v").read_text(), ports[kind]) for kind in intermediate}


@dataclass(frozen=True)
class Port:
    """A port as a module of an export declares it; `direction`: input or output."""

    direction: str
    name: str
    width: int

    @property
    def range(self) -> str:
        """With a blank behind it, or nothing."""
        return f"[{self.width - 1}:0] " if self.width > 1 else ""


def ports(text: str) -> list[Port]:
    """Ports of a module of an export."""
    head = text[: text.find("\n);")]
    return [
        Port(direction, name.strip("\\ "), int(high or 0) + 1)
        for direction, high, name in _PORT.findall(head)
    ]


def _header(block: Block, configuration: str) -> str:
    contract = inspect.cleandoc(type(block).__doc__ or "").splitlines()
    lines = [
        f"{module_name(block.kind)}: {contract[0]}",
        *contract[1:],
        "",
        f"Configuration: {configuration}.",
    ]
    return "".join(f"// {line}".rstrip() + "\n" for line in lines) + "\n"
