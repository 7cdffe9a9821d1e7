"""Weight formats: one object each, found by name from the network's description to the Verilog.

A **record** serves `d` consecutive output channels at one (input channel, kernel position); each format
says what fields it has, LSB first. A **row** is the records of one array row, or its weights, column 0 in
the lowest bits; the last output group of a layer has as many as it needs. `docs/timing.md` section 3
orders the rows. `encoding` has the bits of indices and masks.

A new format is one object here; see `format.Format`.
"""

from __future__ import annotations

from sim.errors import InputError, nearest
from sim.formats.aqlm import Aqlm
from sim.formats.dense import Block, Dense, Split
from sim.formats.format import Format
from sim.formats.mvq import Mvq
from sim.formats.rom import Rom
from sim.formats.scaled import Int2, Int3, Int4, Mxfp4, Mxint8, Nvfp4
from sim.formats.ssvq import Ssvq
from sim.formats.ternary import Ternary
from sim.formats.vq import Vq

__all__ = ["FORMATS", "LAYOUTS", "Format", "named", "stream"]

FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        *(Dense(), Vq(), Mvq(), Ssvq(), Rom()),
        *(Int4(), Int3(), Int2(), Mxfp4(), Nvfp4(), Mxint8()),
        *(Ternary(), Aqlm()),
    )
}
"""What a network's weights, and a machine, can be of."""
LAYOUTS: dict[str, Format] = {form.name: form for form in (Split(), Block())}
"""What a weight stream can carry beside these: dense weights in an order of their own."""


def named(name: str) -> Format:
    """The weight format of this name.

    Raises:
        InputError: none has it, with the nearest name.
    """
    if name not in FORMATS:
        raise InputError("format", name, "no such weight format", nearest(str(name), FORMATS))
    return FORMATS[name]


def stream(name: str) -> Format:
    """What a weight stream of this name carries: a weight format, or a layout of dense weights.

    Raises:
        InputError: no stream has this name, with the nearest one.
    """
    found = FORMATS.get(name) or LAYOUTS.get(name)
    if found is None:
        raise InputError("format", name, "no such weight stream", nearest(name, (*FORMATS, *LAYOUTS)))
    return found
