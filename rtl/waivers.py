"""Waivers for Verilator's lint: each names a rule, a file and the lines that break it for a good reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from rtl import verilog

_DECLARED = re.compile(r"^  (?:input |output )?(?:wire|reg) (?:\[(\d+):0\] )?(\\\S+ |\w+)")
_USED = re.compile(r"(\\\S+ |[A-Za-z_]\w*)(?:\[(\d+)(?::(\d+))?\])?")
_INSTANCE = re.compile(r"^  (\w+) (?:#\(.*?\) )?(?:\\\S+|\w+) +\($")
_CONNECTED = re.compile(r"^    \.\\?(\w+) ?\((.*)\),?$")


def _matching(pattern: str) -> Callable[[Mapping[str, str], str], Iterator[int]]:
    found = re.compile(pattern)

    def lines(sources: Mapping[str, str], file: str) -> Iterator[int]:
        return (n for n, line in enumerate(sources[file].splitlines(), 1) if found.search(line))

    return lines


def _unread(sources: Mapping[str, str], file: str) -> Iterator[int]:
    """Declarations of signals of which somebody reads no bit, or not all."""
    read: dict[str, set[int] | None] = {}
    for text in _readers(sources, file):
        for name, high, low in _USED.findall(text):
            bits = set(range(int(low or high), int(high) + 1)) if high else None
            held = read.setdefault(name, set())
            read[name] = None if bits is None or held is None else held | bits
    for number, line in enumerate(sources[file].splitlines(), 1):
        found = _DECLARED.match(line)
        if found and not line.startswith("  output"):
            bits = read.get(found[2], set())
            if bits is not None and len(bits) <= int(found[1] or 0):
                yield number


def _readers(sources: Mapping[str, str], file: str) -> Iterator[str]:
    """Every text of a module in which signals are read."""
    outputs: set[str] = set()
    for line in sources[file].partition("\n);\n")[2].splitlines():
        instance, connection = _INSTANCE.match(line), _CONNECTED.match(line)
        if instance:
            inside = sources.get(f"{instance[1]}.v", "")
            outputs = {port.name for port in verilog.ports(inside) if port.direction == "output"}
        elif connection:
            if connection[1] not in outputs:
                yield connection[2]
        elif not _DECLARED.match(line):
            before, arrow, after = line.partition(" <= ")
            assigned = line.startswith("  assign ")
            yield line.partition(" = ")[2] if assigned else after if arrow else before
            if arrow and not assigned:
                # What a process asks before it assigns, and where in a memory it does.
                yield before.rpartition(") ")[0] if "if (" in before else before.partition("[")[2]


WAIVERS: Mapping[str, tuple[str, Callable[[Mapping[str, str], str], Iterator[int]]]] = {
    "PROCASSINIT": ("a register's initial value is its reset value", _matching(r"^  (?:output )?reg .* = ")),
    "LATCH": ("a clock gate is a latch and an AND", _matching(r"^  always @\(clk or enable")),
    "WIDTHEXPAND": ("operands with a sign extend by the rules of Verilog", _matching(r"\$signed\(")),
    "WIDTHTRUNC": ("a shift selects, a sum wraps", _matching(r" >>|\$signed\(")),
    "UNUSEDSIGNAL": ("instances leave outputs open; sums drop the carry where they wrap", _unread),
    "CASEOVERLAP": ("selectors of a decoded case are one-hot", _matching(r"^\s+\d+'b[01?]*\?[01?]*:$")),
}
"""By rule: why it may be broken, and the numbers of the lines that do."""


def waivers(sources: Mapping[str, str]) -> str:
    """Verilator's configuration for Verilog by file name."""
    lines = ["`verilator_config"]
    for rule, (reason, broken) in WAIVERS.items():
        lines.append(f"// {reason}")
        for file in sources:
            lines += [
                f'lint_off -rule {rule} -file "*{file}" -lines {ends}'
                for ends in _ranges(broken(sources, file))
            ]
    return "\n".join(lines) + "\n"


def _ranges(numbers: Iterator[int]) -> Iterator[str]:
    """Numbers that rise, as first and last of each run."""
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run_numbers = [number for _, number in run]
        yield f"{run_numbers[0]}-{run_numbers[-1]}"
