"""Which ports of components have moved in a run: what never moved, the run says nothing about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rtl import verilog
from rtl.block import module_name

_CONSTANT = re.compile(r"^\s*assign (\w+) = \d+'h[0-9a-f]+;", re.M)
_CLOCKED = {"clk", "rst", "scan_enable"}
"""No run moves the last one, which is of the chip's test."""
_AFTER_RESET = 8
"""Time in the shell of `rtl.verify.shells`, in the unit of the bench, whose files stand before these."""

LINE = "changed"
"""First word of the line that a port prints when it first changes, before its number."""


def ports(texts: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """File, range and name of every port but clock, reset, scan and constants; its place is its number."""
    return [
        (file, port.range, port.name)
        for file, text in texts.items()
        for port in verilog.ports(text)
        # Names that must be escaped stay out.
        if port.name not in _CLOCKED | set(_CONSTANT.findall(text)) and f"\\{port.name} " not in text
    ]


def watched(texts: Mapping[str, str]) -> dict[str, str]:
    """The same Verilog, where each port of each instance says when it first changes.

    A process that waits for one event costs nothing afterwards. A bit that becomes known has not changed.
    """
    added: dict[str, list[str]] = {file: [] for file in texts}
    for number, (file, width, port) in enumerate(ports(texts)):
        added[file].append(
            f"  initial begin : watch_{number}\n    reg {width} was;\n    #{_AFTER_RESET} was = {port};\n"
            f"    while (|(was ^ {port}) !== 1'b1) begin was = {port}; @({port}); end\n"
            f'    $display("{LINE} {number}");\n  end\n'
        )
    found = {}
    for file, text in texts.items():
        body, end, rest = text.rpartition("endmodule")
        found[file] = f"{body}{''.join(added[file])}{end}{rest}" if end else text
    return found


def idle(texts: Mapping[str, str], changed: Iterable[int]) -> tuple[str, ...]:
    """Ports that never changed, COMPONENT.PORT, or COMPONENT where none of its ports did."""
    seen = set(changed)
    still: dict[str, list[str]] = {}
    moved = set()
    for number, (file, _, port) in enumerate(ports(texts)):
        kind = file.removesuffix(".v").removeprefix(module_name(""))
        if number in seen:
            moved.add(kind)
        else:
            still.setdefault(kind, []).append(port)
    return tuple(
        name
        for kind, names in still.items()
        for name in ([f"{kind}.{port}" for port in names] if kind in moved else [kind])
    )
