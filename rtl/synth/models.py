"""Verilog models of library cells, from the functions and flip-flops of the Liberty file."""

from __future__ import annotations

from collections.abc import Iterable

from rtl.synth.liberty import Cell, Library
from rtl.synth.states import FlipFlop
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
    following = flip_flop.next_state.verilog()
    lines = [
        f"  reg {state}, {inverse};",
        f"  wire clock = {flip_flop.clocked_on.verilog()};",
        f"  initial begin {state} = $random; {inverse} = ~{state}; end",
    ]
    active = [
        (name, expression, value)
        for name, expression, value in (
            ("clear", flip_flop.clear, "1'b0"),
            ("preset", flip_flop.preset, "1'b1"),
        )
        if expression is not None
    ]
    lines += [f"  wire {name} = {expression.verilog()};" for name, expression, _ in active]
    held = " | ".join(name for name, _, _ in active)
    lines += [
        f"  always @(posedge clock){f' if (!({held}))' if active else ''}",
        f"    begin {state} <= {following}; {inverse} <= ~{following}; end",
    ]
    if active:
        cases = [(name, value, f"~{value}") for name, _, value in active]
        if len(active) == 2:
            both = [_BOTH.get(value, "1'bx") for value in flip_flop.both]
            cases.insert(0, ("clear & preset", both[0], both[1]))
        # By level, so that one still rules when the other ends.
        lines.append(f"  always @({' or '.join(name for name, _, _ in active)})")
        lines.append(
            " else\n".join(
                f"    if ({condition}) begin {state} <= {value}; {inverse} <= {inverted}; end"
                for condition, value, inverted in cases
            )
        )
    return lines
