"""A module's text, before and after."""

from __future__ import annotations

from collections.abc import Sequence

from rtl.readable.module import NAMELESS, Body, read, words, written
from rtl.readable.names import name_all
from rtl.readable.simplify import simplify

__all__ = ["NAMELESS", "readable"]


def readable(text: str, ports: Sequence[str] = ()) -> str:
    """A module that does the same in every cycle, in fewer lines.

    Args:
        text: Verilog of one module as Yosys writes it, without attributes.
        ports: their order in the header, behind clock and reset.
    """
    body = read(text)
    simplify(body)
    name_all(body)
    used = _used(body)
    body.signals = {name: signal for name, signal in body.signals.items() if signal.direction or name in used}
    return written(body, ports)


def _used(body: Body) -> set[str]:
    used: set[str] = set()
    for item in body.items:
        used.update(words(item) if isinstance(item, str) else words(f"{item.target} {item.value}"))
    return used
