"""Registers of the accelerator."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib.wiring import In, Member, Out
from amaranth.utils import exact_log2

from rtl.block import Block
from rtl.bus.axi import OKAY, PAGE_BYTES, reset
from rtl.bus.register_map import BYTES, ERRORS, SYSTOLIC, Face, Register, register_map
from rtl.bus.window import page_bits
from rtl.control.watchdog import LIMIT_BITS
from rtl.packets import ADDRESS_BITS, LAYER_COUNT_BITS, WORD_BITS

SLVERR = 2
PAGE_SHIFT = exact_log2(PAGE_BYTES)
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

    Function: software's clear and start both pulse `clear`, after which the accelerator is `busy` until
        `ports_idle`; a start goes on from there: `start` (pulse) in that cycle begins the run, unless the setup
        is wrong. A run ends with `finished` (pulse): it is done, or failed if packets are `left`. P_error and
        P_refused of a port P, `expired` and `overflow` fail it too; the first of all counts. From then on
        `stop` is 1 until the next start or clear. `layer_end` (pulse) counts layers while the run goes on, of
        which it has `layer_count`. `interrupt` stays until software clears it. W_page and W_pages are the
        windows, S_base and S_count the streams; `count_X` are the counters, which live elsewhere. An address
        without a register answers SLVERR.
    Throughput: one read and one write a cycle. A response comes in the cycle after its request; a write acts
        in the cycle after it, `clear` in the cycle of the handshake.
    Handshake: AXI4-Lite; a write is taken when its address and its data are there.
    """

    kind = "registers"

    def __init__(self, *, accelerator: Any, counters: tuple[str, ...], face: Face = SYSTOLIC) -> None:
        self.map = register_map(accelerator, counters, face)
        self.counters, self.face = counters, face
        self.address_bits = accelerator.address_bits
        pages = page_bits(accelerator.address_bits)
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
                "left": In(1),
                "expired": In(1),
                "overflow": In(1),
                "watches": Out(1),
                "watchdog": Out(LIMIT_BITS),
            }
            | {f"{name}_page": Out(pages) for name in face.windows}
            | {f"{name}_pages": Out(pages + 1) for name in face.windows}
            | {f"{port}_{what}": In(1) for port in face.ports for what in ("error", "refused")}
            | {f"{port}_error_address": In(ADDRESS_BITS) for port in face.ports}
            | {f"{name}_{what}": Out(32) for name in face.streams for what in ("base", "count")}
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
        m.d.comb += [self.layer_count.eq(values["layer_count"]), self.watchdog.eq(values["watchdog"])]
        self._reads(m, values, upper)
        self._writes(m, values, written)
        self._run(m, values, written)
        for name in self.face.windows:
            first, bytes_ = _whole(values, f"{name}_base"), _whole(values, f"{name}_size")
            m.d.comb += [
                getattr(self, f"{name}_page").eq(first >> PAGE_SHIFT),
                getattr(self, f"{name}_pages").eq(bytes_ >> PAGE_SHIFT),
            ]
        for name in self.face.streams:
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
        running, clearing, starting = Signal(name="running"), Signal(name="clearing"), Signal(name="starting")
        done, error, pending, layers = (values[name] for name in ("done", "error", "interrupt", "layers"))
        begins, ready, fails = Signal(name="begins"), Signal(name="ready"), Signal(name="fails")
        code, port = (
            Signal.like(values["error_code"], name="code"),
            Signal.like(values["error_port"], name="port"),
        )
        address = Signal(self.address_bits)
        self._failures(m, values, running | clearing, ready & starting, code, port, address)
        m.d.comb += [
            self.busy.eq(running | clearing),
            self.watches.eq(self.busy & ~self.clear),
            values["busy"].eq(self.busy),
            begins.eq(written["start"] & ~self.busy & ~written["clear"]),
            self.clear.eq(written["clear"] | begins),
            ready.eq(clearing & self.ports_idle & ~self.clear),
            fails.eq((code != 0) & ~error),
            self.start.eq(ready & starting & ~fails),
            self.stop.eq(error),
            self.irq.eq(pending & values["interrupt_enable"]),
        ]
        m.d.sync += [
            layers.eq(Mux(self.layer_end & running, layers + 1, layers)),
            clearing.eq(clearing & ~ready),
            starting.eq(starting & ~ready),
        ]
        with m.If(written["interrupt"]):
            m.d.sync += pending.eq(0)
        with m.If(self.start):
            m.d.sync += running.eq(1)
        with m.If(running & self.finished):
            m.d.sync += [running.eq(0), done.eq(~fails), pending.eq(1)]
        with m.If(fails):
            m.d.sync += [
                Cat(running, clearing, starting).eq(0),
                Cat(error, pending).eq(0b11),
                values["error_code"].eq(code),
                values["error_port"].eq(port),
                Cat(values["error_address_lo"], values["error_address_hi"]).eq(address),
            ]
        with m.If(self.clear):
            m.d.sync += [running.eq(0), clearing.eq(1), starting.eq(begins)]
        with m.If(begins):
            m.d.sync += layers.eq(0)
        reset(m, self.clear, done, error, pending, values["error_code"])

    def _failures(
        self,
        m: Module,
        values: dict[str, Value],
        busy: Value,
        starts: Value,
        code: Signal,
        port: Signal,
        address: Signal,
    ) -> None:
        """What is wrong in this cycle; what stands last counts most."""
        for name, happens in (
            ("left", self.finished & self.left & busy),
            ("watchdog", self.expired),
            ("overflow", self.overflow & busy),
        ):
            with m.If(happens):
                m.d.comb += code.eq(_code(name))
        for n, name in reversed(tuple(enumerate(self.face.ports))):
            at = getattr(self, f"{name}_error_address")
            base = _whole(values, f"{self.face.window_of[name]}_base")
            for what, kind in (("error", "response"), ("refused", "window")):
                with m.If(getattr(self, f"{name}_{what}")):
                    m.d.comb += [code.eq(_code(kind)), port.eq(n), address.eq(base + at)]
        for window in reversed(self.face.windows):
            with m.If(starts & self._misplaced(values, window)):
                n = list(self.face.window_of.values()).index(window)
                m.d.comb += [code.eq(_code("setup")), port.eq(n)]

    def _misplaced(self, values: dict[str, Value], window: str) -> Value:
        """Whether a window lies elsewhere than its rules say."""
        first, size = _whole(values, f"{window}_base"), _whole(values, f"{window}_size")
        wrong = (first | size)[:PAGE_SHIFT].any() | (first + size > 1 << self.address_bits)
        if window == self.face.window_of["commands"]:
            for name in self.face.streams:
                wrong |= values[f"{name}_base"][: exact_log2(WORD_BITS // 8)].any()
        return wrong


def _code(error: str) -> int:
    return list(ERRORS).index(error)


def _whole(values: dict[str, Value], name: str) -> Value:
    """An address or a size of more than 32 bits."""
    return Cat(values[f"{name}_lo"], values[f"{name}_hi"])


def _word(register: Register, values: dict[str, Value]) -> Value:
    """The 32 bits of a register, zero where it has no field."""
    parts: list[Value] = []
    at = 0
    for field in register.fields:
        parts += [Const(0, field.low - at), values[field.name]]
        at = field.low + field.width
    return Cat(*parts, Const(0, 32 - at))
