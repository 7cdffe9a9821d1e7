"""Verilog models of library cells, from the functions and flip-flops of the Liberty file."""

from __future__ import annotations

from collections.abc import Iterable

from rtl.synth.liberty import Cell, FlipFlop, Library
from sim.errors import InputError

# clear_preset_var of Liberty: what a state is while both are active.
_BOTH = {"L": "1'b0", "H": "1'b1", "X": "1'bx"}


def models(library: Library, cells: Iterable[str] | None = None) -> str:
    """Verilog modules of the named cells, or of all the mapper may use.

    A flip-flop powers up with a random value, so that a design whose outputs depend on one shows it.

    Raises:
        InputError: a cell that is unknown, or has an output without a function.
    """
    if cells is None:
        cells = [cell.name for cell in library.cells.values() if cell.usable and _described(cell)]
    return "".join(_model(_find(library, name)) for name in sorted(set(cells)))


def _find(library: Library, name: str) -> Cell:
    cell = library.cells.get(name)
    if cell is None or not _described(cell):
        problem = "not in the library" if cell is None else "an output has no function"
        raise InputError("cell", name, problem, f"use cells that {library.name} describes")
    return cell


def _described(cell: Cell) -> bool:
    return bool(cell.outputs) and all(cell.pins[pin].function for pin in cell.outputs)


def _model(cell: Cell) -> str:
    ports = [*(f"input {pin}" for pin in cell.inputs), *(f"output {pin}" for pin in cell.outputs)]
    lines = [f"module {cell.name}({', '.join(ports)});"]
    if cell.flip_flop is not None:
        lines += _state(cell.flip_flop)
    for pin in cell.outputs:
        function = cell.pins[pin].function
        assert function is not None
        lines.append(f"  assign {pin} = {function.verilog()};")
    return "\n".join([*lines, "endmodule", ""])


def _state(flip_flop: FlipFlop) -> list[str]:
    state, inverse = flip_flop.state, flip_flop.inverse
    events, branches = ["posedge clock"], []
    lines = [f"  reg {state}, {inverse};", f"  wire clock = {flip_flop.clocked_on.verilog()};",
             f"  initial begin {state} = $random; {inverse} = ~{state}; end"]
    for name, expression in (("clear", flip_flop.clear), ("preset", flip_flop.preset)):
        if expression is not None:
            lines.append(f"  wire {name} = {expression.verilog()};")
            events.append(f"posedge {name}")
    if flip_flop.clear is not None and flip_flop.preset is not None:
        both = [_BOTH.get(value, "1'bx") for value in flip_flop.both]
        branches.append(("clear & preset", *both))
    if flip_flop.clear is not None:
        branches.append(("clear", "1'b0", "1'b1"))
    if flip_flop.preset is not None:
        branches.append(("preset", "1'b1", "1'b0"))
    lines.append(f"  always @({' or '.join(events)})")
    for condition, value, inverted in branches:
        lines.append(f"    if ({condition}) begin {state} <= {value}; {inverse} <= {inverted}; end else")
    following = flip_flop.next_state.verilog()
    lines.append(f"    begin {state} <= {following}; {inverse} <= ~{following}; end")
    return lines
