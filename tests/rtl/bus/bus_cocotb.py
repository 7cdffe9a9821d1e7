"""The cocotb side of test_bus_cocotb.py: memory and host are those of cocotbext-axi."""

from __future__ import annotations

import random
from collections import deque
from types import SimpleNamespace

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiRamRead, AxiReadBus, AxiResp

from rtl.geometry import Geometry
from rtl.packets import job, tile
from tests.rtl.bus.bus_bench import ACC
from tests.rtl.bus.test_row_mover import FIELDS, WORDS, places

SIZE = 1 << 14
JOB, TILE = job(Geometry(ACC)), tile(Geometry(ACC))
CONTROL, STATUS, ERROR_ADDRESS = 0x20, 0x24, 0x28
SLAVE_CHANNELS = ("ar_channel", "r_channel", "aw_channel", "w_channel", "b_channel")


def pack(layout, values):
    return sum(values.get(name, 0) << field.offset for name, field in layout)


def pauses(rng, *sides):
    """Every channel stands still in a quarter of the cycles."""

    def generator():
        while True:
            yield rng.random() < 0.25

    for side in sides:
        for name in SLAVE_CHANNELS:
            if hasattr(side, name):
                getattr(side, name).set_pause_generator(generator())


async def set_up(dut, seed):
    rng = random.Random(seed)
    dut.rst.value = 1
    for name in (
        "weights_in_valid",
        "weights_weights_there",
        "weights_out_ready",
        "weights_weight_ready",
        "tiles_tile_valid",
        "tiles_begin",
        "tiles_visit_end",
        "tiles_maps_there",
        "rows_row_valid",
        "rows_read_data",
        "registers_finished",
        "registers_layer_end",
        "registers_count_cycles",
    ):
        getattr(dut, name).value = 0
    Clock(dut.clk, 2, "ns").start()
    maps = AxiRam(AxiBus.from_prefix(dut, "maps"), dut.clk, dut.rst, size=SIZE)
    weights = AxiRamRead(AxiReadBus.from_prefix(dut, "weights"), dut.clk, dut.rst, size=SIZE)
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "registers"), dut.clk, dut.rst)
    pauses(rng, maps.write_if, maps.read_if, weights, host.write_if, host.read_if)
    for ram in (maps, weights):
        ram.write(0, rng.randbytes(SIZE))
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    await ClockCycles(dut.clk, 2)
    return SimpleNamespace(dut=dut, rng=rng, maps=maps, weights=weights, host=host)


async def offer(bench, valid, ready, items):
    """A stream: `items` are dicts of signals."""
    for item in items:
        while bench.rng.random() < 0.25:
            await RisingEdge(bench.dut.clk)
        for signal, value in item.items():
            signal.value = value
        valid.value = 1
        while True:
            await RisingEdge(bench.dut.clk)
            if ready.value:
                break
        valid.value = 0


async def watch(bench):
    """The units around the ports: takes what comes, answers L1 reads, ends visits. Logs into the bench."""
    dut, rng = bench.dut, bench.rng
    bench.jobs, bench.beats, bench.written, bench.there = [], [], [], 0
    while True:
        await RisingEdge(dut.clk)
        if dut.weights_out_valid.value and dut.weights_out_ready.value:
            bench.jobs.append(int(dut.weights_out_job.value))
        if dut.weights_weight_valid.value and dut.weights_weight_ready.value:
            bench.beats.append(int(dut.weights_weight_data.value))
        if dut.tiles_write_enable.value:
            bench.written.append(
                (
                    int(dut.tiles_write_group.value),
                    int(dut.tiles_write_word.value),
                    int(dut.tiles_write_data.value),
                )
            )
        bench.there += int(dut.tiles_tile_there.value)
        dut.tiles_visit_end.value = int(dut.tiles_tile_there.value)
        if dut.rows_read_enable.value:
            at = 8 * int(dut.rows_read_word.value)
            group = bench.l1[int(dut.rows_read_map.value)]
            dut.rows_read_data.value = int.from_bytes(group[at : at + 8], "little")
        dut.weights_out_ready.value = rng.random() < 0.75
        dut.weights_weight_ready.value = rng.random() < 0.75


async def pulse(bench, signal):
    signal.value = 1
    await RisingEdge(bench.dut.clk)
    signal.value = 0


async def until(bench, condition, cycles=20000):
    for _ in range(cycles):
        if condition():
            return
        await RisingEdge(bench.dut.clk)
    raise AssertionError("nothing more happens")


