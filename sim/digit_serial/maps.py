"""Where maps of digits lie in L1."""

from __future__ import annotations

from typing import NamedTuple

from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.convert import SpikingNetwork
from sim.errors import InputError


class Place(NamedTuple):
    """A map [t][y][x][block] of words of S digits, `base` words from the begin of L1."""

    base: int
    channels: int
    height: int
    width: int
    blocks: int

    @property
    def plane(self) -> int:
        """Words of a step."""
        return self.height * self.width * self.blocks


def placed(net: SpikingNetwork, acc: DigitSerial) -> dict[str, Place]:
    """Place of the input and of every layer that speaks: the first gap that is free from its layer to its last reader.

    Raises:
        InputError: L1 is too small.
    """
    names = [layer.name for layer in net.layers]
    last = {
        name: max((n for n, layer in enumerate(net.layers) if name in _read(layer)), default=-1)
        for name in ("input", *names)
    }
    found: dict[str, Place] = {}
    speaking = [("input", net.source.input.shape, -1)]
    speaking += [
        (x.name, net.source.maps[x.name], n) for n, x in enumerate(net.layers) if x.threshold is not None
    ]
    for name, (channels, height, width), since in speaking:
        alive = sorted(
            (place.base, place.base + acc.steps * place.plane)
            for other, place in found.items()
            if last[other] >= since
        )
        place = Place(0, channels, height, width, -(-channels // acc.lanes))
        base, size = 0, acc.steps * place.plane
        for begin, end in alive:
            if begin - base >= size:
                break
            base = max(base, end)
        if base + size > acc.l1_words:
            need = -(-(base + size) * acc.lanes // 4)
            raise InputError(
                "l1_bytes",
                acc.l1_bytes,
                f"holds not all maps of {acc.steps} digits that {name} needs at once: {need:,} bytes",
                f"use --set l1_bytes={need}, or fewer steps",
            )
        found[name] = place._replace(base=base)
    return found


def _read(layer: object) -> set[str]:
    return {one.source for one in layer.synapses}  # type: ignore[attr-defined]
