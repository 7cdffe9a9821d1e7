"""Where in the memory of a system the addresses of one port lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from rtl.block import Block
from rtl.bus.axi import PAGE_BYTES, beat_shift
from rtl.packets import ADDRESS_BITS


def page_bits(address_bits: int) -> int:
    """Bits of the number of a page of 4 KiB; one more counts the pages of a window."""
    return address_bits - exact_log2(PAGE_BYTES)


class Window(Block):
    """Refuses bursts that begin outside a window of whole pages, and moves the others to where it lies.

    Function: while a port `asks` for a burst from `asked_address` on, `refuse` says that it does not begin in
        the first `pages` pages of 4 KiB, nor at a multiple of the beat, or has no beats (`asks_nothing`). No
        burst of an address channel crosses a page, so what begins inside lies inside. `bus_address` is
        `burst_address` behind the first byte of page `base`.
    Throughput: an address a cycle.
    Handshake: none; combinational. `base` and `pages` stay while the port is not idle.
    """

    clocked = False

    def __init__(self, *, data_bits: int, address_bits: int) -> None:
        self.shift = beat_shift(data_bits)
        self.kind = f"window_{data_bits}"
        super().__init__(
            {
                "base": In(page_bits(address_bits)),
                "pages": In(page_bits(address_bits) + 1),
                "asks": In(1),
                "asked_address": In(ADDRESS_BITS),
                "asks_nothing": In(1),
                "refuse": Out(1),
                "burst_address": In(ADDRESS_BITS),
                "bus_address": Out(address_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        below = exact_log2(PAGE_BYTES)
        m.d.comb += [
            self.refuse.eq(
                self.asks
                & (
                    (self.asked_address[below:] >= self.pages)
                    | self.asked_address[: self.shift].any()
                    | self.asks_nothing
                )
            ),
            self.bus_address.eq(Cat(self.burst_address[:below], self.base + self.burst_address[below:])),
        ]
        return m


def guard(
    m: Module,
    registers: Any,
    ports: Mapping[str, Any],
    windows: Mapping[str, Window],
    window_of: Mapping[str, str],
) -> None:
    """Joins each port with its window, and both with the registers that set the window and stop the port.

    Args:
        registers: `rtl.bus.registers.Registers`.
        ports, windows: by name.
        window_of: name of the window in the registers, by port.
    """
    for name, port in ports.items():
        window, of = windows[name], window_of[name]
        # A burst that is held back waits, so that its address still is there when the registers are told.
        refused = Signal(name=f"{name}_refused")
        m.d.sync += refused.eq(window.refuse)
        m.d.comb += [
            window.base.eq(getattr(registers, f"{of}_page")),
            window.pages.eq(getattr(registers, f"{of}_pages")),
            window.asks.eq(port.asks),
            window.asked_address.eq(port.asked_address),
            window.asks_nothing.eq(port.asks_nothing),
            port.refuse.eq(window.refuse),
            getattr(registers, f"{name}_refused").eq(refused & ~registers.clear),
            port.stop.eq(registers.stop),
            port.clear.eq(registers.clear),
            getattr(registers, f"{name}_error").eq(port.error),
            getattr(registers, f"{name}_error_address").eq(
                Mux(refused, port.asked_address, port.error_address)
            ),
        ]