def random_jobs(rng, count):
    found = []
    for _ in range(count):
        beats = rng.choice([1, 2, rng.randrange(1, 70)])
        found.append(dict(beats=beats, address=rng.randrange(SIZE // 8 - beats) * 8, a=rng.randrange(4)))
    return found


def random_tiles(rng, count):
    def transfer(half):
        beats, lines, planes = rng.randrange(12), rng.randrange(1, 5), rng.randrange(1, 4)
        return {
            f"{half}_address": rng.randrange(800) * 8,
            f"{half}_beats": beats,
            f"{half}_lines": lines,
            f"{half}_planes": planes,
            f"{half}_line_stride": rng.randrange(100) * 8,
            f"{half}_plane_stride": rng.randrange(300) * 8,
            f"{half}_to": rng.randrange(1 << 15),
        }

    return [
        dict(begins=int(n == 0), buffers=2) | transfer("ifmap") | transfer("residual") for n in range(count)
    ]


def tile_words(content, tile):
    for group, half in enumerate(("ifmap", "residual")):
        to = tile[f"{half}_to"]
        for plane in range(tile[f"{half}_planes"]):
            for line in range(tile[f"{half}_lines"]):
                for n in range(tile[f"{half}_beats"]):
                    at = (
                        tile[f"{half}_address"]
                        + plane * tile[f"{half}_plane_stride"]
                        + line * tile[f"{half}_line_stride"]
                        + 8 * n
                    )
                    yield group, to, int.from_bytes(content[at : at + 8], "little")
                    to += 1


def random_rows(rng, count):
    """Rows above what the tiles are read from."""
    found = []
    for _ in range(count):
        length = rng.choice([8, rng.randrange(1, 257)])
        address = rng.randrange(SIZE // 2 + SIZE // 4, SIZE - 256)
        ring = rng.choice([WORDS, 50])
        found.append(
            dict(
                map=rng.randrange(2),
                word=rng.randrange(ring),
                offset=address % 8,
                bytes=length,
                address=address,
                ends_unit=0,
                ring=ring,
            )
        )
    return found


def row_signals(dut, row):
    return {getattr(dut, f"rows_row_{name}"): row[name] for name in FIELDS}


@cocotb.test()
async def registers(dut):
    """A host with random pauses: bytes, words, addresses without a register, a run."""
    bench = await set_up(dut, 1)
    host, rng = bench.host, bench.rng
    assert (await host.read(0, 4)).data == b"CDWD"
    assert (await host.read_dword(4)) == 0x00020000
    content = bytearray(32)
    for _ in range(60):
        at = rng.randrange(32)
        data = rng.randbytes(rng.randrange(1, 32 - at + 1))
        content[at : at + len(data)] = data
        assert (await host.write(0x40 + at, data)).resp == AxiResp.OKAY
    assert (await host.read(0x40, 32)).data == content
    assert int(dut.registers_jobs_base.value) == int.from_bytes(content[:4], "little")
    assert int(dut.registers_units_count.value) == int.from_bytes(content[28:], "little")
    for address in (0x3C, 0x90, 0x800):
        assert (await host.read(address, 4)).resp == AxiResp.SLVERR
        assert (await host.write(address, bytes(4))).resp == AxiResp.SLVERR
    for base, status in ((4, 0x3104), (8, 1)):
        for stream in range(4):
            await host.write_dword(0x40 + 8 * stream, base)
        await host.write_dword(CONTROL, 5)
        assert await host.read_dword(STATUS) == status
    await pulse(bench, dut.registers_finished)
    await until(bench, lambda: dut.registers_irq.value)
    assert await host.read_dword(STATUS) == 0x102
    await host.write_dword(STATUS, 0x100)
    assert await host.read_dword(STATUS) == 2
    assert not dut.registers_irq.value


@cocotb.test()
async def all_ports_with_pauses(dut):
    """Weights, tiles and rows at the same time."""
    bench = await set_up(dut, 2)
    rng = bench.rng
    bench.l1 = [rng.randbytes(8 * WORDS) for _ in range(2)]
    jobs, tiles, rows = random_jobs(rng, 30), random_tiles(rng, 20), random_rows(rng, 40)
    before = bytes(bench.maps.read(0, SIZE))
    weights = bytes(bench.weights.read(0, SIZE))
    cocotb.start_soon(watch(bench))
    streams = [
        offer(
            bench,
            dut.weights_in_valid,
            dut.weights_in_ready,
            [{dut.weights_in_job: pack(JOB, item)} for item in jobs],
        ),
        offer(
            bench,
            dut.tiles_tile_valid,
            dut.tiles_tile_ready,
            [{dut.tiles_tile_packet: pack(TILE, item)} for item in tiles],
        ),
        offer(bench, dut.rows_row_valid, dut.rows_row_ready, [row_signals(dut, row) for row in rows]),
    ]
    tasks = [cocotb.start_soon(stream) for stream in streams]
    await pulse(bench, dut.tiles_begin)
    for task in tasks:
        await task
    total = sum(item["beats"] for item in jobs)
    await until(bench, lambda: len(bench.beats) == total and bench.there == len(tiles))
    assert bench.jobs == [pack(JOB, item) for item in jobs]
    assert bench.beats == [
        int.from_bytes(weights[at : at + 8], "little")
        for item in jobs
        for at in range(item["address"], item["address"] + 8 * item["beats"], 8)
    ]
    assert bench.written == [word for item in tiles for word in tile_words(before, item)]
    expected = bytearray(before)
    for row in rows:
        for source, target in places(row):
            expected[target] = bench.l1[row["map"]][source]
    await until(bench, lambda: bytes(bench.maps.read(0, SIZE)) == expected)


def failing(side, name, address):
    """Makes one access of a memory fail."""
    before = getattr(side, name)

    async def access(at, *arguments):
        if at // 8 == address // 8:
            raise ValueError("broken")
        return await before(at, *arguments)

    setattr(side, name, access)
    return lambda: setattr(side, name, before)


@cocotb.test()
async def errors_stop_the_run(dut):
    """Each port: status names it and its burst, no more addresses leave, and clear makes it work again."""
    bench = await set_up(dut, 3)
    rng, host = bench.rng, bench.host
    bench.l1 = [rng.randbytes(8 * WORDS) for _ in range(2)]
    cocotb.start_soon(watch(bench))
    quiet = dict(begins=1, buffers=1)
    tiles = {
        f"ifmap_{name}": value
        for name, value in dict(address=0x400, beats=100, lines=2, line_stride=0x400, planes=1, to=0).items()
    }
    row = dict(map=0, word=0, offset=0, bytes=256, address=0x3000, ends_unit=0, ring=WORDS)
    cases = deque(
        [
            (
                1,
                failing(bench.weights, "_read", 0x488),
                0x480,
                dut.weights_in_valid,
                {dut.weights_in_job: pack(JOB, dict(beats=200, address=0x400))},
            ),
            (
                2,
                failing(bench.maps.read_if, "_read", 0x838),
                0x800,
                dut.tiles_tile_valid,
                {dut.tiles_tile_packet: pack(TILE, quiet | tiles)},
            ),
            (
                3,
                failing(bench.maps.write_if, "_write", 0x3080),
                0x3080,
                dut.rows_row_valid,
                row_signals(dut, row),
            ),
        ]
    )
    while cases:
        port, repair, address, valid, signals = cases.popleft()
        await host.write_dword(CONTROL, 5)
        assert await host.read_dword(STATUS) == 1 | (port - 1) * (port > 1) << 4
        for signal, value in signals.items():
            signal.value = value
        valid.value = 1
        await pulse(bench, dut.tiles_begin)
        await until(bench, lambda: dut.registers_irq.value)
        assert await host.read_dword(STATUS) == 0x1104 | port << 4
        assert await host.read_dword(ERROR_ADDRESS) == address
        await ClockCycles(dut.clk, 40)
        for _ in range(100):
            await RisingEdge(dut.clk)
            assert not dut.weights_arvalid.value
            assert not dut.maps_arvalid.value
            assert not dut.maps_awvalid.value
        valid.value = 0
        repair()
        await host.write_dword(CONTROL, 2)
        while await host.read_dword(STATUS) & 1:
            pass
        bench.beats.clear()
        bench.jobs.clear()
    await all_ports_work(bench, row)


async def all_ports_work(bench, row):
    """Jobs of weights, a tile and a row: every beat, word and byte is where it belongs."""
    dut, rng = bench.dut, bench.rng
    content = bytes(bench.weights.read(0, SIZE))
    jobs = random_jobs(rng, 3)
    await offer(
        bench,
        dut.weights_in_valid,
        dut.weights_in_ready,
        [{dut.weights_in_job: pack(JOB, item)} for item in jobs],
    )
    await until(bench, lambda: len(bench.beats) == sum(item["beats"] for item in jobs))
    assert bench.beats == [
        int.from_bytes(content[at : at + 8], "little")
        for item in jobs
        for at in range(item["address"], item["address"] + 8 * item["beats"], 8)
    ]
    maps = bytes(bench.maps.read(0, SIZE))
    bench.written.clear()
    bench.there = 0
    item = random_tiles(rng, 1)[0]
    await pulse(bench, dut.tiles_begin)
    await offer(
        bench, dut.tiles_tile_valid, dut.tiles_tile_ready, [{dut.tiles_tile_packet: pack(TILE, item)}]
    )
    await until(bench, lambda: bench.there == 1)
    assert bench.written == list(tile_words(maps, item))
    await offer(bench, dut.rows_row_valid, dut.rows_row_ready, [row_signals(dut, row)])
    await until(bench, lambda: bytes(bench.maps.read(0x3000, 256)) == bench.l1[0][:256])
