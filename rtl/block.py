"""The hierarchy boundary: a repeated part is a submodule for simulation, one module for export.

Amaranth emits a module for every instance. A `Block` put in place with `place` elaborates to a
real submodule normally, so that Amaranth's simulator runs it; inside `collect` it becomes an
instance of a module that is emitted once for each kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from amaranth.hdl import ClockSignal, Instance, Module, ResetInserter, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.utils import ceil_log2

from sim.errors import InputError

_kinds: ContextVar[dict[str, Block] | None] = ContextVar("kinds", default=None)
_gated: ContextVar[bool] = ContextVar("gated", default=False)
SCAN = "scan"
"""Domain whose clock is the scan enable of clock gates; clocked modules of a gated export have it, but those of
`Block.verilog`."""


class Block(wiring.Component):
    """A module of the hierarchy. The docstring of a subclass is its port contract.

    Attributes:
        kind: module name in Verilog, without prefix.
        clocked: the module has registers.
        verilog_parameters: of the Verilog module, where `verilog` gives one that has any.
    """

    kind: str
    clocked: bool = True
    verilog_parameters: Mapping[str, str] = {}
    # A block placed as an instance is not elaborated itself; Amaranth would warn about that.
    _MustUse__silence = True

    def verilog(self) -> str | None:
        """Text of the Verilog module if it is not the translation of `elaborate`."""
        return None


def place(
    m: Module, name: str, block: Block, reset: Value | None = None, clock: Value | None = None
) -> Block:
    """Puts a block into `m`; its ports are then driven and read as usual. `reset` resets it too.

    `clock`: of the block in an export, if not that of the module; otherwise it makes no difference.
    """
    kinds = _kinds.get()
    if kinds is None:
        m.submodules[name] = block if reset is None else ResetInserter(reset)(block)
        return block
    if kinds.setdefault(block.kind, block).signature != block.signature:
        raise RuntimeError(f"{name}: another {block.kind} has other ports; its kind must tell them apart")
    ports = {f"p_{parameter}": value for parameter, value in block.verilog_parameters.items()}
    if block.clocked:
        ports |= {
            "i_clk": ClockSignal() if clock is None else clock,
            "i_rst": ResetSignal() if reset is None else ResetSignal() | reset,
        }
        if gated() and block.verilog() is None:
            ports["i_scan_enable"] = ClockSignal(SCAN)
    for port, member in block.signature.members.items():
        signal = getattr(block, port)
        signal.name = f"{name}_{port}"
        ports[f"{'i' if member.flow == In else 'o'}_{port}"] = signal
    m.submodules[name] = Instance(module_name(block.kind), **ports)
    return block


@contextmanager
def collect(*, gated: bool = False) -> Iterator[dict[str, Block]]:
    """Inside, `place` makes instances; the dict receives one block of each kind.

    Args:
        gated: registers that share an enable take their clock from a gate (`rtl.clocking`).
    """
    kinds: dict[str, Block] = {}
    tokens = _kinds.set(kinds), _gated.set(gated)
    try:
        yield kinds
    finally:
        _kinds.reset(tokens[0])
        _gated.reset(tokens[1])


def gated() -> bool:
    """Whether clock gates are made: inside `collect(gated=True)`."""
    return _gated.get()


def exporting() -> bool:
    """Inside `collect`: what is elaborated becomes Verilog."""
    return _kinds.get() is not None


def module_name(kind: str) -> str:
    return f"codeword_{kind}"


def address_bits(depth: int) -> int:
    """Address width of `depth` words, at least 1."""
    return max(1, ceil_log2(depth))


def check_positive(**values: int) -> None:
    """Raises InputError for the first value below 1."""
    for name, value in values.items():
        if value < 1:
            raise InputError(name, value, "must be positive", f"give {name} >= 1")


def check_pattern(keep: int, group: int) -> None:
    """Raises InputError unless `keep`:`group` is an N:M pattern."""
    if not 1 <= keep <= group:
        raise InputError("keep", keep, f"not in 1..group = {group}", "choose N <= M")
