"""The systolic array."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from rtl.array.dense_tile import DenseTile
from rtl.array.sparse_tile import SparseTile
from rtl.array.tile import Tile
from rtl.block import Block, place
from rtl.geometry import Geometry
from sim.accelerator import Accelerator


class Array(Block):
    """Rv x Rh tiles with operand skew, column deskew and control pipelines (docs/timing.md 1).

    Function: `sums` (L psums) of the token that entered with `valid`, `address`, `activation`
        (H bytes) and `tag`. The tag leaves beside its sums at `tag_out`; `tag_ahead` is the same
        one cycle earlier.
    Throughput: one token a cycle.
    Handshake: none. In cycle t in, in cycle t + Rv + Rh - 1 out; a token reads its WRF words in
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
        stages, columns = acc.row_stages, acc.column_stages
        write_bits = geometry.row_word_bits // columns
        psums: list[Value] = [Const(0, geometry.sum_bits * acc.tile_columns)] * columns
        for v in range(stages):
            valid = delay(m, self.valid, v, f"valid_{v}", reset_less=False)
            address = delay(m, self.address, v, f"address_{v}")
            activation = delay(m, self.activation.word_select(v, 8 * acc.tile_rows), v, f"activation_{v}")
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
                psums[h] = tile.psum_out
        m.d.comb += self.sums.eq(
            Cat(delay(m, psum, columns - 1 - h, f"sums_{h}") for h, psum in enumerate(psums))
        )
        ahead = delay(m, self.tag, stages + columns - 2, "tag_ahead", reset_less=False)
        m.d.comb += [
            self.tag_ahead.eq(ahead),
            self.tag_out.eq(delay(m, ahead, 1, "tag_out", reset_less=False)),
        ]
        return m

    def _tile(self) -> Tile:
        acc, geometry = self.geometry.accelerator, self.geometry
        sizes = dict(
            rows=acc.tile_rows, columns=acc.tile_columns, depth=acc.wrf_depth, sum_bits=geometry.sum_bits
        )
        if not acc.sparse_tile:
            return DenseTile(**sizes)
        return SparseTile(multipliers=acc.multipliers_per_codeword, word_bits=geometry.word_bits, **sizes)


def delay(m: Module, value: Signal, cycles: int, name: str, *, reset_less: bool = True) -> Signal:
    """`value` as it was `cycles` earlier."""
    for n in range(cycles):
        register = Signal(len(value), name=f"{name}_{n + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value
