"""The packets that software writes and the units read: one definition for RTL, compiler and header.

Field order is bit order, the first field lowest; a packet is padded to whole 64-bit words. docs/hardware.md
says which unit reads which stream.
"""

from __future__ import annotations

from amaranth.lib.data import StructLayout
from amaranth.utils import bits_for

from rtl.geometry import COUNT_BITS, DEMAND_BITS, Geometry

WORD_BITS = 64
ADDRESS_BITS = 32
"""Byte addresses in packets, from the base of their window on."""
LAYER_COUNT_BITS = 16
"""Layers of a run."""
WORD_ADDRESS_BITS = 16
"""64-bit words of an L1 group."""
PIXEL_BITS = 12
"""Lines of a map, pixels of a line, words of a pixel; windows and runs of channels."""
CHANNEL_BITS = 15
"""Bytes of a pixel."""
OFFSET_BITS = 13
"""Where a window begins in a tile, signed."""
KERNEL_BITS = 5
"""Positions of a kernel in one direction, and their distance; how far windows of a convolution are apart."""
COMMAND_WORDS = 256
"""Depth of the buffer of each stream."""
ANNOUNCE = 16
"""Cycles from `weights_there` to the first beat that the loader may take."""
EXTENTS = {"a": "A", "b": "B", "u": "U", "d": "D"}
"""How far a chunk reaches: field of a packet, field of `sim.systolic.program.CHUNK`."""
STREAMS = ("jobs", "tiles", "chunks", "units")


