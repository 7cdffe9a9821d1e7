"""Registers of the accelerator."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Member, Out
from amaranth.utils import exact_log2

from rtl.block import Block
from rtl.bus.axi import OKAY
from rtl.bus.register_map import BYTES, PORTS, Register, register_map
from rtl.packets import ADDRESS_BITS, LAYER_COUNT_BITS, STREAMS
from sim.accelerator import Accelerator

SLVERR = 2
COUNTER_BITS = 64


def lite_signals() -> dict[str, Member]:
    """AXI4-Lite, slave."""
    address = exact_log2(BYTES)
    return {
        "awaddr": In(address),
        "awprot": In(3),
        "awvalid": In(1),
        "awready": Out(1),
        "wdata": In(32),
        "wstrb": In(4),
        "wvalid": In(1),
        "wready": Out(1),
        "bresp": Out(2),
        "bvalid": Out(1),
        "bready": In(1),
        "araddr": In(address),
        "arprot": In(3),
        "arvalid": In(1),
        "arready": Out(1),
        "rdata": Out(32),
        "rresp": Out(2),
        "rvalid": Out(1),
        "rready": In(1),
    }


class Registers(Block):
    """Control, status and counters over AXI4-Lite (rtl.bus.register_map).

    Function: `start` and `clear` are pulses. A run is `busy` from the cycle after `start` to `finished`
        (pulse), or to the first P_error of a port P, from which on `stop` is 1 until `clear`; after `clear`
        it is `busy` until `ports_idle`. `layer_end` (pulse) counts layers while the run goes on, of which it
        has `layer_count`. `interrupt` stays until software clears it. S_base and S_count are the streams;
        `count_X` are the counters, which live elsewhere. An address without a register answers SLVERR.
    Throughput: one read and one write a cycle. A response comes in the cycle after its request; a write acts
        in the cycle after it, `start` and `clear` in the cycle of the handshake.
    Handshake: AXI4-Lite; a write is taken when its address and its data are there.
    """

    kind = "registers"

    def __init__(self, *, accelerator: Accelerator, counters: tuple[str, ...]) -> None:
        self.map = register_map(accelerator, counters)
        self.counters = counters
        super().__init__(
            lite_signals()
            | {
                "layer_count": Out(LAYER_COUNT_BITS),
                "start": Out(1),
                "clear": Out(1),
                "stop": Out(1),
                "busy": Out(1),
                "irq": Out(1),
                "finished": In(1),
                "layer_end": In(1),
                "ports_idle": In(1),
            }
            | {f"{port}_error": In(1) for port in PORTS}
            | {f"{port}_error_address": In(ADDRESS_BITS) for port in PORTS}
            | {f"{name}_{what}": Out(32) for name in STREAMS for what in ("base", "count")}
            | {f"count_{name}": In(COUNTER_BITS) for name in counters}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # What software sees of each field, and the writes that act.
        values: dict[str, Value] = {}
        written: dict[str, Signal] = {}
        for register in self.map:
            for field in register.fields:
                if field.access == "constant":
                    values[field.name] = Const(field.reset, field.width)
                elif field.access == "pulse":
                    values[field.name] = Const(0, field.width)
                else:
                    values[field.name] = Signal(field.width, name=field.name, init=field.reset)
                if field.access in ("pulse", "w1c"):
                    written[field.name] = Signal(name=f"written_{field.name}")
        upper = Signal(COUNTER_BITS // 2)  # of the counter whose lower half was read last
        for name in self.counters:
            values[f"count_{name}_lo"] = getattr(self, f"count_{name}")[: COUNTER_BITS // 2]
            values[f"count_{name}_hi"] = upper
        m.d.comb += self.layer_count.eq(values["layer_count"])
        self._reads(m, values, upper)
        self._writes(m, values, written)
        self._run(m, values, written)
        for name in STREAMS:
            for what in ("base", "count"):
                m.d.comb += getattr(self, f"{name}_{what}").eq(values[f"{name}_{what}"])
        return m

    def _reads(self, m: Module, values: dict[str, Value], upper: Signal) -> None:
        takes = Signal()
        lower_halves = {f"count_{name}_lo": f"count_{name}" for name in self.counters}
        m.d.comb += [self.arready.eq(~self.rvalid | self.rready), takes.eq(self.arvalid & self.arready)]
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(takes):
            m.d.sync += [self.rvalid.eq(1), self.rresp.eq(SLVERR), self.rdata.eq(0)]
            with m.Switch(self.araddr[2:]):
                for register in self.map:
                    with m.Case(register.offset >> 2):
                        m.d.sync += [self.rdata.eq(_word(register, values)), self.rresp.eq(OKAY)]
                        if register.name in lower_halves:
                            counter = getattr(self, lower_halves[register.name])
                            m.d.sync += upper.eq(counter >> COUNTER_BITS // 2)

    def _writes(self, m: Module, values: dict[str, Value], written: dict[str, Signal]) -> None:
        takes = Signal()
        m.d.comb += [
            takes.eq(self.awvalid & self.wvalid & (~self.bvalid | self.bready)),
            self.awready.eq(takes),
            self.wready.eq(takes),
        ]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        lanes = Cat(self.wstrb[n].replicate(8) for n in range(4))
        with m.If(takes):
            m.d.sync += [self.bvalid.eq(1), self.bresp.eq(SLVERR)]
            with m.Switch(self.awaddr[2:]):
                for register in self.map:
                    with m.Case(register.offset >> 2):
                        m.d.sync += self.bresp.eq(OKAY)
                        for field in register.fields:
                            bits = slice(field.low, field.low + field.width)
                            if field.access == "rw":
                                old = values[field.name]
                                m.d.sync += old.eq(self.wdata[bits] & lanes[bits] | old & ~lanes[bits])
                            elif field.name in written:
                                m.d.comb += written[field.name].eq((self.wdata[bits] & lanes[bits]).any())

    def _run(self, m: Module, values: dict[str, Value], written: dict[str, Signal]) -> None:
        running, clearing = Signal(), Signal()
        done, error, pending, layers = (values[name] for name in ("done", "error", "interrupt", "layers"))
        fails = Signal()
        failing = Signal(range(len(PORTS)))
        address = Signal(ADDRESS_BITS)
        for n, port in reversed(tuple(enumerate(PORTS))):
            with m.If(getattr(self, f"{port}_error")):
                m.d.comb += [
                    fails.eq(~error),
                    failing.eq(n),
                    address.eq(getattr(self, f"{port}_error_address")),
                ]
        m.d.comb += [
            self.busy.eq(running | clearing),
            values["busy"].eq(self.busy),
            self.start.eq(written["start"] & ~self.busy & ~error & ~self.clear),
            self.clear.eq(written["clear"]),
            self.stop.eq(error),
            self.irq.eq(pending & values["interrupt_enable"]),
        ]
        m.d.sync += [layers.eq(layers + (self.layer_end & running)), clearing.eq(clearing & ~self.ports_idle)]
        with m.If(written["interrupt"]):
            m.d.sync += pending.eq(0)
        with m.If(running & self.finished):
            m.d.sync += [running.eq(0), done.eq(1), pending.eq(1)]
        with m.If(fails):
            m.d.sync += [
                running.eq(0),
                error.eq(1),
                pending.eq(1),
                values["error_port"].eq(failing),
                values["error_address"].eq(address),
            ]
        with m.If(self.start):
            m.d.sync += [running.eq(1), done.eq(0), pending.eq(0), layers.eq(0)]
        with m.If(self.clear):
            m.d.sync += [running.eq(0), clearing.eq(1), done.eq(0), error.eq(0), pending.eq(0)]


def _word(register: Register, values: dict[str, Value]) -> Value:
    """The 32 bits of a register, zero where it has no field."""
    parts: list[Value] = []
    at = 0
    for field in register.fields:
        parts += [Const(0, field.low - at), values[field.name]]
        at = field.low + field.width
    return Cat(*parts, Const(0, 32 - at))
