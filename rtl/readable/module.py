"""A module of Yosys' Verilog: ports, signals, assignments; processes and instances stay text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rtl.readable.expressions import Node, Reader

NAMELESS = re.compile(r"_\d+_")
_NAME = r"\\\S+ |[A-Za-z_]\w*"
_DECLARED = re.compile(
    rf"  (input|output|wire|reg) (?:signed )?(?:\[(\d+):0\] )?({_NAME})(?: \[(\d+):0\])?(?: ?= (\S+))?;"
)
_ASSIGNED = re.compile(r"  assign (.*?) = (.*);")
_FUNCTION = re.compile(r"  function \[(\d+):0\] (\w+);")
_WORD = re.compile(rf"(?<![.\w])(?:{_NAME})")
"""Not the port of an instance, which stands behind a dot."""
_ZEROS = re.compile(r"  initial begin\n((?:    (?:\w+)\[\d+\] = \d+'h0+;\n)+)  end")


@dataclass
class Signal:
    """A port, wire or register; `depth`: words of a memory, else 0. `initial`: of a register, or ""."""

    name: str
    width: int
    direction: str = ""
    register: bool = False
    depth: int = 0
    initial: str = ""

    @property
    def range(self) -> str:
        return f"[{self.width - 1}:0] " if self.width > 1 else ""


@dataclass
class Assignment:
    """`target = value`; a value that nothing here can read stays text."""

    target: Node
    value: Node
    exact: bool = False


@dataclass
class Body:
    """A module; `items` in order: assignments, and the text of everything else."""

    name: str
    signals: dict[str, Signal]
    items: list[Assignment | str] = field(default_factory=list)

    @property
    def assignments(self) -> list[Assignment]:
        return [item for item in self.items if isinstance(item, Assignment)]

    def map_text(self, change: Callable[[str], str]) -> None:
        self.items = [change(item) if isinstance(item, str) else item for item in self.items]


def words(text: str) -> list[str]:
    """Names in a text, escaped ones with the blank that ends them."""
    return _WORD.findall(text)


def rename(body: Body, names: Mapping[str, str]) -> None:
    """Renames signals and functions; those that get the name of another become one with it."""
    for item in body.assignments:
        item.target, item.value = item.target.renamed(names), item.value.renamed(names)
    body.map_text(lambda text: _WORD.sub(lambda found: names.get(found[0], found[0]), text))
    signals = {}
    for name, signal in body.signals.items():
        new = names.get(name, name)
        if new == name or new not in body.signals:
            signal.name = new
            signals[new] = signal
    body.signals = signals


def read(text: str) -> Body:
    """Reads a module."""
    lines = text.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("module "))
    name = lines[first].split()[1].partition("(")[0]
    while not lines[first].endswith(");"):
        first += 1
    body = Body(name, {})
    others: list[str] = []
    for line in lines[first + 1 : lines.index("endmodule")]:
        found = _DECLARED.fullmatch(line)
        if found:
            _declare(body, *found.groups())
        else:
            others.append(line)
    functions = {found[2]: int(found[1]) + 1 for line in others if (found := _FUNCTION.fullmatch(line))}
    plain = {signal.name: signal.width for signal in body.signals.values() if not signal.depth}
    memories = {signal.name: signal.width for signal in body.signals.values() if signal.depth}
    reader = Reader(plain, functions, memories)
    for line in others:
        found = _ASSIGNED.fullmatch(line)
        target, value = (reader.read(found[1]), reader.read(found[2])) if found else (None, None)
        if target and value:
            body.items.append(Assignment(target, value))
        elif body.items and isinstance(body.items[-1], str) and not _begins(line):
            body.items[-1] += "\n" + line
        else:
            body.items.append(line)
    return body


def _begins(line: str) -> bool:
    return line[:2] == "  " and line[2] not in " )" and line.strip() not in ("end", "endfunction")


def _declare(
    body: Body, kind: str, high: str | None, name: str, depth: str | None, initial: str | None
) -> None:
    signal = body.signals.setdefault(name, Signal(name, int(high or 0) + 1))
    if kind in ("input", "output"):
        signal.direction = kind
    signal.register |= kind == "reg"
    signal.depth = int(depth) + 1 if depth else signal.depth
    signal.initial = initial or signal.initial


def written(body: Body, order: Sequence[str]) -> str:
    """The module as Verilog; ports in `order`, clock and reset first."""
    first = ("clk", "rst", "scan_enable")
    ports = [body.signals[name] for name in (*first, *order) if name in body.signals]
    names = {signal.name for signal in ports}
    ports += [signal for signal in body.signals.values() if signal.direction and signal.name not in names]
    lines = [f"module {body.name} (", ",\n".join(f"  {_port(signal)}" for signal in ports), ");"]
    lines += [f"  {_declaration(signal)};" for signal in body.signals.values() if not signal.direction]
    for item in body.items:
        item = _cleared(item, body.signals) if isinstance(item, str) else item
        lines.append(f"  assign {item.target} = {item.value};" if isinstance(item, Assignment) else item)
    return "\n".join(line.rstrip() for line in lines) + "\nendmodule\n"


def _cleared(text: str, signals: Mapping[str, Signal]) -> str:
    """A memory that begins with zeros, in one loop instead of a line a word."""
    found = _ZEROS.fullmatch(text)
    if not found:
        return text
    name = found[1].strip().partition("[")[0]
    count = found[1].count("\n")
    if count != signals[name].depth:
        return text
    return (
        f"  initial begin : clear_{name}\n    integer n;\n"
        f"    for (n = 0; n < {count}; n = n + 1) {name}[n] = {signals[name].width}'h0;\n  end"
    )


def _port(signal: Signal) -> str:
    return f"{signal.direction} {_declaration(signal)}"


def _declaration(signal: Signal) -> str:
    kind = "reg" if signal.register else "wire"
    words = f" [{signal.depth - 1}:0]" if signal.depth else ""
    initial = f" = {signal.initial}" if signal.initial else ""
    return f"{kind} {signal.range}{signal.name}{words}{initial}"
