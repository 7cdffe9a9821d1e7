"""The proofs of all components."""

from __future__ import annotations

from math import comb

from rtl.beat_buffer import BeatBuffer
from rtl.compactor import Compactor
from rtl.entry_counter import EntryCounter
from rtl.formal.prove import Proof
from rtl.mask_decoder import MaskDecoder
from rtl.pe import Pe
from rtl.positions import Positions
from rtl.prf import Prf
from rtl.row_decoder import RowDecoder
from rtl.wrf import Wrf
from sim.accelerator import preset


def _positions(keep: int, group: int) -> Proof:
    return Proof(f"positions {keep}:{group}", lambda: Positions(keep=keep, group=group), "positions",
                 {"KEEP": keep, "GROUP": group})


def _mask_decoder(keep: int, group: int) -> Proof:
    bits = max(1, (comb(group, keep) - 1).bit_length())
    return Proof(f"mask decoder {keep}:{group}", lambda: MaskDecoder(keep=keep, group=group), "mask_decoder",
                 {"KEEP": keep, "GROUP": group, "CODE_BITS": bits}, slow=group > 8)


def _compactor(length: int, keep: int, group: int) -> Proof:
    return Proof(f"compactor {keep}:{group}, d = {length}",
                 lambda: Compactor(length=length, keep=keep, group=group), "compactor",
                 {"LENGTH": length, "KEEP": keep, "GROUP": group,
                  "SUB_BITS": max(1, (group // keep - 1).bit_length())})


PROOFS = (
    *(_positions(*pattern) for pattern in ((1, 2), (2, 4), (1, 4), (2, 8), (4, 16), (3, 6))),
    *(_mask_decoder(*pattern) for pattern in ((1, 2), (2, 4), (1, 4), (2, 8), (4, 16), (3, 6))),
    *(_compactor(*sizes) for sizes in ((8, 2, 4), (16, 4, 16))),
    Proof("row decoder", lambda: RowDecoder(accelerator=preset("ews-cms-4")), "row_decoder",
          {"ROW_BITS": RowDecoder(accelerator=preset("ews-cms-4")).row.shape().width, "RECORDS": 1}),
    Proof("WRF", lambda: Wrf(depth=4, word_bits=10), "wrf"),
    Proof("PE", lambda: Pe(depth=2, sum_bits=18), "pe", slow=True),
    Proof("PRF", lambda: Prf(depth=4, columns=2, sum_bits=6), "prf"),
    Proof("entry counter, depth 4", lambda: EntryCounter(depth=4), "entry_counter", {"DEPTH": 4}),
    Proof("entry counter, depth 8", lambda: EntryCounter(depth=8), "entry_counter", {"DEPTH": 8}, slow=True),
    Proof("beat buffer", lambda: BeatBuffer(port_bits=4, ring_bits=8, rows=2, row_bits=5), "beat_buffer"),
)
