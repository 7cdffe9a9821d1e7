"""The digit-serial machine behind its AXI ports (docs/spikes.md)."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from rtl import packets
from rtl.block import Block, place
from rtl.bus.axi import read_signals, write_signals
from rtl.bus.command_port import CommandPort
from rtl.bus.register_map import Face, Register, constants, named, sizes
from rtl.bus.registers import Registers, lite_signals
from rtl.bus.row_mover import FinishedRowMover
from rtl.bus.window import Window, guard
from rtl.control.counters import Counters
from rtl.control.watchdog import Watchdog
from rtl.digit_serial.charges import ChargeRows
from rtl.digit_serial.controller import DigitController
from rtl.digit_serial.core import EVENTS, DigitCore
from sim.digit_serial.accelerator import DigitSerial

COUNTERS = ("cycles", *EVENTS, "fetch", "drain")
"""Cycles of a run by cause; `fetch`: a word that has not come, which no engine counts."""
STREAMS = ("input", "packets")


def _identity(acc: DigitSerial) -> list[Register]:
    """Constants: which accelerator this is."""
    return [
        *named(),
        constants(
            "array",
            0x08,
            "The array",
            ("lanes", 8, acc.lanes, "S, channels"),
            ("wrf_depth", 9, acc.wrf_depth, "words of a PE"),
            ("tap_depth", 11, acc.tap_depth, "taps of a packet"),
        ),
        constants(
            "neurons",
            0x0C,
            "Neurons and store",
            ("charge_bits", 8, acc.charge_bits, "of a charge"),
            ("store_words", 24, acc.store_words, "rows of currents"),
        ),
        *sizes(acc),
    ]


FACE = Face(_identity, {"commands": "commands", "maps_write": "maps"}, STREAMS)


class DigitTop(Block):
    """The complete digit-serial machine.

    Function: runs the layers whose packets lie in memory, the map of the input first, from start to interrupt, and
        writes the charges of the last layer. Registers and ports are those of the systolic machine.
    Throughput: a word of the streams, or an operation, a cycle; docs/spikes.md gives every cycle.
    Handshake: AXI4-Lite `s_axil_*` for the registers, AXI4 `m_axi_commands_*` (read) and `m_axi_maps_*` (write).
    """

    kind = "accelerator"

    def __init__(self, *, accelerator: DigitSerial) -> None:
        acc = accelerator
        self.masters = {
            "commands": read_signals(packets.WORD_BITS, acc.address_bits),
            "maps": write_signals(packets.WORD_BITS, acc.address_bits),
        }
        self.registers = Registers(accelerator=acc, counters=COUNTERS, face=FACE)
        self.control, self.watchdog = DigitController(), Watchdog()
        self.commands = CommandPort(streams=dict.fromkeys(STREAMS))
        self.rows, self.charges = FinishedRowMover(), ChargeRows(accelerator=acc)
        self.core, self.counters = DigitCore(accelerator=acc), Counters(names=COUNTERS)
        self.ports = {"commands": self.commands, "maps_write": self.rows}
        self.windows = {
            port: Window(data_bits=packets.WORD_BITS, address_bits=acc.address_bits) for port in self.ports
        }
        super().__init__(
            {
                **{f"s_axil_{name}": member for name, member in lite_signals().items()},
                **{
                    f"m_axi_{master}_{name}": member
                    for master, members in self.masters.items()
                    for name, member in members.items()
                },
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name in ("registers", "commands", "rows", "counters", "watchdog"):
            place(m, name, getattr(self, name))
        for port, window in self.windows.items():
            place(m, f"{port}_window", window)
        # The ports forget their work in their own time, since responses may be on their way.
        for name in ("control", "core", "charges"):
            place(m, name, getattr(self, name), self.registers.clear)
        self._buses(m)
        self._supervise(m)
        self._feed(m)
        self._give(m)
        self._events(m)
        return m

    def _buses(self, m: Module) -> None:
        for name, member in lite_signals().items():
            _join(m, getattr(self, f"s_axil_{name}"), getattr(self.registers, name), member.flow == In)
        for (master, members), (port, owner) in zip(self.masters.items(), self.ports.items(), strict=True):
            for name, member in members.items():
                outer, window = getattr(self, f"m_axi_{master}_{name}"), self.windows[port]
                if name in ("araddr", "awaddr"):
                    m.d.comb += [window.burst_address.eq(getattr(owner, name)), outer.eq(window.bus_address)]
                else:
                    _join(m, outer, getattr(owner, name), member.flow == In)
        m.d.comb += self.irq.eq(self.registers.irq)

    def _supervise(self, m: Module) -> None:
        registers = self.registers
        m.d.comb += [
            registers.left.eq(~self.commands.empty),
            registers.expired.eq(self.watchdog.expired),
            self.watchdog.watches.eq(registers.watches),
            self.watchdog.limit.eq(registers.watchdog),
            # A packet may compute for long between its words.
            self.watchdog.progress.eq(self.commands.moves | self.control.layer_end | self.core.said),
            self.control.start.eq(registers.start),
            self.control.layers.eq(registers.layer_count),
            self.control.halt.eq(registers.stop),
            registers.finished.eq(self.control.done),
            registers.layer_end.eq(self.control.layer_end),
            registers.ports_idle.eq(Cat(port.idle for port in self.ports.values()).all()),
            self.commands.start.eq(registers.start),
            *(
                getattr(self.commands, f"{stream}_{what}").eq(getattr(registers, f"{stream}_{what}"))
                for stream in STREAMS
                for what in ("base", "count")
            ),
        ]
        guard(m, registers, self.ports, self.windows, FACE.window_of)

    def _feed(self, m: Module) -> None:
        """The input's packet comes first, then the others."""
        begun, over, follows = (Signal(name=name) for name in ("begun", "over", "follows"))
        moves = self.core.valid & self.core.ready
        m.d.comb += [
            self.control.primed.eq(self.commands.primed),
            self.control.closes.eq(self.core.closes),
            follows.eq(over | (begun & self.core.resting)),
            self.core.valid.eq(
                self.control.feed & Mux(follows, self.commands.packets_valid, self.commands.input_valid)
            ),
            self.core.data.eq(Mux(follows, self.commands.packets_word, self.commands.input_word)),
            self.commands.input_ready.eq(self.control.feed & self.core.ready & ~follows),
            self.commands.packets_ready.eq(self.control.feed & self.core.ready & follows),
        ]
        m.d.sync += [
            begun.eq((begun | moves) & self.control.running),
            over.eq(follows & self.control.running),
        ]

    def _give(self, m: Module) -> None:
        core, charges, rows = self.core, self.charges, self.rows
        m.d.comb += [
            charges.give.eq(core.given),
            charges.charges.eq(core.charges),
            charges.number.eq(core.given_row),
            core.hold.eq(charges.row_valid),
            rows.row_valid.eq(charges.row_valid),
            rows.row_bytes.eq(charges.row_bytes),
            rows.row_address.eq(charges.row_address),
            rows.row_ring.eq(charges.size // 8),
            charges.row_ready.eq(rows.row_ready),
            charges.read_enable.eq(rows.read_enable),
            charges.read_word.eq(rows.read_word),
            rows.read_data.eq(charges.read_data),
            self.control.idle.eq(core.idle & ~charges.row_valid & rows.idle),
        ]

    def _events(self, m: Module) -> None:
        events = dict(zip(EVENTS, self.core.events, strict=True)) | {
            "cycles": self.control.running,
            "fetch": self.control.feed & self.core.ready & ~self.core.valid,
            "drain": self.control.drain,
        }
        m.d.comb += [
            self.counters.clear.eq(self.registers.start),
            self.counters.events.eq(Cat(events[name] for name in COUNTERS)),
        ]
        for name in COUNTERS:
            m.d.comb += getattr(self.registers, f"count_{name}").eq(getattr(self.counters, f"count_{name}"))


def _join(m: Module, outer: Signal, inner: Signal, enters: bool) -> None:
    m.d.comb += inner.eq(outer) if enters else outer.eq(inner)
