"""The accelerator without a clock: walks packets and memory as docs/hardware.md and docs/timing.md say.

Shares nothing with the compiler but the field names and widths of `rtl.packets`. L1 is bytes, poisoned where
no one has written; tiles come as early and finished rows leave as late as L1 allows.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from rtl import packets
from rtl.geometry import Geometry

SIGNED = ("y", "x", "zero", "low", "high", "own_zero", "other_zero", "add_zero", "add_low", "add_high")


class Packet:
    """The fields of one packet as attributes."""

    def __init__(self, layout, words):
        value = sum(int(word) << 64 * n for n, word in enumerate(words))
        at = 0
        for name, field in layout:  # field order is bit order
            raw = value >> at & (1 << field.width) - 1
            if name in SIGNED and raw >> field.width - 1:
                raw -= 1 << field.width
            setattr(self, name.replace("pass", "kind").replace("from", "source"), raw)
            at += field.width
        assert value >> at == 0

    def group(self, prefix):
        return {name[len(prefix) :]: value for name, value in vars(self).items() if name.startswith(prefix)}


class Reader:
    """One stream, word by word."""

    def __init__(self, memory, stream, layout):
        start = stream.address // 8
        self.words = memory[start : start + stream.words].copy()
        self.layout, self.at = layout, 0

    def take(self, count):
        assert self.at + count <= len(self.words), "the stream ends within a packet"
        self.at += count
        return self.words[self.at - count : self.at]

    def packet(self):
        bits = sum(field.width for _, field in self.layout)
        return Packet(self.layout, self.take(-(-bits // 64)))

    def peek(self):
        at, packet = self.at, self.packet()
        self.at = at
        return packet

    @property
    def done(self):
        return self.at == len(self.words)


class Machine:
    def __init__(self, accelerator, memory, streams, rom=None, seed=0):
        self.acc, self.rng = accelerator, np.random.default_rng(seed)
        geometry = Geometry(accelerator)
        self.streams = {
            name: Reader(memory, streams[name], packets.LAYOUTS[name](geometry)) for name in packets.STREAMS
        }
        self.memory = memory.copy().view(np.uint8)
        size = accelerator.l1_bytes
        self.maps = [np.zeros(size // 4, np.uint8), np.zeros(size // 8, np.uint8)]
        self.residual = np.zeros(size // 8, np.uint8)
        self.codebook = None if rom is None else rom.astype(np.int64)
        self.waiting = []  # finished rows: pixel, group, bytes of L1, address
        self.finished = 0  # pixels of stripes so far
        self.masks = legal_masks(accelerator.keep, accelerator.group)
        self.waits = {"jobs": 0, "tiles": 0}
        self.layers = 0

    def run(self):
        stripes = self.streams["units"]
        while not stripes.done:
            if stripes.peek().kind:
                self.vector_pass(stripes.packet())
            else:
                self.convolution()
            self.layers += 1
        assert all(reader.done for reader in self.streams.values())
        return self.memory.view(np.uint64)

    def poison(self, array):
        array[:] = self.rng.integers(0, 256, len(array))

    # ---- convolution

    def convolution(self):
        tiles, chunks = self.streams["tiles"], self.streams["chunks"]
        first = tiles.peek()
        assert first.begins == chunks.peek().begins == 1
        from_l1 = first.ifmap_beats == 0 and chunks.peek().lines > 0
        for group in (0, 1):
            if not (from_l1 and group == chunks.peek().map):
                self.poison(self.maps[group])
        self.poison(self.residual)
        loaded, visit, self.stored = 0, -1, None
        while True:
            chunk = chunks.packet()
            if chunk.opens:
                visit += 1
                while (
                    loaded < visit + first.buffers
                    and not tiles.done
                    and (loaded == 0 or not tiles.peek().begins)
                ):
                    tile = tiles.packet()
                    assert tile.buffers == first.buffers
                    self.waits["tiles"] += tile.wait
                    self.bring(self.maps[0], tile.group("ifmap_"))
                    self.bring(self.residual, tile.group("residual_"))
                    loaded += 1
            assert 0 <= visit < loaded
            self.chunk(chunk, visit)
            if chunk.ends:
                break
        assert tiles.done or tiles.peek().begins, "tiles that no chunk reads"
        self.leave(0)

    def bring(self, group, transfer):
        to = 8 * transfer["to"]
        for plane in range(transfer["planes"] if transfer["beats"] else 0):
            for line in range(transfer["lines"]):
                at = transfer["address"] + plane * transfer["plane_stride"] + line * transfer["line_stride"]
                assert at % 8 == 0
                size = 8 * transfer["beats"]
                assert to + size <= len(group), "a tile beyond its group"
                group[to : to + size] = self.memory[at : at + size]
                to += size

    def chunk(self, c, visit):
        jobs = self.streams["jobs"]
        job = jobs.packet()
        self.waits["jobs"] += job.wait
        if job.codebook:
            assert c.begins
            bits = self.bits(job)
            assert job.beats == -(-8 * job.entries * self.acc.codeword_length // self.acc.weight_port_bits)
            self.codebook = numbers(bits, 8, job.entries * self.acc.codeword_length, signed=True).reshape(
                job.entries, -1
            )
            job = jobs.packet()
            self.waits["jobs"] += job.wait
        assert (job.codebook, job.serial) == (0, c.serial)
        for name in ("a", "b", "u", "d", "rows", "rows_tail"):
            assert getattr(job, name) == getattr(c, name)
        depth = self.acc.wrf_depth if c.serial else self.acc.wrf_depth // 2
        assert c.a * c.b * c.u * c.d <= depth
        weights = self.weights(job)
        pixel = np.arange(c.pixels)
        group = self.maps[c.map]
        if c.first:
            psums = np.zeros((c.a, c.pixels, self.acc.columns), np.int64)
        else:
            psums = self.stored
            assert psums.shape == (c.a, c.pixels, self.acc.columns)
        entry = 0
        for q in range(c.d):
            ky, kx = divmod(c.ky * c.kernel_x + c.kx + q, c.kernel_x)
            y = c.y + pixel // c.width * c.stride_y + ky * c.dilation_y
            x = c.x + pixel % c.width * c.stride_x + kx * c.dilation_x
            inside = (y >= 0) & (y < c.lines) & (x >= 0) & (x < c.line_pixels)
            at = 8 * (c.base + y * c.line + x * c.pitch) + c.channel
            for r in range(c.b):
                rows = c.rows_tail if r == c.b - 1 else c.rows
                place = at[:, None] + r * self.acc.rows + np.arange(rows)
                assert (place[inside] < len(group)).all()
                vectors = np.full((c.pixels, rows), c.zero, np.int64)
                vectors[inside] = group[place[inside]].view(np.int8)
                for _ in range(c.u):
                    for s in range(c.a):
                        psums[s] += vectors @ weights[entry][:rows]
                        entry += 1
        self.stored = (psums + (1 << 31)) % (1 << 32) - (1 << 31)
        assert c.last or 4 * self.acc.columns * c.a * c.pixels <= self.acc.l1_bytes // 2
        if c.last:
            self.stripe(c, visit)

    # ---- weights

    def bits(self, job):
        assert job.address % (self.acc.weight_port_bits // 8) == 0
        data = self.memory[job.address : job.address + job.beats * self.acc.weight_port_bits // 8]
        return np.unpackbits(data, bitorder="little")

    def weights(self, job):
        """One [H, L] matrix for each entry."""
        acc, bits, at, found = self.acc, self.bits(job), 0, []
        for _ in range(job.d):
            for r in range(job.b):
                rows = job.rows_tail if r == job.b - 1 else job.rows
                for u in range(job.u):
                    for s in range(job.a):
                        width = job.row_bits_tail if s == job.a - 1 else job.row_bits
                        matrix = np.zeros((acc.rows, acc.columns), np.int64)
                        for h in range(rows):
                            self.row(job, matrix[h], h, u, bits[at : at + width])
                            at += width
                        found.append(matrix)
        assert -(-at // acc.weight_port_bits) == job.beats, "beats that no row needs"
        return found

    def row(self, job, out, h, u, bits):
        acc, d = self.acc, self.acc.codeword_length
        if job.raw:
            values = numbers(bits, 8, len(bits) // 8, signed=True)
            if job.diagonal:
                first = h // job.block_inputs * job.block_outputs
                assert len(values) == job.block_outputs
                out[first : first + len(values)] = values
            elif acc.sparse_tile:
                kept = d * acc.keep // acc.group
                for n, value in enumerate(values):
                    out[n // kept * d + u * kept + n % kept] = value
            else:
                out[: len(values)] = values
            return
        masked, signed = acc.format == "mvq", acc.format == "ssvq"
        codes = d // acc.group if masked else 0
        masks = self.masks
        code_bits = max(1, (len(masks) - 1).bit_length())
        at = n = 0
        while at < len(bits):
            keep = np.ones(d, bool)
            for g in range(codes):
                keep[g * acc.group : (g + 1) * acc.group] = masks[number(bits[at : at + code_bits])]
                at += code_bits
            signs = np.zeros(d, bool)
            if signed:
                signs = bits[at : at + d].astype(bool)
                at += d
            word = self.codebook[number(bits[at : at + job.index_bits])]
            at += job.index_bits
            out[n * d : (n + 1) * d] = np.where(keep, np.where(signs, -word, word), 0)
            n += 1
        assert at == len(bits)

    # ---- finished rows

    def stripe(self, c, visit):
        stream = self.streams["units"]
        u = stream.packet()
        assert (u.kind, u.a, u.pixels, u.store) == (0, c.a, c.pixels, c.store)
        assert (u.map, u.ends) == (1 - c.map, c.ends)
        columns = self.acc.columns
        words = [int(word) for word in stream.take(u.a * columns)]
        bias = np.array([word & 0xFFFFFFFF for word in words], np.int64)
        bias[bias >= 1 << 31] -= 1 << 32
        multiplier = np.array([word >> 32 & 0xFFFF for word in words], np.int64)
        shift = np.array([word >> 48 & 0x3F for word in words], np.int64)
        size = 4 if u.wide else 1
        for p in range(u.pixels):
            self.finished += 1
            for s in range(u.a):
                used = u.columns_tail if s == u.a - 1 else u.columns
                part = slice(s * columns, s * columns + used)
                total = self.stored[s, p, :used] + bias[part]
                assert (abs(total) < 1 << 31).all()
                if u.wide:
                    row = total.astype("<i4").view(np.uint8)
                else:
                    row = requantized(total * multiplier[part], shift[part], u.zero, u.low, u.high)
                if u.residual:
                    at = 8 * (u.source + p * u.source_pitch) + u.source_channel + s * columns
                    assert at + used <= len(self.residual)
                    other = self.residual[at : at + used].view(np.int8).astype(np.int64)
                    total = (row - u.own_zero) * u.own_multiplier + (
                        other - u.other_zero
                    ) * u.other_multiplier
                    row = requantized(total, u.shift, u.add_zero, u.add_low, u.add_high)
                if not u.wide:
                    row = row.astype(np.int8).view(np.uint8)
                self.finish(u, p, u.channel + s * columns * size, row)
            self.leave(max(u.ring // max(u.to_pitch, 1) - 1, 0))

    def finish(self, u, pixel, offset, row):
        """A row into L1, from where it has yet to go to memory."""
        place = 8 * (u.to + pixel * u.to_pitch) + offset + np.arange(len(row))
        place = place // 8 % u.ring * 8 + place % 8
        assert place.max() < len(self.maps[u.map]), "rows beyond their group"
        self.maps[u.map][place] = row
        self.waiting.append((self.finished, u.map, place, place_in_memory(u, pixel) + offset))

    def leave(self, most):
        """The oldest rows go to memory until only those of at most so many pixels wait."""
        while self.waiting and self.waiting[0][0] <= self.finished - most:
            _, group, place, address = self.waiting.pop(0)
            self.memory[address : address + len(place)] = self.maps[group][place]

    # ---- passes

    def vector_pass(self, u):
        assert (u.ends, u.wide, u.residual) == (1, 0, 0)
        source, columns = self.maps[1 - u.map], self.acc.requant_lanes
        self.poison(self.maps[u.map])
        for p in range(u.pixels):
            for g in range(u.groups):
                used = u.columns_tail if g == u.groups - 1 else u.columns
                values = []
                for wy in range(u.window_y):
                    for wx in range(u.window_x):
                        y = p // u.width * u.stride_y + wy - u.pad_y
                        x = p % u.width * u.stride_x + wx - u.pad_x
                        if 0 <= y < u.lines and 0 <= x < u.line_pixels:
                            at = 8 * (u.source + (y * u.line_pixels + x) * u.source_pitch) + g * columns
                            values.append(source[at : at + used].view(np.int8).astype(np.int64))
                if u.kind == packets.PASS_KINDS["max"]:
                    row = np.clip(np.max(values, 0), u.low, u.high)
                else:
                    total = (np.array(values) - u.own_zero).sum(0) * u.own_multiplier
                    row = requantized(total, u.shift, u.zero, u.low, u.high)
                self.finish(u, p, u.channel + g * columns, row.astype(np.int8).view(np.uint8))
        self.leave(0)


def place_in_memory(u, pixel):
    """Of a pixel; every line of a strip but the first begins `line_step` behind the end of the one before."""
    ended = pixel // u.width if u.width else 0
    return u.address + (pixel - ended) * u.stride + ended * u.line_step


def requantized(value, shift, zero, low, high):
    return np.clip((value + (1 << shift - 1) >> shift) + zero, low, high)


def number(bits):
    return int(bits @ (1 << np.arange(len(bits))))


def numbers(bits, width, count, signed):
    values = (bits[: width * count].reshape(count, width).astype(np.int64) << np.arange(width)).sum(1)
    return np.where(values >> width - 1, values - (1 << width), values) if signed else values


def legal_masks(keep, group):
    """Boolean masks [n, group], ascending as numbers whose bit j is element j."""
    found = sorted(combinations(range(group), keep), key=lambda kept: sum(1 << place for place in kept))
    masks = np.zeros((len(found), group), bool)
    np.put_along_axis(masks, np.array(found), True, 1)
    return masks
