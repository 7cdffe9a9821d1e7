"""Components one by one against plain Python."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from rtl.array.array import Array
from rtl.array.dense_tile import DenseTile
from rtl.array.pe import Pe
from rtl.array.prf import Prf
from rtl.array.sparse_tile import SparseTile
from rtl.array.wrf import Wrf
from rtl.block import Block
from rtl.control.entry_counter import EntryCounter
from rtl.geometry import Geometry
from rtl.weights.beat_buffer import BeatBuffer
from rtl.weights.codebook import Codebook
from rtl.weights.compactor import Compactor
from rtl.weights.lzc import Lzc
from rtl.weights.mask_decoder import MaskDecoder
from rtl.weights.positions import Positions
from rtl.weights.row_decoder import RowDecoder
from sim.accelerator import load, preset
from sim.errors import InputError
from tests.rtl.simulate import fields, int8, pack, run


def test_codebook_reads_on_every_port():
    dut = Codebook(entries=6, length=4, ports=3)
    rng = np.random.default_rng(1)
    words = [pack(int8(rng, 4), 8) for _ in range(6)]

    async def bench(ctx):
        ctx.set(dut.write_enable, 1)
        for address, word in enumerate(words):
            ctx.set(dut.write_address, address)
            ctx.set(dut.write_data, word)
            await ctx.tick()
        ctx.set(dut.write_enable, 0)
        for addresses in product(range(6), repeat=3):
            ctx.set(dut.read_address, pack(addresses, 3))
            ctx.set(dut.read_enable, 1)
            await ctx.tick()
            ctx.set(dut.read_enable, 0)
            ctx.set(dut.read_address, 0)
            assert fields(ctx.get(dut.read_data), 32, 3) == [words[a] for a in addresses]

    run(dut, bench)


@pytest.mark.parametrize("sparse", [False, True])
def test_tile_adds_products_of_its_rows(sparse):
    rows, columns, depth, bits, kept = 3, 8, 4, 20, 2
    rng = np.random.default_rng(2)
    weights = int8(rng, depth, rows, columns)
    if sparse:
        positions = np.argsort(rng.random(weights.shape), -1)[..., :kept]
        dense = np.zeros_like(weights)
        np.put_along_axis(dense, positions, np.take_along_axis(weights, positions, -1), -1)
        weights = dense
        dut = SparseTile(
            rows=rows, columns=columns, multipliers=kept, word_bits=11, depth=depth, sum_bits=bits
        )
    else:
        dut = DenseTile(rows=rows, columns=columns, depth=depth, sum_bits=bits)

    def words(address, row):
        if not sparse:
            return pack(weights[address, row], 8)
        chosen = positions[address, row]
        return pack([weights[address, row, p] & 0xFF | int(p) << 8 for p in chosen], 11)

    async def bench(ctx):
        for address, row in product(range(depth), range(rows)):
            ctx.set(dut.write_enable, 1 << row)
            ctx.set(dut.write_address, address)
            ctx.set(dut.write_data, words(address, row))
            await ctx.tick()
        ctx.set(dut.write_enable, 0)
        held = None
        read = multiplied = None  # sums of products of the two tokens before
        for _ in range(100):
            address, valid = int(rng.integers(depth)), bool(rng.random() < 0.8)
            activation, above = int8(rng, rows), rng.integers(-(2**18), 2**18, columns)
            ctx.set(dut.valid_in, valid)
            ctx.set(dut.address_in, address)
            ctx.set(dut.activation_in, pack(activation, 8))
            ctx.set(dut.psum_in, pack(above, bits))
            await ctx.tick()
            if multiplied is not None:
                held = (above + multiplied).tolist()
            read, multiplied = (activation @ weights[address] if valid else None), read
            if valid:
                assert fields(ctx.get(dut.activation_out), 8, rows, True) == activation.tolist()
                assert ctx.get(dut.address_out) == address
            assert ctx.get(dut.valid_out) == valid
            if held is not None:
                assert fields(ctx.get(dut.psum_out), bits, columns, True) == held

    run(dut, bench)


def test_prf_replaces_accumulates_and_wraps():
    depth, columns, bits = 3, 2, 18
    dut = Prf(depth=depth, columns=columns, sum_bits=bits)
    rng = np.random.default_rng(3)
    model = np.zeros((depth, columns), np.int64)

    async def bench(ctx):
        for _ in range(300):
            word = int(rng.integers(depth))
            first, use_stored, valid = (bool(b) for b in rng.random(3) < 0.5)
            stored = rng.integers(-(2**31), 2**31, columns)
            sums = rng.integers(-(2**17), 2**17, columns)
            for port, value in (
                ("word", word),
                ("first", first),
                ("use_stored", use_stored),
                ("valid", valid),
                ("stored", pack(stored, 32)),
                ("sums", pack(sums, bits)),
            ):
                ctx.set(getattr(dut, port), value)
            await ctx.tick()
            if valid:
                start = (stored if use_stored else 0) if first else model[word]
                model[word] = (start + sums + 2**31) % 2**32 - 2**31
                assert fields(ctx.get(dut.row), 32, columns, True) == model[word].tolist()

    run(dut, bench)


@pytest.mark.parametrize("extents", [(1, 1, 1, 1), (3, 1, 1, 2), (2, 2, 2, 2), (1, 3, 4, 1), (1, 1, 1, 16)])
def test_entry_counter_follows_the_entry_order(extents):
    a, b, u, d = extents
    dut = EntryCounter(depth=16)

    async def bench(ctx):
        for port, value in zip("abud", extents, strict=True):
            ctx.set(getattr(dut, port), value)
        ctx.set(dut.step, 1)
        for _ in range(2):
            for e, (q, r, k, s) in enumerate(product(range(d), range(b), range(u), range(a))):
                assert ctx.get(dut.entry) == e == ((q * b + r) * u + k) * a + s
                assert (ctx.get(dut.sub), ctx.get(dut.word)) == (k, s)
                assert ctx.get(dut.vector) == (k == 0 and s == 0)
                assert ctx.get(dut.first) == (e < a)
                assert ctx.get(dut.last) == (e >= a * b * u * d - a)
                assert ctx.get(dut.group_tail) == (r == b - 1)
                assert ctx.get(dut.column_tail) == (s == a - 1)
                assert ctx.get(dut.complete) == (e == a * b * u * d - 1)
                await ctx.tick()

    run(dut, bench)


def test_beat_buffer_keeps_the_bit_stream():
    dut = BeatBuffer(port_bits=64, ring_bits=128, rows=4, row_bits=100)
    rng = np.random.default_rng(4)

    async def bench(ctx):
        for _ in range(3):
            stream = fill = 0
            for _ in range(300):
                assert ctx.get(dut.fill) == fill
                write = bool(ctx.get(dut.ready) and rng.random() < 0.7)
                beat = int(rng.integers(0, 2**63))
                width = int(rng.integers(1, 101))
                consume = fill >= width and rng.random() < 0.7
                ctx.set(dut.write, write)
                ctx.set(dut.data, beat)
                ctx.set(dut.width, width)
                ctx.set(dut.consume, consume)
                shown = min(fill, 100)
                assert ctx.get(dut.row) & (1 << shown) - 1 == stream & (1 << shown) - 1
                if write:
                    stream |= beat << fill
                    fill += 64
                if consume:
                    stream >>= width
                    fill -= width
                await ctx.tick()
            for port, value in (("write", 0), ("consume", 0), ("clear", 1)):
                ctx.set(getattr(dut, port), value)
            await ctx.tick()
            ctx.set(dut.clear, 0)

    run(dut, bench)


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Wrf(depth=0, word_bits=8), "depth"),
        (lambda: Pe(depth=4, sum_bits=0), "sum_bits"),
        (lambda: Lzc(width=0), "width"),
        (lambda: Codebook(entries=4, length=4, ports=0), "ports"),
        (lambda: MaskDecoder(keep=5, group=4), "keep"),
        (lambda: Positions(keep=0, group=4), "keep"),
        (lambda: Compactor(length=16, keep=3, group=16), "group"),
        (lambda: BeatBuffer(port_bits=64, ring_bits=192, rows=4, row_bits=64), "ring_bits"),
        (lambda: BeatBuffer(port_bits=64, ring_bits=64, rows=4, row_bits=65), "ring_bits"),
        (lambda: RowDecoder(accelerator=preset("ews-4")), "format"),
        (lambda: Array(accelerator=load("ews-4", {"weight_port_bits": 192})), "weight_port_bits"),
    ],
)
def test_constructors_check_first(build, field):
    with pytest.raises(InputError) as error:
        build()
    assert error.value.field == field


@pytest.mark.parametrize("name", ["ews-64", "ews-cms-64", "ws-64", "ews-c-16"])
def test_widths_of_a_full_array(name):
    acc = preset(name)
    geometry = Geometry(acc)
    # The largest magnitude of a column sum fits: H products of (-128)^2.
    assert acc.rows * 2**14 < 2 ** (geometry.sum_bits - 1)
    assert geometry.row_word_bits == geometry.words * geometry.word_bits


def test_every_block_has_a_contract():
    def subclasses(cls):
        for sub in cls.__subclasses__():
            yield sub
            yield from subclasses(sub)

    for block in subclasses(Block):
        if hasattr(block, "kind") and block.__module__.startswith("rtl."):
            for part in ("Function:", "Throughput:", "Handshake:"):
                assert part in (block.__doc__ or ""), block
