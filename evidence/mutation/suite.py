"""What can kill mutants, and the kind of suite that most components have: vectors from a reference model."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from evidence.mutation.mutants import DESIGN, SELECTOR, SELECTOR_BITS
from rtl.block import Block, module_name
from rtl.verify.simulators import environment

LIMIT_S = 20
"""A mutant that hangs the simulation is killed after so much of the processor's time."""


class Suite(Protocol):
    """A way to find mutants of some kinds of modules.

    Attributes:
        kinds: the modules that are changed.
        configuration: which one of several suites for them, or empty.
        view: what the contract leaves open; see `evidence.mutation.equivalence`.
        zero: bits of inputs that the contract keeps at 0; called with the constants in `small`.
        small: other values for constants of `rtl`; see `evidence.constants`.
        files: text by name of what the Verilog of the design reads.
    """

    @property
    def files(self) -> Mapping[str, str]: ...

    @property
    def kinds(self) -> Sequence[str]: ...

    @property
    def configuration(self) -> str: ...

    @property
    def view(self) -> str | None: ...

    @property
    def zero(self) -> Callable[[], Mapping[str, int]]: ...

    @property
    def small(self) -> Mapping[str, int]: ...

    def top(self) -> Block:
        """The design that is simulated; it contains `kinds`, or is the only one."""

    def block(self, kind: str) -> Block:
        """One of the modules that are changed."""

    def run(self, directory: Path, numbers: Iterable[int]) -> dict[int, str]:
        """Runs mutants of `mutated.v` in `directory`; says what gave away those that were found."""


Inputs = Mapping[str, int]
Expected = Mapping[str, "int | tuple[int, int]"]
"""By output; those not named may be anything. A tuple is (value, mask of the bits that count)."""
Vectors = Iterator[tuple[Inputs, Expected]]


@dataclass(frozen=True)
class VectorSuite:
    """Vectors, one a cycle: inputs set after a clock edge, outputs compared before the next one.

    Attributes:
        vectors: a generator around a reference model. Inputs that it does not name are 0; `rst` is one.
    """

    kind: str
    top: Callable[[], Block]
    vectors: Callable[[np.random.Generator], Vectors]
    view: str | None = ""
    configuration: str = ""
    zero: Callable[[], Mapping[str, int]] = dict
    small: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def kinds(self) -> Sequence[str]:
        return [self.kind]

    def block(self, kind: str) -> Block:
        return self.top()

    def run(self, directory: Path, numbers: Iterable[int]) -> dict[int, str]:
        environment("icarus")
        count = self._write_vectors(directory)
        (directory / "bench.v").write_text(_bench(self.top(), count))
        subprocess.run(
            ["iverilog", "-g2005", "-o", "bench.vvp", "bench.v", DESIGN],
            cwd=directory,
            check=True,
            capture_output=True,
        )
        killed = {}
        for number in numbers:
            found = _simulate(directory, number)
            if found:
                killed[number] = found
        return killed

    def _write_vectors(self, directory: Path) -> int:
        ins, outs = ports(self.top())
        lines, zero = [], self.zero()
        for inputs, expected in self.vectors(np.random.default_rng(1)):
            unknown = (set(inputs) - set(ins) - {"rst"}) | (set(expected) - set(outs))
            if unknown:
                raise RuntimeError(f"{self.kind} has no port {sorted(unknown)}")
            broken = [name for name, mask in zero.items() if inputs.get(name, 0) & mask]
            if broken:
                raise RuntimeError(f"{self.kind}: vectors set bits of {broken} that the contract keeps at 0")
            word = inputs.get("rst", 0) & 1
            low = 1
            for name, width in ins.items():
                word |= (int(inputs.get(name, 0)) & (1 << width) - 1) << low
                low += width
            for name, width in outs.items():
                value = expected.get(name, (0, 0))
                full = (1 << width) - 1
                value, mask = value if isinstance(value, tuple) else (value, full)
                word |= (int(value) & full) << low | (int(mask) & full) << low + width
                low += 2 * width
            lines.append(f"{word:x}")
        (directory / "vectors.hex").write_text("\n".join(lines) + "\n")
        return len(lines)


def ports(block: Block) -> tuple[dict[str, int], dict[str, int]]:
    """Widths of inputs and outputs by name."""
    widths = {name: Shape.cast(member.shape).width for name, member in block.signature.members.items()}
    ins = {name: width for name, width in widths.items() if block.signature.members[name].flow == In}
    return ins, {name: width for name, width in widths.items() if name not in ins}


def _simulate(directory: Path, number: int) -> str:
    command = f"ulimit -t {LIMIT_S}; exec vvp -n bench.vvp +{SELECTOR}={number}"
    done = subprocess.run(["sh", "-c", command], cwd=directory, text=True, capture_output=True, check=False)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "hangs"
    verdict = done.stdout.partition("\n")[0]
    if verdict == "passed":
        return ""
    if not verdict.startswith("cycle "):
        raise RuntimeError(f"the bench did not finish: {done.stdout[-500:]}")
    return verdict


def _bench(block: Block, count: int) -> str:
    # Names are escaped: some ports are called like keywords.
    ins, outs = ports(block)
    fields, low = {"rst": "at[0]"}, 1
    wires, checks = [], []
    for name, width in ins.items():
        fields[name] = f"at[{low + width - 1}:{low}]"
        low += width
    for name, width in outs.items():
        wires.append(f"  wire [{width - 1}:0] \\{name} ;")
        fields[name] = f"\\{name} "
        value, mask = f"at[{low + width - 1}:{low}]", f"at[{low + 2 * width - 1}:{low + width}]"
        checks.append(
            f"      if ((\\{name}  & {mask}) !== ({value} & {mask})) begin\n"
            f'        $display("cycle %0d: {name}", n); $finish(0); n = {count};\n      end'
        )
        low += 2 * width
    if block.clocked:
        fields["clk"] = "clk"
    else:
        del fields["rst"]
    end = "$finish(0);"
    connections = ", ".join(f".\\{name} ({value})" for name, value in (fields | {SELECTOR: SELECTOR}).items())
    return "\n".join(
        [
            "module bench;",
            "  reg clk = 0;",
            f"  reg [{SELECTOR_BITS - 1}:0] {SELECTOR};",
            f"  reg [{low - 1}:0] vectors [0:{count - 1}];",
            f"  reg [{low - 1}:0] at;",
            "  integer n;",
            *wires,
            f"  {module_name(block.kind)} dut ({connections});",
            "  initial begin",
            '    $readmemh("vectors.hex", vectors);',
            f'    if (!$value$plusargs("{SELECTOR}=%d", {SELECTOR})) {end}',
            f"    for (n = 0; n < {count}; n = n + 1) begin",
            "      at = vectors[n];",
            "      #4;",
            *checks,
            "      #1 clk = 1; #5 clk = 0;",
            "    end",
            f'    if (n == {count}) $display("passed");',
            f"    {end}",
            "  end",
            "endmodule",
            "",
        ]
    )
