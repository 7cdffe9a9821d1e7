"""A bank of the codebook ROM as logic, for the lower end of what a ROM costs."""

from __future__ import annotations

import numpy as np

from rtl.weights.rom_bank import RomBank

_BYTES = 8


class RomLogic(RomBank):
    """A bank whose words are constants of the netlist.

    Function: as the bank, with random words of 8 bytes, which no two rows share.
    Throughput: one codeword a cycle.
    Handshake: as the bank.
    """

    kind = "rom_logic"

    def __init__(self, *, depth: int) -> None:
        self.contents = np.random.default_rng(depth).integers(-128, 128, (depth, _BYTES), np.int8)
        super().__init__(
            depth=depth,
            length=_BYTES,
            ports=1,
            file="",
            words=[int.from_bytes(codeword.tobytes(), "little") for codeword in self.contents],
        )

    def verilog(self) -> str | None:
        return None
