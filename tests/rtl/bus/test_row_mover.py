"""The row mover: bytes that reach memory, and the cycle of every read and beat."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from rtl.bus.row_mover import FinishedRowMover
from tests.rtl.bus.axi_memory import WriteMemory, content, fewest_bursts
from tests.rtl.simulate import run

WORDS = 256
FIELDS = ("map", "word", "offset", "bytes", "address", "ends_unit", "ring")


def row(rng, *, length=None, offset=None, address=None, ring=WORDS, ends=False):
    length = int(rng.integers(1, 257)) if length is None else length
    offset = int(rng.integers(8)) if offset is None else offset
    address = int(rng.integers(0, 1 << 10)) * 8 + offset if address is None else address
    word = int(rng.integers(2 * ring if ring < WORDS else ring))
    return dict(
        map=int(rng.integers(2)),
        word=word,
        offset=address % 8,
        bytes=length,
        address=address,
        ends_unit=ends,
        ring=ring,
    )


def words_of(row):
    return (row["offset"] + row["bytes"] + 7) // 8


def places(row):
    """(byte within its L1 group, byte of memory) of each byte of a row."""
    for n in range(row["bytes"]):
        word, byte = divmod(row["offset"] + n, 8)
        yield (row["word"] + word) % row["ring"] * 8 + byte, row["address"] + n


def move(dut, memory, maps, rows, *, offer=lambda: True, cycles=4000, act=None):
    """Runs rows to idle; returns cycles of reads, of `unit_sent`, of row ends, and error addresses."""
    queue = deque(rows)
    reads, sent, ends, errors = [], [], [], []

    async def bench(ctx):
        offered, answer = False, None
        for cycle in range(cycles):
            memory.present(ctx)
            offered = offered or (bool(queue) and offer())
            ctx.set(dut.row_valid, offered)
            if offered:
                for name in FIELDS:
                    ctx.set(getattr(dut, f"row_{name}"), queue[0][name])
            # What was not read is noise.
            ctx.set(dut.read_data, 0xBAD0BAD0BAD0BAD0 if answer is None else answer)
            if act is not None:
                act(ctx, cycle)
            memory.observe(ctx)
            answer = None
            if ctx.get(dut.read_enable):
                at = ctx.get(dut.read_word) * 8
                answer = int.from_bytes(maps[ctx.get(dut.read_map)][at : at + 8], "little")
                reads.append(cycle)
            if ctx.get(dut.unit_sent):
                sent.append(cycle)
            if ctx.get(dut.error):
                errors.append(ctx.get(dut.error_address))
            if offered and ctx.get(dut.row_ready):
                queue.popleft()
                ends.append(cycle)
                offered = False
            await ctx.tick()
            if not queue and not offered and ctx.get(dut.idle):
                return

    run(dut, bench)
    return reads, sent, ends, errors


def check_values(before, memory, maps, rows):
    expected = bytearray(before)
    for item in rows:
        for source, target in places(item):
            expected[target] = maps[item["map"]][source]
    assert memory.content == expected
    assert [(a, bin(s).count("1")) for _, a, s in memory.written] == [
        (
            item["address"] // 8 * 8 + 8 * n,
            min(item["offset"] + item["bytes"], 8 * n + 8) - max(item["offset"], 8 * n),
        )
        for item in rows
        for n in range(words_of(item))
    ]


def test_one_word_a_cycle():
    """Reads from the first cycle on without a gap; W two cycles behind, AW with a row's first read."""
    rng = np.random.default_rng(0)
    maps = [content(rng, WORDS * 8) for _ in range(2)]
    rows = [row(rng, length=8, offset=0, ends=n % 4 == 3) for n in range(40)]
    rows += [row(rng, ends=bool(rng.integers(2))) for _ in range(20)]
    rows += [
        row(rng, length=256, offset=7),
        row(rng, length=16, address=4096 - 8),
        row(rng, length=250, address=4096 - 21),
        row(rng, length=1, offset=7, ends=True),
    ]
    rows += [row(rng, length=n, offset=1, ring=3) for n in (1, 7, 8, 70, 17)]
    dut = FinishedRowMover()
    memory = WriteMemory(dut, content(rng, 1 << 14), 10)
    before = bytes(memory.content)
    reads, sent, ends, errors = move(dut, memory, maps, rows)
    check_values(before, memory, maps, rows)
    total = sum(words_of(item) for item in rows)
    assert reads == list(range(total))
    assert [cycle for cycle, *_ in memory.written] == list(range(2, total + 2))
    last = np.cumsum([words_of(item) for item in rows]) - 1
    assert ends == last.tolist()
    assert sent == [cycle for cycle, item in zip(ends, rows, strict=True) if item["ends_unit"]]
    first = last - [words_of(item) - 1 for item in rows]
    assert set(first) <= {cycle for cycle, *_ in memory.bursts}
    assert len(memory.bursts) == sum(
        fewest_bursts(item["address"] // 8 * 8, words_of(item), 8) for item in rows
    )
    assert not errors


@pytest.mark.parametrize("seed", range(3))
def test_random_stalls(seed):
    rng = np.random.default_rng(seed)
    maps = [content(rng, WORDS * 8) for _ in range(2)]
    rows = [
        row(
            rng,
            length=int(rng.choice([1, 4, 8, 16, int(rng.integers(1, 257))])),
            ring=int(rng.choice([WORDS, 40])),
            ends=bool(rng.integers(2)),
        )
        for _ in range(50)
    ]
    dut = FinishedRowMover()
    memory = WriteMemory(dut, content(rng, 1 << 14), int(rng.integers(1, 60)), stalls=rng)
    before = bytes(memory.content)
    reads, sent, ends, errors = move(dut, memory, maps, rows, offer=lambda: rng.random() < 0.75)
    check_values(before, memory, maps, rows)
    assert len(reads) == sum(words_of(item) for item in rows)
    assert sent == [cycle for cycle, item in zip(ends, rows, strict=True) if item["ends_unit"]]
    assert not errors


def test_an_error_names_its_burst():
    rng = np.random.default_rng(0)
    maps = [content(rng, WORDS * 8)] * 2
    rows = [row(rng, length=256, address=0x100), row(rng, length=3, address=0x301), row(rng)]
    dut = FinishedRowMover()
    memory = WriteMemory(dut, bytearray(1 << 14), 3, faulty=[0x180, 0x300])
    *_, errors = move(dut, memory, maps, rows)
    assert errors == [0x180, 0x300]


@pytest.mark.parametrize("slow", [False, True])
def test_clear_in_the_middle_of_a_row(slow):
    """Bursts that are out get their beats, which write nothing; then rows move on."""
    rng = np.random.default_rng(0)
    maps = [content(rng, WORDS * 8)] * 2
    first, second = row(rng, length=256, address=0x800), row(rng, length=40, address=0x103)
    dut = FinishedRowMover()
    memory = WriteMemory(dut, content(rng, 1 << 14), 3)
    before = bytes(memory.content)
    queue = [second]

    def act(ctx, cycle):
        if slow and cycle < 10:
            ctx.set(dut.awready, 0)
        if cycle < 6:
            for name in FIELDS:
                ctx.set(getattr(dut, f"row_{name}"), first[name])
        ctx.set(dut.clear, cycle == 6)
        if 6 <= cycle < 60:
            ctx.set(dut.row_valid, 0)
        assert ctx.get(dut.idle) or cycle != 59

    reads, _, ends, errors = move(dut, memory, maps, queue, act=act)
    assert reads[:6] == list(range(6))
    assert len(reads) == 6 + words_of(second)
    assert len(ends) == 1
    assert not errors
    expected = bytearray(before)
    for source, target in places(second):
        expected[target] = maps[second["map"]][source]
    done = memory.content[0x800:0x900]
    assert memory.content[:0x800] + memory.content[0x900:] == expected[:0x800] + expected[0x900:]
    moved = [done[target - 0x800] for _, target in places(first)]
    assert moved[48:] == list(before[0x830:0x900])  # six words were read
