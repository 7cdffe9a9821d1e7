"""`python -m evidence.decoders --liberty FILE...`: decoders that no machine here has.

A study: what a trellis (QTIP, arXiv 2406.11235) and a lattice (QuIP#, arXiv 2402.04396) take between beat buffer and
WRF, both at 2 bits a weight, 16 columns, INT8 out. Neither is a format: no rows of scales, no codebook writes, and no
rotation of activations, which both methods want at inference.
"""

from __future__ import annotations

import argparse
import itertools
import sys

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out

from rtl import verilog
from rtl.block import Block, module_name, place
from rtl.synth import Library, Synthesis, read, synthesize_modules
from sim.errors import InputError

COLUMNS, PERIOD_NS = 16, 1e3 / 300
STATE, STEP = 16, 2
"""Bits of the trellis' window, and by how many it moves a weight (QTIP's L and k V)."""
FACTOR, ADDEND = 34038481, 76625530
"""QTIP's code 1MAC: a step of a linear congruential generator, whose bytes are added."""
HALVES = (1, 3, 5)
"""Of coordinates of the lattice's codewords, in halves."""


def trellis(rows: np.ndarray) -> np.ndarray:
    """int8 [n, COLUMNS] of bits [n, STEP * COLUMNS + STATE - STEP]: a window of bits is all that a weight needs.

    The sum of four bytes less its mean, 510, over 4, halves towards minus infinity: its deviation is 37 levels.
    """
    starts = STEP * np.arange(COLUMNS)
    windows = np.stack([rows[:, starts + bit] for bit in range(STATE)], -1).astype(np.uint64)
    states = (windows << np.arange(STATE, dtype=np.uint64)).sum(-1)
    drawn = (states * np.uint64(FACTOR) + np.uint64(ADDEND)) % np.uint64(2**32)
    parts = drawn[..., None] >> np.arange(0, 32, 8, dtype=np.uint64) & np.uint64(255)
    total = parts.sum(-1).astype(np.int64)
    found: np.ndarray = ((total - 510) >> 2).astype(np.int8)
    return found


def patterns() -> np.ndarray:
    """uint8 [256, 8]: which of HALVES each coordinate has, of the 227 shortest and 29 of the next length.

    Which 29 is QuIP#'s choice; the first in order stand here, since an area hardly asks.
    """
    every = sorted(
        (sum(HALVES[each] ** 2 for each in one), one)
        for one in itertools.product(range(3), repeat=8)
        if one.count(2) < 3
    )
    return np.array([one for _, one in every[:256]], np.uint8)


def lattice(rows: np.ndarray) -> np.ndarray:
    """int8 [n, COLUMNS] of codes [n, COLUMNS / 8], 16 bits each: a pattern, seven signs, a shift of a quarter.

    Levels are quarters. The eighth sign makes the sum of the coordinates even (E8P).
    """
    table = np.array(HALVES)[patterns()]
    found = table[rows & 255]
    signs = (rows[..., None] >> (8 + np.arange(7))) & 1
    # A sum of halves is even where the sum of them all, in halves, is a multiple of four.
    known = (found[..., :7] * (1 - 2 * signs)).sum(-1) + found[..., 7]
    last = (known % 4 != 0)[..., None].astype(int)
    whole = found * (1 - 2 * np.concatenate([signs, last], -1))
    shift = np.where(rows >> 15 & 1, 1, -1)[..., None]
    return (2 * whole + shift).reshape(len(rows), COLUMNS).astype(np.int8)


class TrellisWeight(Block):
    """A state of the trellis to its weight.

    Function: `weight` as `trellis` has it.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "trellis_weight"
    clocked = False

    def __init__(self) -> None:
        super().__init__({"state": In(STATE), "weight": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        drawn = Signal(32)
        m.d.comb += drawn.eq(self.state * Const(FACTOR, 26) + Const(ADDEND, 27))
        total = drawn[:8] + drawn[8:16] + (drawn[16:24] + drawn[24:])
        m.d.comb += self.weight.eq((total - 510) >> 2)
        return m


class LatticeWeights(Block):
    """A code of the lattice to its eight weights.

    Function: `weights` as `lattice` has them.
    Throughput: combinational.
    Handshake: none.
    """

    kind = "lattice_weights"
    clocked = False

    def __init__(self) -> None:
        super().__init__({"code": In(16), "weights": Out(64)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kinds, odd = [Signal(2, name=f"kind_{n}") for n in range(8)], Signal()
        with m.Switch(self.code[:8]):
            for number, pattern in enumerate(patterns()):
                sum_of = sum(HALVES[each] for each in pattern)
                with m.Case(number):
                    m.d.comb += [kind.eq(int(each)) for kind, each in zip(kinds, pattern, strict=True)]
                    m.d.comb += odd.eq(sum_of % 4 != 0)
        signs = self.code[8:15]
        # A sign turns an odd coordinate, which moves the sum of halves by 2 modulo 4.
        whole = Cat(signs, odd ^ signs.xor())
        weights = []
        for kind, sign in zip(kinds, whole, strict=True):
            size = Signal(unsigned(4))
            m.d.comb += size.eq(Cat(Const(0, 1), Const(1, 1), kind))  # twice (1, 3, 5) halves: 2, 6, 10
            shift = Mux(self.code[15], 1, -1)
            weight = Signal(signed(8))
            m.d.comb += weight.eq(Mux(sign, -size, size) + shift)
            weights.append(weight)
        m.d.comb += self.weights.eq(Cat(weights))
        return m


class Row(Block):
    """A row of weights through a decoder, with the registers that every row decoder has.

    Function: `values` are the weights of the row before.
    Throughput: one row a cycle.
    Handshake: `look` with a row; the values stay until the next one.
    """

    def __init__(self, kind: str) -> None:
        """`kind`: key of DECODERS."""
        self.kind = f"{kind}_row"
        self.of = kind
        bits = STEP * COLUMNS + (STATE - STEP if kind == "trellis" else 0)
        super().__init__({"look": In(1), "row": In(bits), "values": Out(8 * COLUMNS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row = Signal(len(self.row))
        with m.If(self.look):
            m.d.sync += row.eq(self.row)
        parts = []
        if self.of == "trellis":
            for n in range(COLUMNS):
                weight = place(m, f"weight_{n}", TrellisWeight())
                m.d.comb += weight.state.eq(row[STEP * n :][:STATE])
                parts.append(weight.weight)
        else:
            for n in range(COLUMNS // 8):
                weights = place(m, f"weights_{n}", LatticeWeights())
                m.d.comb += weights.code.eq(row[16 * n :][:16])
                parts.append(weights.weights)
        m.d.sync += self.values.eq(Cat(parts))
        return m


DECODERS = ("trellis", "lattice")


def synthesis(kind: str, library: Library) -> Synthesis:
    """A row decoder, for 300 MHz."""
    block = Row(kind)
    texts = {module_name(each): text for each, (_, text) in verilog.hierarchy(block).items()}
    return synthesize_modules(texts, module_name(block.kind), library, PERIOD_NS)


def main(arguments: list[str] | None = None) -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(prog="python -m evidence.decoders", description=__doc__.splitlines()[0])
    parser.add_argument("--liberty", nargs="+", required=True, metavar="FILE")
    given = parser.parse_args(arguments)
    try:
        library = read(*given.liberty)
        for kind in DECODERS:
            found = synthesis(kind, library)
            paths = [part.path_ns for part in found.components if part.path_ns is not None]
            print(
                f"{kind}: {found.area:,.0f} um2, {found.flip_flops} flip-flops, longest path {max(paths):.2f} ns"
            )
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
