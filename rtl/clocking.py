"""Clock gates, and register files that have one for each word.

In an export of a machine with `clock_gating` registers that a whole word shares take their clock from a
gate; elsewhere, in Amaranth's simulator above all, the same registers have enables. Both do the same in
every cycle.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Module, Mux, Signal, Value, unsigned
from amaranth.hdl._ast import Assign
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from rtl.block import SCAN, Block, check_positive, gated, module_name, place

_GATE = """\
module {name} (
  input wire clk,
  input wire enable,
  input wire scan_enable,
  output wire gated_clk
);
  reg open;

  // Transparent while the clock is low, so that no late enable cuts a pulse short.
  always @(clk or enable or scan_enable)
    if (!clk) open = enable | scan_enable;

  assign gated_clk = clk & open;
endmodule
"""


class ClockGate(Block):
    """Clock gate: a latch and an AND.

    Function: `gated_clk` has the pulse of `clk` at the end of each cycle with `enable` or `scan_enable`.
    Throughput: a pulse a cycle.
    Handshake: none. `enable` is sampled while `clk` is low and must be settled before it rises.
    Replacement: a clock-gating cell of the library (latch_posedge_precontrol, or latch_posedge without
        scan) with a module around it that has this name and these ports.
    """

    kind = "clock_gate"
    clocked = False

    def __init__(self) -> None:
        super().__init__({"clk": In(1), "enable": In(1), "scan_enable": In(1), "gated_clk": Out(1)})

    def verilog(self) -> str:
        return _GATE.format(name=module_name(self.kind))


_LATCHES = """\
module {name}(enable, data, held);
  input enable;
  wire enable;
  input [{high}:0] data;
  wire [{high}:0] data;
  output [{high}:0] held;
  reg [{high}:0] held;
  initial held = 0;

  always @(enable or data)
    if (enable) held = data;
endmodule
"""


class Latches(Block):
    """A word of latches.

    Function: `held` follows `data` while `enable` is 1, and stays afterwards.
    Throughput: a word a cycle.
    Handshake: none. `enable` is the pulse of a clock gate, high in the first half of a cycle; `data` come from
        registers of the same clock, so that they stay until the latches have closed.
    """

    clocked = False
    kind_of = "latches_"

    def __init__(self, *, width: int) -> None:
        check_positive(width=width)
        self.width = width
        self.kind = f"{self.kind_of}{width}"
        super().__init__({"enable": In(1), "data": In(width), "held": Out(width)})

    def verilog(self) -> str:
        return _LATCHES.format(name=module_name(self.kind), high=self.width - 1)


def gates(m: Module, name: str, enables: Value, clock: Value | None = None) -> Value:
    """For each bit of `enables` what `take` needs: the clock behind a gate, or the enable itself.

    Args:
        clock: of the gates, if it is not that of the module.
    """
    if not gated():
        return enables
    clocks = Signal(len(enables), name=f"{name}_clk")
    for n in range(len(enables)):
        gate = place(m, f"{name}_gate_{n}" if len(enables) > 1 else f"{name}_gate", ClockGate())
        m.d.comb += [
            gate.clk.eq(ClockSignal() if clock is None else clock),
            gate.enable.eq(enables[n]),
            gate.scan_enable.eq(ClockSignal(SCAN)),
            clocks[n].eq(gate.gated_clk),
        ]
    return clocks


def word_clocks(m: Module, name: str, enable: Value, address: Value, depth: int) -> Value:
    """A clock for each of `depth` words, in a gated export; without a write not even their gates have one."""
    selected = Cat(address == n for n in range(depth))
    return gates(m, f"{name}_word", selected, gates(m, name, enable))


def take(m: Module, gate: Value, name: str, assignments: Sequence[Assign]) -> None:
    """Registers without reset take values in the cycles of a bit of `gates`; `name` is its domain's."""
    if not gated():
        with m.If(gate):
            m.d.sync += assignments
        return
    m.domains += ClockDomain(name, reset_less=True, local=True)
    m.d.comb += ClockSignal(name).eq(gate)
    m.d[name] += assignments


def hold(m: Module, name: str, enable: Value, assignments: Sequence[Assign]) -> None:
    """Registers without reset that take values in the cycles of `enable`, behind a gate of their own."""
    take(m, gates(m, name, enable), f"{name}_gated", assignments)


def place_idle(m: Module, name: str, block: Block, busy: Value) -> Block:
    """Places a block whose registers make no difference but in cycles with `busy`: only these end with its clock."""
    return place(m, name, block, clock=gates(m, name, busy) if gated() else None)


def isolate(operand: Value, active: Value) -> Value:
    """An operand that is 0, in a gated export, where the result does not depend on it: nothing behind it toggles."""
    return operand & active.replicate(len(operand)) if gated() else operand


class Words:
    """A register file inside a block: `depth` words, written by one port, read by any number.

    A write in cycle t is visible in t+1; reads are combinational. With `latches` a gated export has latches in the
    place of flip-flops: `write_by` then takes the data a cycle later, from registers.
    """

    def __init__(self, m: Module, name: str, *, depth: int, width: int, latches: bool = False) -> None:
        self._m, self._name, self.depth, self._latches = m, name, depth, latches
        if gated():
            self._words = [Signal(width, name=f"{name}_{n}", reset_less=True) for n in range(depth)]
        else:
            m.submodules[name] = self._memory = Memory(shape=unsigned(width), depth=depth, init=[])

    def write(self, enable: Value, address: Value, data: Value) -> None:
        if gated():
            self.write_by(word_clocks(self._m, self._name, enable, address, self.depth), data)
            return
        write = self._memory.write_port()
        self._m.d.comb += [write.en.eq(enable), write.addr.eq(address), write.data.eq(data)]

    def write_by(self, clocks: Value, data: Value) -> None:
        """Writes in a gated export: word n at the edges of clock n."""
        for n, word in enumerate(self._words):
            if self._latches:
                latches = place(self._m, f"{self._name}_latches_{n}", Latches(width=len(word)))
                self._m.d.comb += [latches.enable.eq(clocks[n]), latches.data.eq(data), word.eq(latches.held)]
                continue
            take(self._m, clocks[n], f"{self._name}_{n}", [word.eq(data)])

    def read(self, address: Value) -> Value:
        if gated():
            return _selected(self._words, address)
        read = self._memory.read_port(domain="comb")
        self._m.d.comb += read.addr.eq(address)
        return read.data


def _selected(words: Sequence[Value], address: Value) -> Value:
    """Word `address` through a tree of multiplexers; one beyond the last is any."""
    for bit in address:
        pairs = [words[n : n + 2] for n in range(0, len(words), 2)]
        words = [Mux(bit, pair[1], pair[0]) if len(pair) == 2 else pair[0] for pair in pairs]
    return words[0] if words else Const(0)
