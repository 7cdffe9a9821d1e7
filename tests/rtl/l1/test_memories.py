"""On-chip memories against plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from rtl.geometry import Geometry
from rtl.l1.map_group import MapGroup
from rtl.l1.psum_store import PsumStore
from rtl.l1.sram import SinglePortSram, Sram
from sim.accelerator import load, preset
from sim.errors import InputError
from tests.rtl.simulate import run


def random_bits(rng: np.random.Generator, count: int) -> int:
    return int.from_bytes(rng.bytes(-(-count // 8)), "little") & ((1 << count) - 1)


def merged(old: int, new: int, enable: int, unit: int, units: int) -> int:
    """`new` in the fields of `unit` bits that `enable` selects, `old` elsewhere."""
    for n in range(units):
        if enable >> n & 1:
            mask = (1 << unit) - 1 << unit * n
            old = old & ~mask | new & mask
    return old


@pytest.mark.parametrize(("depth", "width", "granularity"), [(1, 8, 8), (5, 24, 8), (16, 64, 64)])
def test_sram_reads_what_was_written_a_cycle_later_and_holds_it(depth, width, granularity):
    dut = Sram(depth=depth, width=width, granularity=granularity)
    rng = np.random.default_rng(depth)
    units = width // granularity
    words = [0] * depth

    async def bench(ctx):
        shown = None
        for _ in range(300):
            address, target = (int(n) for n in rng.integers(depth, size=2))
            enable, data = random_bits(rng, units), random_bits(rng, width)
            reads = rng.random() < 0.6 and not (enable and address == target)
            for port, value in (
                ("write_enable", enable),
                ("write_address", target),
                ("write_data", data),
                ("read_enable", reads),
                ("read_address", address),
            ):
                ctx.set(getattr(dut, port), value)
            if reads:
                shown = words[address]
            words[target] = merged(words[target], data, enable, granularity, units)
            await ctx.tick()
            if shown is not None:
                assert ctx.get(dut.read_data) == shown

    run(dut, bench)


def test_single_port_sram_reads_or_writes():
    depth, width = 5, 40
    dut = SinglePortSram(depth=depth, width=width)
    rng = np.random.default_rng(5)
    words = [0] * depth

    async def bench(ctx):
        for _ in range(300):
            enable, write = (bool(b) for b in rng.random(2) < 0.6)
            address, data = int(rng.integers(depth)), random_bits(rng, width)
            for port, value in (
                ("enable", enable),
                ("write", write),
                ("address", address),
                ("write_data", data),
            ):
                ctx.set(getattr(dut, port), value)
            await ctx.tick()
            if enable and write:
                words[address] = data
            elif enable:
                assert ctx.get(dut.read_data) == words[address]

    run(dut, bench)


@pytest.mark.parametrize(
    "dut", [Sram(depth=6, width=8, granularity=4), SinglePortSram(depth=6, width=8)], ids=["1r1w", "1rw"]
)
def test_self_test_has_the_memory_to_itself(dut):
    async def bench(ctx):
        functional = [port for port, member in dut.signature.members.items() if not port.startswith("bist_")]
        ctx.set(dut.bist_enable, 1)
        for step in range(12):
            for port in functional:
                if port != "read_data":  # what the accelerator asks for meanwhile does nothing
                    ctx.set(getattr(dut, port), (1 << len(getattr(dut, port))) - 1)
            ctx.set(dut.bist_address, step % 6)
            ctx.set(dut.bist_write, step < 6)
            ctx.set(dut.bist_read, step >= 6)
            ctx.set(dut.bist_write_data, 17 * step)
            await ctx.tick()
            if step >= 6:
                assert ctx.get(dut.read_data) == 17 * (step - 6)

    run(dut, bench)


@pytest.mark.parametrize(("words", "banks"), [(7, 1), (16, 2), (26, 4), (64, 8)])
def test_map_group_reads_and_writes_runs_of_words_anywhere(words, banks):
    dut = MapGroup(words=words, banks=banks)
    rng = np.random.default_rng(words)
    memory = bytearray(8 * (words + banks))

    async def bench(ctx):
        shown = known = 0
        for _ in range(400):
            read_word, write_word = (int(n) for n in rng.integers(words, size=2))
            enable, data = random_bits(rng, 8 * banks), random_bits(rng, 64 * banks)
            # Nothing beyond the group, and nothing that is read in this cycle.
            for n in range(banks):
                word = write_word + n
                if word >= words or 0 <= word - read_word < banks:
                    enable &= ~(0xFF << 8 * n)
            reads = bool(rng.random() < 0.7)
            for port, value in (
                ("write_enable", enable),
                ("write_word", write_word),
                ("write_data", data),
                ("read_enable", reads),
                ("read_word", read_word),
            ):
                ctx.set(getattr(dut, port), value)
            if reads:
                shown = int.from_bytes(memory[8 * read_word : 8 * (read_word + banks)], "little")
                known = (1 << 64 * min(banks, words - read_word)) - 1
            for n in range(8 * banks):
                if enable >> n & 1:
                    memory[8 * write_word + n] = data >> 8 * n & 0xFF
            await ctx.tick()
            assert ctx.get(dut.read_data) & known == shown & known

    run(dut, bench)


def psum_traffic(rng: np.random.Generator, latency: int) -> dict[int, dict[str, int]]:
    """Reads and writes of a few stripes, {cycle: {"read" | "write": row}}, as docs/timing.md orders them.

    Stripes of A rows a pixel and a few chunks; slots of T tokens, as short as section 2 allows or a bit longer.
    """
    events: dict[int, dict[str, int]] = {}
    longer = rng.choice([0, 0, 1, 3])
    start = end = 0
    for _ in range(rng.integers(1, 4)):
        a = int(rng.integers(1, 17))
        pixels = int(rng.choice([1, 2, 3, 5, int(rng.integers(1, 48))]))
        chunks = int(rng.integers(2, 5))
        fence = pixels - 1 < latency + a
        for chunk in range(chunks):
            reads, writes = a * (chunk > 0), a * (chunk < chunks - 1)
            tokens = a * int(rng.choice([1, 1, 2, 2, 3, int(rng.integers(1, 7))]))
            if reads and fence:
                start = max(start, end + latency + 2 * a)
            for pixel in range(pixels):
                for i in range(reads):
                    events.setdefault(start + latency - 2 + i, {})["read"] = pixel * a + i
                for i in range(writes):
                    events.setdefault(start + tokens - a + latency + i, {})["write"] = pixel * a + i
                end = start + tokens - 1
                following = reads
                if pixel == pixels - 1:
                    following = a * (chunk < chunks - 1 and not fence)
                start += max(tokens, writes + following) + int(rng.integers(0, longer + 1))
    return events


@pytest.mark.parametrize(("preset_name", "seeds"), [("ews-4", 24), ("ews-16", 8)])
def test_psum_store_holds_every_pattern_of_slots(preset_name, seeds):
    acc = preset(preset_name)
    dut = PsumStore(accelerator=acc)
    rng = np.random.default_rng(11)
    stored: dict[int, int] = {}
    waited = [0]

    async def bench(ctx):
        for seed in range(seeds):
            traffic = psum_traffic(np.random.default_rng(seed), acc.latency)
            expected = None
            for cycle in range(min(traffic), max(traffic) + 3):
                event = traffic.get(cycle, {})
                data = random_bits(rng, 32 * acc.columns)
                for port in ("read", "write"):
                    ctx.set(getattr(dut, port), port in event)
                    ctx.set(getattr(dut, f"{port}_row"), event.get(port, int(rng.integers(dut.rows))))
                ctx.set(dut.write_data, data)
                assert not ctx.get(dut.overflow)
                if expected is not None:
                    assert ctx.get(dut.read_data) == expected
                expected = stored[event["read"]] if "read" in event else None
                waited[0] += "read" in event and "write" in event
                if "write" in event:
                    stored[event["write"]] = data
                await ctx.tick()

    run(dut, bench)
    assert waited[0] > 30


def test_psum_store_tells_when_a_write_is_lost():
    dut = PsumStore(accelerator=preset("ews-4"))

    async def bench(ctx):
        for port in ("read", "write"):
            ctx.set(getattr(dut, port), 1)
        assert not ctx.get(dut.overflow)
        await ctx.tick()
        assert ctx.get(dut.overflow)

    run(dut, bench)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Sram(depth=0, width=8, granularity=8), "depth"),
        (lambda: Sram(depth=4, width=12, granularity=8), "granularity"),
        (lambda: SinglePortSram(depth=4, width=0), "width"),
        (lambda: MapGroup(words=64, banks=3), "banks"),
        (lambda: MapGroup(words=1 << 17, banks=4), "words"),
        (lambda: PsumStore(accelerator=load("ews-16", {"psum_banks": 7})), "psum_banks"),
        (lambda: PsumStore(accelerator=load("ews-4", {"l1_bytes": 1 << 30})), "l1_bytes"),
    ],
)
def test_impossible_memories_are_refused(make, field):
    with pytest.raises(InputError) as error:
        make()
    assert error.value.field == field


@pytest.mark.parametrize(
    ("preset_name", "banks", "rows"),
    [("ews-4", 1, 4096), ("ews-16", 2, 1024), ("ews-64", 8, 512), ("ews-20x8", 4, 2048)],
)
def test_sizes_of_the_groups(preset_name, banks, rows):
    acc = preset(preset_name)
    geometry = Geometry(acc)
    assert (geometry.accelerator.map_banks, geometry.psum_rows) == (banks, rows)
    words = (*geometry.map_words, geometry.residual_words)
    assert [8 * n * share for n, share in zip(words, (4, 8, 8), strict=True)] == [acc.l1_bytes] * 3