def words(layout: StructLayout) -> int:
    """64-bit words of a packet."""
    return -(-layout.size // WORD_BITS)


def job(geometry: Geometry) -> StructLayout:
    """One weight job: the codebook of a layer, or the weights of a chunk (docs/timing.md section 3).

    `codebook`: rows are codewords, `entries` of them. `raw`: rows carry INT8 weights, not records; on a
    sparse tile u sub-records. `diagonal`: row h belongs to the columns of its own group (format "block"), of
    `block_inputs` rows and `block_outputs` columns. `serial`: the job takes both banks. `wait`: for
    `weights_there`.
    """
    acc = geometry.accelerator
    most_beats = -(-acc.wrf_depth * geometry.rows_sent * geometry.row_bits // acc.weight_port_bits)
    most_beats = max(most_beats, -(-acc.codebook_entries * acc.codeword_length * 8 // acc.weight_port_bits))
    row_count, width = bits_for(acc.rows), bits_for(geometry.row_bits)
    return StructLayout(
        {"codebook": 1, "raw": 1, "diagonal": 1, "serial": 1, "wait": 1}
        | dict.fromkeys(EXTENTS, geometry.extent_bits)
        | {
            "rows": row_count,
            "rows_tail": row_count,
            "row_bits": width,
            "row_bits_tail": width,
            "block_inputs": row_count,
            "block_outputs": bits_for(acc.columns),
            "index_bits": bits_for(geometry.index_bits),
            "entries": bits_for(acc.codebook_entries),
            "beats": bits_for(most_beats),
            "address": ADDRESS_BITS,
        }
    )


def tile(geometry: Geometry) -> StructLayout:
    """One visit: an ifmap tile and its residual tile to bring into L1.

    Either is up to `planes` x `lines` x `beats` words: runs of `beats` words, `line_stride` bytes apart, in
    planes `plane_stride` bytes apart; they are packed one behind another from word `to` of L1. `beats` = 0:
    nothing to bring. `begins`: the first visit of a layer. `buffers`: tiles that the group holds (1 or 2).
    `wait`: for `maps_there`.
    """
    transfer = {
        "address": ADDRESS_BITS,
        "beats": WORD_ADDRESS_BITS,
        "lines": WORD_ADDRESS_BITS,
        "line_stride": ADDRESS_BITS,
        "planes": WORD_ADDRESS_BITS,
        "plane_stride": ADDRESS_BITS,
        "to": WORD_ADDRESS_BITS,
    }
    return StructLayout(
        {"begins": 1, "wait": 1, "buffers": 2}
        | {f"ifmap_{name}": width for name, width in transfer.items()}
        | {f"residual_{name}": width for name, width in transfer.items()}
    )


def chunk(geometry: Geometry) -> StructLayout:
    """One chunk for sequencer and ifmap loader; the first fields are those of `sim.systolic.program.CHUNK`.

    `serial`: the WRF is one bank. `opens`: the first chunk of a visit. `begins`, `ends`: first, last of a
    layer. `double`: two stripes may wait for the row mover.

    Where its activations lie: group `map`, tile from word `base` on, `pitch` words a pixel, `line` words a
    line, `lines` x `line_pixels` pixels; the chunk's first channel is byte `channel` of a pixel. Kernel
    position n of the chunk is (ky, kx), starting from (`ky`, `kx`) row-major in rows of `kernel_x`; it reads
    line `y` + row*stride_y + ky*dilation_y and pixel `x` + column*stride_x + kx*dilation_x (y and x signed;
    outside the tile: `zero`). `reuse`: windows slide.
    """
    acc = geometry.accelerator
    row_count = bits_for(acc.rows)
    return StructLayout(
        dict.fromkeys(EXTENTS, geometry.extent_bits)
        | {"rows": row_count, "rows_tail": row_count}
        | dict.fromkeys(("pixels", "width"), COUNT_BITS)
        | dict.fromkeys(("fetch_row", "fetch_in", "psum_read", "psum_write", "store"), DEMAND_BITS)
        | dict.fromkeys(("fence", "first", "last", "serial", "opens", "begins", "ends", "double"), 1)
        | {
            "map": 1,
            "base": WORD_ADDRESS_BITS,
            "pitch": PIXEL_BITS,
            "line": WORD_ADDRESS_BITS,
            "lines": PIXEL_BITS,
            "line_pixels": PIXEL_BITS,
            "channel": CHANNEL_BITS,
            "y": OFFSET_BITS,
            "x": OFFSET_BITS,
            "ky": KERNEL_BITS,
            "kx": KERNEL_BITS,
            "kernel_x": KERNEL_BITS,
            "stride_y": KERNEL_BITS,
            "stride_x": KERNEL_BITS,
            "dilation_y": KERNEL_BITS,
            "dilation_x": KERNEL_BITS,
            "zero": 8,
            "reuse": 1,
        }
    )


PASS_KINDS = {"rows": 0, "average": 1, "max": 2}
"""What a stripe is: finished rows of the array, or a pass of the vector unit."""


def stripe(geometry: Geometry) -> StructLayout:
    """One stripe: the finished rows of one spatial tile and one step over output groups, or one pass.

    Its stream is `units`, and so the Verilog calls it a unit.

    Row s of pixel p has `columns` (s = a-1: `columns_tail`) outputs. They go to word `to` + p*`to_pitch` of
    L1 group `map`, modulo `ring` words (a multiple of `to_pitch` above `to`), from byte `channel` + s*L of a
    pixel on, and from there to byte `address` + p*`stride` + the same offset of memory; in a strip of columns,
    lines of `width` pixels (0: all lie in one line), the first pixel of a line lies `line_step` bytes behind the
    last one of the line before. `wide`: 32-bit
    values acc + bias, no requantization; `channel` still counts bytes, and row s begins 4*s*L behind it.
    `store`: as in `chunk`. `residual`: adds word `from` + p*`from_pitch` of the residual group, from byte
    `from_channel` + s*L on: clamp(((y - own_zero)*own_multiplier + (r - other_zero)*other_multiplier +
    2^(shift-1) >> shift) + add_zero). `ends`: the layer's last stripe. `pass`: one of PASS_KINDS.

    `pool`: of windows of lines, each of `width` pixels, the largest values alone go there, `written` pixels; a is 1.
    `pool_left` lines come before the first one that ends a window; from there to the next one it is `stride_y`, and
    with `pool_shared` that line begins it too. `pool_fresh`: the first line begins a window. What lines before gave is
    kept at word `from` + x*`from_pitch` of the residual group.

    A pass reads a map of `lines` x `line_pixels` pixels in group 1 - `map` from word `from` on, `from_pitch`
    words a pixel: windows of `window_y` x `window_x` pixels, with the strides and (top, left) padding given,
    for each of `pixels` output pixels, `width` to a line. Its rows are the `groups` runs of requant_lanes
    channels of a pixel (`columns`, of the last one `columns_tail`). `own_multiplier` and `shift` requantize
    an average, from `own_zero` to `zero`; `low` and `high` clamp it, or a maximum.
    """
    acc = geometry.accelerator
    return StructLayout(
        {
            "pass": 2,
            "ends": 1,
            "wide": 1,
            "residual": 1,
            "pool": 1,
            "pool_left": 4,
            "pool_shared": 1,
            "pool_fresh": 1,
            "map": 1,
            "a": geometry.extent_bits,
            "columns": bits_for(acc.columns),
            "columns_tail": bits_for(acc.columns),
            "pixels": COUNT_BITS,
            "written": COUNT_BITS,
            "store": DEMAND_BITS,
            "zero": 8,
            "low": 8,
            "high": 8,
            "to": WORD_ADDRESS_BITS,
            "to_pitch": PIXEL_BITS,
            "ring": WORD_ADDRESS_BITS + 1,
            "channel": CHANNEL_BITS,
            "address": ADDRESS_BITS,
            "stride": ADDRESS_BITS,
            "line_step": ADDRESS_BITS,
            "from": WORD_ADDRESS_BITS,
            "from_pitch": PIXEL_BITS,
            "from_channel": CHANNEL_BITS,
            "own_zero": 8,
            "own_multiplier": 16,
            "other_zero": 8,
            "other_multiplier": 16,
            "shift": 6,
            "add_zero": 8,
            "add_low": 8,
            "add_high": 8,
            "window_y": PIXEL_BITS,
            "window_x": PIXEL_BITS,
            "stride_y": 4,
            "stride_x": 4,
            "pad_y": 4,
            "pad_x": 4,
            "lines": PIXEL_BITS,
            "line_pixels": PIXEL_BITS,
            "width": PIXEL_BITS,
            "groups": PIXEL_BITS,
        }
    )


PARAMETER = StructLayout({"bias": 32, "multiplier": 16, "shift": 6})
"""Of one output channel; a word each behind a `units` packet."""

LAYOUTS = {"jobs": job, "tiles": tile, "chunks": chunk, "units": stripe}
