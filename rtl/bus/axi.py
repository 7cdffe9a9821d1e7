"""Signals of the AXI4 ports: plain names, one master each."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib.wiring import Component, In, Member, Out
from amaranth.utils import exact_log2

from rtl.packets import ADDRESS_BITS
from sim.errors import InputError

BURST_BEATS = 16
"""Beats of a burst at most."""
PAGE_BYTES = 4096
"""No burst crosses a multiple of it."""
INCREMENT = 1
"""Code of an INCR burst."""
OKAY = 0
OUTSTANDING = 32
"""Bursts of a port without a response yet."""


def _address(letters: str, address_bits: int) -> dict[str, Member]:
    return {
        f"{letters}addr": Out(address_bits),
        f"{letters}len": Out(8),
        f"{letters}size": Out(3),
        f"{letters}burst": Out(2),
        f"{letters}id": Out(1),
        f"{letters}valid": Out(1),
        f"{letters}ready": In(1),
    }


def read_signals(data_bits: int, address_bits: int | None = None) -> dict[str, Member]:
    """Channels AR and R of a master; without `address_bits` as the units see them, inside a window."""
    return _address("ar", address_bits or ADDRESS_BITS) | {
        "rdata": In(data_bits),
        "rresp": In(2),
        "rlast": In(1),
        "rid": In(1),
        "rvalid": In(1),
        "rready": Out(1),
    }


def write_signals(data_bits: int, address_bits: int | None = None) -> dict[str, Member]:
    """Channels AW, W and B of a master; `address_bits` as in `read_signals`."""
    return _address("aw", address_bits or ADDRESS_BITS) | {
        "wdata": Out(data_bits),
        "wstrb": Out(data_bits // 8),
        "wlast": Out(1),
        "wvalid": Out(1),
        "wready": In(1),
        "bresp": In(2),
        "bid": In(1),
        "bvalid": In(1),
        "bready": Out(1),
    }


SUPERVISION: dict[str, Member] = {
    "stop": In(1),
    "clear": In(1),
    "idle": Out(1),
    "error": Out(1),
    "error_address": Out(ADDRESS_BITS),
    "asks": Out(1),
    "asked_address": Out(ADDRESS_BITS),
    "asks_nothing": Out(1),
    "refuse": In(1),
}
"""Every port has these. `stop`: no further address. `clear`: forgets everything; responses that are still to
come are swallowed, and nothing new is asked for before `idle` (no response outstanding). `error`: pulse for
each response other than OKAY, with the address of its burst. `asks`: a burst from `asked_address` on would go out
next (`asks_nothing`: of no beats, which only a corrupt packet asks for); `refuse` in that cycle keeps it back."""


def forward(m: Module, outer: Component, inner: Component, members: dict[str, Member]) -> None:
    """Connects ports of equal name: `outer` shows what `inner` does."""
    for name, member in members.items():
        mine, its = getattr(outer, name), getattr(inner, name)
        m.d.comb += its.eq(mine) if member.flow == In else mine.eq(its)


def reset(m: Module, when: Signal, *registers: Signal) -> None:
    """Brings registers back to their initial values; to be called after their other assignments."""
    with m.If(when):
        m.d.sync += [register.eq(register.init) for register in registers]


def beat_shift(data_bits: int) -> int:
    """log2 of the bytes of a beat.

    Raises:
        InputError: a width that AXI does not know.
    """
    if data_bits < 8 or data_bits > 1024 or data_bits & (data_bits - 1):
        raise InputError("data_bits", data_bits, "AXI has no such width", "use 64, 128, 256 or 512")
    return exact_log2(data_bits // 8)
