"""The ifmap loader against im2col in NumPy, and every cycle of it against the contract."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from rtl import packets
from rtl.geometry import Geometry
from rtl.ifmap.ifmap_loader import IfmapLoader
from sim.accelerator import Accelerator, load
from sim.errors import InputError
from sim.systolic.engine import sequencer_step
from tests.rtl.simulate import fields, run

WORDS = 1 << 16
LAG = 4  # from the turn of a vector to its read, and from the issue of a token to its request


@dataclass
class Chunk:
    """A chunk of the test: packet fields, and what a sequencer knows of it."""

    fields: dict[str, int]
    hold: int  # tokens that one vector serves
    visit: int
    vectors: np.ndarray | None = None  # [row, column, q, r, H] by im2col
    valid_from: int = 0

    def __getattr__(self, name: str) -> int:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None

    def fetches(self, pixel: int) -> list[bool]:
        """The vectors fetched for a pixel, in order: whether each is an access or padding."""
        row, column = divmod(pixel, self.width)
        start = self.ky * self.kernel_x + self.kx
        accesses = []
        for position in range(start, start + self.d):
            ky, kx = divmod(position, self.kernel_x)
            before = position + self.stride_x  # where the pixel before read this column
            if self.reuse and column and before // self.kernel_x == ky and before < start + self.d:
                continue
            y = self.y + row * self.stride_y + ky * self.dilation_y
            x = self.x + column * self.stride_x + kx * self.dilation_x
            accesses += [0 <= y < self.lines and 0 <= x < self.line_pixels] * self.b
        return accesses


def im2col(chunk: Chunk, memory: np.ndarray, array_rows: int) -> np.ndarray:
    """int [row, column, q, r, H]: what tokens of the chunk multiply; -1 in lanes without a channel."""
    words = chunk.base + (
        np.arange(chunk.lines)[:, None, None] * chunk.line
        + np.arange(chunk.line_pixels)[:, None] * chunk.pitch
        + np.arange(chunk.pitch)
    )
    tile = memory[chunk.map].reshape(-1, 8)[words].reshape(chunk.lines, chunk.line_pixels, -1)
    margin = 64
    padded = np.pad(tile, ((margin, margin), (margin, margin), (0, 0)), constant_values=chunk.zero)
    height = chunk.pixels // chunk.width
    result = np.full((height, chunk.width, chunk.d, chunk.b, array_rows), -1)
    first = chunk.ky * chunk.kernel_x + chunk.kx
    for q in range(chunk.d):
        ky, kx = divmod(first + q, chunk.kernel_x)
        y = margin + chunk.y + ky * chunk.dilation_y + chunk.stride_y * np.arange(height)
        x = margin + chunk.x + kx * chunk.dilation_x + chunk.stride_x * np.arange(chunk.width)
        for r in range(chunk.b):
            rows = chunk.rows_tail if r == chunk.b - 1 else chunk.rows
            low = chunk.channel + r * array_rows
            result[:, :, q, r, :rows] = padded[y[:, None], x[None, :], low : low + rows]
    return result


class Axis(NamedTuple):
    """Outputs of a tile along one axis, and the window that they take."""

    outputs: int
    stride: int
    kernel: int
    dilation: int
    padding: int


def random_tile(rng: np.random.Generator, pitch: int, down: Axis, across: Axis) -> dict[str, int]:
    """Where a tile lies in its bank, and its part of the map: the padding is often beyond it."""
    lines, line_pixels = (
        max(
            1,
            (axis.outputs - 1) * axis.stride
            + (axis.kernel - 1) * axis.dilation
            + 1
            - int(rng.integers(0, 2 * axis.padding + 1)),
        )
        for axis in (down, across)
    )
    line = pitch * line_pixels + int(rng.integers(0, 3))
    return {
        "base": int(rng.integers(0, WORDS - line * lines)),
        "line": line,
        "lines": lines,
        "line_pixels": line_pixels,
        "y": -down.padding,
        "x": -across.padding,
        "width": across.outputs,
        "pixels": across.outputs * down.outputs,
    }


def random_layer(rng: np.random.Generator, acc: Accelerator, visit: int) -> list[Chunk]:
    """Chunks of one layer: visits of one or more stripes, steps over channel groups and kernel subsets."""
    banks = acc.map_banks
    ky, kx = (int(rng.choice([1, 1, 2, 3, 3, 5])) for _ in range(2))
    stride_y, stride_x = (int(rng.choice([1, 1, 2, 3])) for _ in range(2))
    dilation_y, dilation_x = (int(rng.choice([1, 1, 1, 2])) for _ in range(2))
    width, height = int(rng.integers(1, 7)), int(rng.integers(1, 4))
    pad_y, pad_x = int(rng.integers(0, ky)), int(rng.integers(0, kx))
    positions = ky * kx
    most = min(acc.arf_depth // 2, acc.wrf_depth)
    d = int(rng.integers(1, min(positions, most) + 1))
    b = int(rng.integers(1, max(1, min(most // d, 3)) + 1))
    channels = int(rng.integers(1, 2 * b * acc.rows + 1))
    # A part of a grouped layer may begin at any multiple of 4 from which a vector fits the banks.
    part = int(rng.integers(0, 3)) * (4 if 4 + min(channels, acc.rows) <= 8 * banks and acc.rows % 8 else 8)
    if channels <= 4:
        part = int(rng.integers(0, 5)) * 4
    pitch = -(-(part + channels) // 8) + int(rng.integers(0, 2))
    shared = {
        "map": int(rng.integers(2)),
        "pitch": pitch,
        "kernel_x": kx,
        "stride_y": stride_y,
        "stride_x": stride_x,
        "dilation_y": dilation_y,
        "dilation_x": dilation_x,
        "zero": int(rng.integers(256)),
        "reuse": int(dilation_x == 1 and rng.random() < 0.8),
    }
    axes = (Axis(height, stride_y, ky, dilation_y, pad_y), Axis(width, stride_x, kx, dilation_x, pad_x))
    chunks = []
    for _ in range(rng.integers(1, 4)):
        tile = random_tile(rng, pitch, *axes)
        opens = 1
        for _ in range(rng.integers(1, 3)):  # stripes
            a, u = int(rng.choice([1, 1, 1, 2, 3])), int(rng.choice([1, 1, 2]))
            groups = -(-channels // acc.rows)
            for j in range(0, groups, b):
                for k in range(0, positions, d):
                    count = min(b, groups - j)
                    chunks.append(
                        Chunk(
                            shared
                            | tile
                            | {
                                "a": a,
                                "b": count,
                                "u": u,
                                "d": min(d, positions - k),
                                "rows": acc.rows,
                                "rows_tail": min(acc.rows, channels - (j + count - 1) * acc.rows),
                                "channel": part + j * acc.rows,
                                "ky": k // kx,
                                "kx": k % kx,
                                "opens": opens,
                                "begins": int(not chunks),
                                "ends": 0,
                            },
                            hold=a * u,
                            visit=visit,
                        )
                    )
                    opens = 0
        visit += 1
    chunks[-1].fields["ends"] = 1
    for chunk in chunks:
        chunk.fields |= {"fetch_row": len(chunk.fetches(0)), "fetch_in": len(chunk.fetches(1))}
    return chunks


def packet(layout, fields: dict[str, int]) -> int:
    word = 0
    for name, value in fields.items():
        part = layout[name]
        word |= (value & (1 << part.width) - 1) << part.offset
    return word


class Bench:
    """Plays sequencer, tile mover and L1, and knows for every cycle what the loader has to do."""

    def __init__(self, acc: Accelerator, seed: int, layers: int) -> None:
        self.acc, self.rng = acc, np.random.default_rng(seed)
        self.dut = IfmapLoader(accelerator=acc)
        self.memory = self.rng.integers(0, 256, (2, 8 * WORDS), dtype=np.uint8)
        self.chunks: list[Chunk] = []
        for _ in range(layers):
            self.chunks += random_layer(self.rng, acc, self.chunks[-1].visit + 1 if self.chunks else 0)
        for chunk in self.chunks:
            chunk.vectors = im2col(chunk, self.memory, acc.rows)
        self.hurry = seed % 2 == 0  # everything comes as early as it may
        self.seen = dict.fromkeys(("accesses", "tile early", "tile late", "queue late", "back to back"), 0)

    def pause(self, most: int) -> int:
        return 0 if self.hurry or self.rng.random() < 0.7 else int(self.rng.integers(1, most))

    def l1_words(self, group: int, word: int) -> int:
        banks = self.acc.map_banks
        return int.from_bytes(self.memory[group, 8 * word : 8 * (word + banks)].tobytes(), "little")

    async def drive(self, ctx) -> None:
        dut, rng, chunks, seen = self.dut, self.rng, self.chunks, self.seen
        banks, layout = self.acc.map_banks, packets.chunk(Geometry(self.acc))
        head = 0  # of the queue
        window: tuple[int, int] | None = None  # chunk and pixel to fetch, set when the slot before it starts
        latched = False  # the loader knows the window's chunk
        begun: int | None = None  # cycle in which the fetch of the window began
        slot = (0, 0, -(1 << 20))  # chunk, pixel, first cycle
        slot_end = 2  # first cycle in which another may start, or a layer
        allowed_at = tile_at = tiles = opened = visits = 0
        arriving = 0
        expected: np.ndarray | None = None
        # What happens LAG cycles later: (whether L1 is read, its group), and vectors that are asked for.
        reads: list[tuple[bool, int]] = [(False, 0)] * LAG
        asks: list[tuple[int, int, int] | None] = [None] * LAG
        t = 0
        while head < len(chunks) or window or t < slot_end + 4 + LAG:
            valid = head < len(chunks) and t >= chunks[head].valid_from
            loads = window is None and valid and t >= slot_end
            due = (
                window is not None
                and begun is not None
                and t >= begun + len(chunks[window[0]].fetches(window[1]))
            )
            starts = due and t >= slot_end
            missing = (
                window is not None
                and latched
                and begun is None
                and bool(chunks[window[0]].opens)
                and tiles == opened
                and window[1] == 0
            )

            if loads:
                window, latched, begun = (head, 0), False, None
                allowed_at = t + int(rng.choice([0, 1, 5]))
                visits = 1 + next(chunk.visit for chunk in chunks[head:] if chunk.ends)
            if starts:
                seen["back to back"] += t == slot[2] + 1
                n, pixel = window
                slot, slot_end, begun = (n, pixel, t), t + chunks[n].d * chunks[n].b * chunks[n].hold, None
                window = (n, pixel + 1)
                if pixel + 1 == chunks[n].pixels:
                    window, latched = (n + 1, 0), False
                    if chunks[n].ends:
                        window = None
                    elif head == n + 1 and not self.hurry and rng.random() < 0.3:
                        chunks[n + 1].valid_from = t + int(rng.integers(0, 12))
                        valid = t >= chunks[n + 1].valid_from
                if window:
                    slot_end = max(slot_end, t + len(chunks[window[0]].fetches(window[1])))
                slot_end += self.pause(6)
            if window and begun is None:
                chunk = chunks[window[0]]
                opens = window[1] == 0 and chunk.opens
                if window[1] == 0 and not latched:
                    latched = valid and head == window[0]
                    seen["queue late"] += latched and not starts and not loads
                if (
                    (latched or window[1])
                    and not (opens and tiles == opened)
                    and not (window == (window[0], 0) and chunk.begins and t < allowed_at)
                ):
                    begun = t
                    opened += opens
                    seen["tile early" if starts else "tile late"] += opens
            # Two tiles wait for their visits at most.
            tile_there = tiles < visits and tiles - opened < 2 and t >= tile_at
            if tile_there:
                tile_at = t + 1 + self.pause(60)
            number, slot_pixel, first = slot
            vector, rest = divmod(t - first, chunks[number].hold)
            request = rest == 0 and vector < chunks[number].d * chunks[number].b
            asks.append((number, slot_pixel, vector) if request else None)
            ahead, asked = asks[1], asks.pop(0)
            for port, value in (
                ("chunk_valid", valid),
                ("load", loads),
                ("allowed", t >= allowed_at),
                ("starts", starts),
                ("chunk", packet(layout, chunks[head].fields) if valid else int(rng.integers(1 << 30))),
                ("tile_there", tile_there),
                ("request", ahead is not None),
                ("read_data", arriving),
            ):
                ctx.set(getattr(dut, port), value)
            assert ctx.get(dut.ready) == due, t
            assert ctx.get(dut.tile_missing) == missing, t
            accesses = chunks[window[0]].fetches(window[1]) if window else []
            access = begun is not None and t - begun < len(accesses) and accesses[t - begun]
            reads.append((bool(access), chunks[window[0]].map if access else 0))
            access, group = reads.pop(0)
            assert ctx.get(dut.read_enable) == access, t
            arriving = int.from_bytes(rng.bytes(8 * banks), "little")
            if access:
                seen["accesses"] += 1
                assert ctx.get(dut.read_map) == group
                arriving = self.l1_words(group, ctx.get(dut.read_word))
            if expected is not None:
                given = np.array(fields(ctx.get(dut.activation), 8, self.acc.rows))
                assert np.array_equal(given[expected >= 0], expected[expected >= 0]), t
            if asked is not None:
                number, slot_pixel, vector = asked
                q, r = divmod(vector, chunks[number].b)
                expected = chunks[number].vectors[(*divmod(slot_pixel, chunks[number].width), q, r)]

            # The sequencer takes the head some time before its first slot.
            known = window is not None and window[1] == 0 and latched and head == window[0]
            if known and (
                loads or rng.random() < 0.3 or (begun is not None and t + 1 >= begun + len(accesses))
            ):
                head += 1
            await ctx.tick()
            tiles += tile_there
            t += 1


@pytest.mark.parametrize(
    ("name", "changes", "seeds"),
    [
        ("ews-8", {}, (0, 1, 2, 9, 11, 12)),
        ("ews-4", {"wrf_depth": 32}, range(8, 10)),
        ("ews-12", {"arf_depth": 9}, range(12, 14)),
        ("ews-16x8", {}, range(16, 18)),
        ("ws-8", {}, range(20, 22)),
        pytest.param("ews-8", {}, range(100, 130), marks=pytest.mark.slow),
        pytest.param("ews-20x4", {}, range(200, 215), marks=pytest.mark.slow),
    ],
)
def test_every_vector_in_its_cycle(name, changes, seeds):
    seen: dict[str, int] = {}
    for seed in seeds:
        bench = Bench(load(name, changes), seed, layers=4)
        run(bench.dut, bench.drive)
        l1_words = sum(sum(chunk.fetches(pixel)) for chunk in bench.chunks for pixel in range(chunk.pixels))
        assert bench.seen["accesses"] == l1_words
        seen = {key: count + seen.get(key, 0) for key, count in bench.seen.items()}
    assert min(seen.values()) > 0, seen


def test_the_engine_counts_the_same_accesses(monkeypatch):
    monkeypatch.setattr(sequencer_step, "_inside", sequencer_step._inside.py_func)
    acc = load("ews-8")
    rng = np.random.default_rng(3)
    chunks = [chunk for _ in range(12) for chunk in random_layer(rng, acc, 0)]
    for chunk in chunks:
        one = SimpleNamespace(
            tile=0, left=0, width=chunk.width, D=chunk.d, position=chunk.ky * chunk.kernel_x + chunk.kx
        )
        geometry = {
            name: chunk.fields[name]
            for name in ("reuse", "kernel_x", "stride_y", "stride_x", "dilation_y", "dilation_x")
        }
        layer = SimpleNamespace(
            pad_y=-chunk.y, pad_x=-chunk.x, height=chunk.lines, width=chunk.line_pixels, **geometry
        )
        vectors = sequencer_step.vectors_inside.py_func(one, 0, chunk.pixels, layer.reuse, layer)
        assert vectors * chunk.b == sum(sum(chunk.fetches(pixel)) for pixel in range(chunk.pixels))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rows": 6, "tile_rows": 2}, "rows"),
        ({"ifmap_banks": 1, "rows": 12}, "ifmap_banks"),
        ({"arf_depth": 1}, "arf_depth"),
    ],
)
def test_impossible_loaders_are_refused(changes, field):
    with pytest.raises(InputError) as error:
        IfmapLoader(accelerator=load("ews-8", changes))
    assert error.value.field == field
