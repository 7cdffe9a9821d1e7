"""Vector quantization with one codebook for all layers and networks, in a ROM (VQ4ALL)."""

from __future__ import annotations

from sim.formats.format import Codewords, Draw, Machine, Shape, Values
from sim.formats.vq import Vq


class Rom(Vq):
    """A codeword index, as in vq; no codebook job."""

    name = "rom"
    code, loader = 4, "rom"
    universal = True

    @property
    def weight(self) -> str:
        return Vq.name

    def text(self, machine: Machine) -> str:
        return (
            f"codebook ROM k = {machine.codebook_entries}, d = {machine.codeword_length}, "
            f"{machine.rom_banks} banks with {machine.rom_ports} reads a cycle"
        )

    def draw(
        self, shape: Shape, k: int, codewords: Codewords, draw: Draw, values: Values
    ) -> dict[str, object]:
        return super().draw(shape, k, codewords, draw, values) | {"universal": True}
