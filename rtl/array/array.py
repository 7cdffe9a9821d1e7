"""The systolic array."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from rtl.array.dense_tile import DenseTile
from rtl.array.sparse_tile import SparseTile
from rtl.array.tile import Tile
from rtl.block import Block, place
from rtl.clocking import hold
from rtl.geometry import Geometry
from sim.accelerator import Accelerator


class Array(Block):
    """Rv x Rh tiles with operand skew, column deskew and control pipelines (docs/timing.md 1).

    Function: `sums` (L psums) of the token that entered with `valid`, `address`, `activation`
        (H bytes) and `tag`. The tag leaves beside its sums at `tag_out`; `tag_ahead` is the same
        one cycle earlier.
    Throughput: one token a cycle.
    Handshake: none. In cycle t in, in cycle t + Rv + Rh + 1 out; a token reads its WRF words in
        cycles t .. t + Rv + Rh - 2. A row written in cycle t is visible in t+1.
    """

    kind = "array"

    def __init__(self, *, accelerator: Accelerator) -> None:
        self.geometry = geometry = Geometry(accelerator)
        address = geometry.wrf_address_bits
        super().__init__(
            {
                "valid": In(1),
                "address": In(address),
                "activation": In(8 * accelerator.rows),
                "tag": In(geometry.tag.size),
                "tag_ahead": Out(geometry.tag.size),
                "tag_out": Out(geometry.tag.size),
                "sums": Out(geometry.sum_bits * accelerator.columns),
                "write_enable": In(accelerator.rows),
                "write_address": In(address),
                "write_data": In(geometry.row_word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        acc, geometry = self.geometry.accelerator, self.geometry
        stages, columns, late = acc.row_stages, acc.column_stages, acc.tile_stages
        write_bits = geometry.row_word_bits // columns
        finished: list[Value] = [self.valid] * columns
        psums: list[Value] = [Const(0, geometry.sum_bits * acc.tile_columns)] * columns
        valids = delays(m, self.valid, stages - 1, "valid")
        for v in range(stages):
            token = Cat(self.address, self.activation.word_select(v, 8 * acc.tile_rows))
            token = delay(m, token, valids[:v], f"token_{v}")
            valid, address, activation = valids[v], token[: len(self.address)], token[len(self.address) :]
            for h in range(columns):
                tile = place(m, f"tile_{v}_{h}", self._tile())
                m.d.comb += [
                    tile.valid_in.eq(valid),
                    tile.address_in.eq(address),
                    tile.activation_in.eq(activation),
                    tile.write_enable.eq(self.write_enable.word_select(v, acc.tile_rows)),
                    tile.write_address.eq(self.write_address),
                    tile.write_data.eq(self.write_data.word_select(h, write_bits)),
                    tile.psum_in.eq(psums[h]),
                ]
                valid, address, activation = tile.valid_out, tile.address_out, tile.activation_out
                psums[h], finished[h] = tile.psum_out, tile.valid_out
        m.d.comb += self.sums.eq(
            Cat(
                delay(
                    m,
                    psum,
                    delays(m, finished[h], late + columns - 2 - h, f"finished_{h}")[late:],
                    f"sums_{h}",
                )
                if h < columns - 1
                else psum
                for h, psum in enumerate(psums)
            )
        )
        self._tags(m, stages + columns - 1 + late)
        return m

    def _tags(self, m: Module, cycles: int) -> None:
        """Tags beside their tokens; the first bit says whether there is one."""
        valids = delays(m, self.tag[0], cycles, "tag_valid")
        ahead = delay(m, self.tag[1:], valids[: cycles - 1], "tag_ahead")
        out = delay(m, ahead, valids[cycles - 1 : cycles], "tag_out")
        m.d.comb += [
            self.tag_ahead.eq(Cat(valids[cycles - 1], ahead)),
            self.tag_out.eq(Cat(valids[cycles], out)),
        ]

    def _tile(self) -> Tile:
        acc, geometry = self.geometry.accelerator, self.geometry
        sizes = dict(
            rows=acc.tile_rows, columns=acc.tile_columns, depth=acc.wrf_depth, sum_bits=geometry.sum_bits
        )
        if not acc.sparse_tile:
            return DenseTile(**sizes, latches=acc.wrf_latches)
        return SparseTile(
            multipliers=acc.multipliers_per_codeword,
            word_bits=geometry.word_bits,
            **sizes,
            latches=acc.wrf_latches,
        )


def delays(
    m: Module, value: Signal | Value, cycles: int, name: str, *, reset_less: bool = False
) -> list[Value]:
    """`value`, and as it was 1 to `cycles` cycles earlier; 0 after reset, if it has one."""
    found = [value]
    for n in range(cycles):
        register = Signal(len(value), name=f"{name}_{n + 1}", reset_less=reset_less)
        m.d.sync += register.eq(found[-1])
        found.append(register)
    return found


def delay(m: Module, value: Value, valids: Sequence[Value], name: str) -> Value:
    """`value` as many cycles later as there are `valids`: of the token in each stage, whose data alone count."""
    for n, valid in enumerate(valids):
        register = Signal(len(value), name=f"{name}_{n + 1}", reset_less=True)
        hold(m, register.name, valid, [register.eq(value)])
        value = register
    return value
