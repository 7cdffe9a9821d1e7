"""Packets of the storer and the row mover."""

from __future__ import annotations

import numpy as np

from rtl import packets
from rtl.compiler.lanes import check_lanes
from rtl.compiler.memory import Map
from rtl.compiler.packing import of_chunk, pack
from rtl.compiler.steps import Step
from rtl.compiler.tiles import Visit
from rtl.geometry import Geometry
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.network import Add, AveragePool, Conv, Network, Pool
from sim.shapes import Axis
from sim.systolic.program import Program
from sim.systolic.schedule import Schedule


def stripes(
    network: Network, step: Step, program: Program, visits: list[Visit], ofmap: Map
) -> list[np.ndarray]:
    """Packets of a convolution, its parameters behind each."""
    layer, acc = step.layer, program.schedule.accelerator
    assert isinstance(layer, Conv)
    layout = packets.stripe(Geometry(acc))
    last = program.chunks[program.chunks["last"] == 1]
    room = _room(step, acc, ofmap, last)
    shared = {"wide": step.wide, "map": step.writes, "stride": 8 * ofmap.pitch} | _requantization(layer)
    if step.add is not None:
        shared |= _addition(network, layer.name, step.add)
    if program.schedule.shape.pool:
        shared |= _line(program.schedule, program.schedule.shape.pool)
    found = []
    for number, stripe in enumerate(last):
        _check_rows(step, stripe, acc)
        values = of_chunk(stripe, ("a", "columns", "columns_tail", "pixels", "store"))
        values |= {"ends": number == len(last) - 1}
        residual = visits[int(stripe["visit"])].residual
        if residual is not None:
            values |= {
                "residual": 1,
                "from": residual.to,
                "from_pitch": residual.pitch,
                "from_channel": int(stripe["output"]) - residual.first,
            }
        if program.schedule.shape.pool:
            values |= _pooled(program.schedule, program.schedule.shape.pool, stripe)
        found.append(pack(layer.name, "unit", layout, shared | values | room[number]))
        found.append(_parameters(layer, stripe, acc))
    return found


def _line(how: Schedule, pool: Axis) -> dict[str, int]:
    """Where a pool keeps its line, and how its windows follow one another."""
    return {
        "pool": 1,
        "stride_y": pool.stride,
        "pool_shared": pool.reach > pool.stride,
        "from_pitch": how.tiling.line_bytes // how.tile_width // 8,
    }


def _pooled(how: Schedule, pool: Axis, stripe: np.void) -> dict[str, int]:
    """Which lines of a stripe end a window."""
    top, width = int(stripe["tile"]), int(stripe["width"])
    lines = range(top, top + int(stripe["pixels"]) // width)
    ends = [line for line in lines if line in how.shape.written]
    before = top - 1 in how.shape.written and pool.reach == pool.stride
    return {"written": width * len(ends), "pool_left": ends[0] - top, "pool_fresh": top == 0 or before}


def _written(how: Schedule, stripes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [n] each: the first line of the ofmap that a stripe writes, and how many pixels."""
    rows = np.array(how.shape.written)
    first = np.searchsorted(rows, stripes["tile"])
    lines = stripes["pixels"].astype(np.int64) // stripes["width"]
    return first, (np.searchsorted(rows, stripes["tile"] + lines) - first) * stripes["width"]


def _room(step: Step, acc: Accelerator, ofmap: Map, stripes: np.ndarray) -> list[dict[str, int]]:
    """Where the rows of each stripe go: the whole map if it fits the group, else a ring of the stripes' rows, as
    those of strips always do.

    In the ring a byte keeps its place in the word that it has in memory.
    """
    assert isinstance(step.how, Schedule)
    size, group = (4 if step.wide else 1), Geometry(acc).map_words[step.writes]
    first = stripes["output"].astype(np.int64) * size
    line, written = _written(step.how, stripes)
    pixel = line * ofmap.shape[2] + stripes["left"]
    strips = step.how.strips > 1
    apart = strips or step.how.shape.pool is not None  # lines are counted
    whole = {"to_pitch": ofmap.pitch, "ring": group}
    if apart:
        whole |= {"width": ofmap.shape[2], "line_step": 8 * ofmap.pitch}
    if ofmap.words <= group and not strips:
        return [
            whole | {"to": p * ofmap.pitch, "channel": c, "address": ofmap.address + 8 * p * ofmap.pitch}
            for p, c in zip(pixel.tolist(), first.tolist(), strict=True)
        ]
    if step.stays:
        raise InputError(
            f"{step.name}: ofmap",
            8 * ofmap.words,
            f"bytes do not stay in the {8 * group} of the L1 group{', strip by strip' * strips}",
            "let the next layer read L2",
        )
    bytes_each = size * ((stripes["A"] - 1) * acc.columns + stripes["columns_tail"])
    pitch = int((-(-(first % 8 + bytes_each) // 8)).max())
    ring = group // pitch
    _check_ring(step, stripes, ring)
    places = np.concatenate([[0], np.cumsum(written)[:-1]]) % ring
    return [
        {
            "to": int(place) * pitch,
            "to_pitch": pitch,
            "ring": ring * pitch,
            "width": apart * int(width),
            "line_step": apart * 8 * ofmap.pitch * (ofmap.shape[2] - int(width) + 1),
            "channel": int(c) % 8,
            "address": ofmap.address + 8 * int(p) * ofmap.pitch + int(c) // 8 * 8,
        }
        for place, p, c, width in zip(places, pixel, first, stripes["width"], strict=True)
    ]


def _check_ring(step: Step, stripes: np.ndarray, pixels: int) -> None:
    """What waits for the row mover, and a pixel on its way in and one on its way out, must fit."""
    assert isinstance(step.how, Schedule)
    tokens = stripes["A"] * stripes["B"] * stripes["U"] * stripes["D"]
    slower = np.maximum(0, stripes["write_beats"] - tokens)
    _, written = _written(step.how, stripes)
    waiting = -(-written * slower // stripes["write_beats"])
    needed = int(waiting.max()) * step.how.tiling.ofmap_buffers + 2
    if needed > pixels:
        raise InputError(
            f"{step.name}: finished rows",
            needed,
            f"pixels wait for the DMA; the L1 group holds {pixels}",
            "lower tile_rows or strip_columns, or raise l1_bytes",
        )


def _check_rows(step: Step, stripe: np.void, acc: Accelerator) -> None:
    """A row of 32-bit values takes several writes, each of whole words."""
    for s in range(stripe["A"]):
        columns = int(stripe["columns_tail"] if s == stripe["A"] - 1 else stripe["columns"])
        first = int(stripe["output"]) + s * acc.columns
        if step.wide:
            check_lanes(step.name, "output", acc, 4 * first, 8, 8)
        else:
            check_lanes(step.name, "output", acc, first, columns)


def _requantization(layer: Conv) -> dict[str, int]:
    q = layer.requantization
    return {} if q is None else {"zero": q.zero_point, "low": q.low, "high": q.high}


def _addition(network: Network, convolution: str, add: Add) -> dict[str, int]:
    own = add.inputs.index(convolution)
    return {
        "own_zero": network.zero_point(convolution),
        "own_multiplier": add.multipliers[own],
        "other_zero": network.zero_point(add.inputs[1 - own]),
        "other_multiplier": add.multipliers[1 - own],
        "shift": add.shift,
        "add_zero": add.zero_point,
        "add_low": add.low,
        "add_high": add.high,
    }


def _parameters(layer: Conv, stripe: np.void, acc: Accelerator) -> np.ndarray:
    """uint64 [A*L]: a word for each output channel, 0 beyond the last."""
    q = layer.requantization
    low = int(stripe["output"])
    count = int(stripe["A"] - 1) * acc.columns + int(stripe["columns_tail"])
    words = np.zeros(int(stripe["A"]) * acc.columns, np.uint64)
    for n in range(count):
        values = {"bias": int(layer.bias[low + n])}
        if q is not None:
            values |= {"multiplier": int(q.multiplier[low + n]), "shift": int(q.shift[low + n])}
        words[n] = pack(layer.name, "parameter", packets.PARAMETER, values)[0]
    return words


def pass_stripe(network: Network, step: Step, acc: Accelerator, ifmap: Map, ofmap: Map) -> list[np.ndarray]:
    """The packet of a pass whose operand is in L1."""
    layer = step.layer
    assert isinstance(layer, AveragePool | Pool)
    channels, lines, line_pixels = ifmap.shape
    lanes = acc.requant_lanes
    groups = -(-channels // lanes)
    if Geometry(acc).map_words[step.writes] < ofmap.words:
        raise InputError(
            f"{step.name}: ofmap",
            8 * ofmap.words,
            "bytes exceed the L1 group of the pass",
            "pool more, or raise l1_bytes",
        )
    values = {
        "ends": 1,
        "map": step.writes,
        "a": 1,
        "columns": min(channels, lanes),
        "columns_tail": channels - (groups - 1) * lanes,
        "pixels": ofmap.shape[1] * ofmap.shape[2],
        "width": ofmap.shape[2],
        "groups": groups,
        "zero": layer.zero_point,
        "low": layer.low,
        "high": layer.high,
        "to": 0,
        "to_pitch": ofmap.pitch,
        "ring": Geometry(acc).map_words[step.writes],
        "address": ofmap.address,
        "stride": 8 * ofmap.pitch,
        "line_step": 8 * ofmap.pitch,
        "from": 0,
        "from_pitch": ifmap.pitch,
        "lines": lines,
        "line_pixels": line_pixels,
    }
    if isinstance(layer, AveragePool):
        values |= {
            "pass": packets.PASS_KINDS["average"],
            "window_y": lines,
            "window_x": line_pixels,
            "stride_y": 1,
            "stride_x": 1,
            "own_zero": network.zero_point(layer.input),
            "own_multiplier": layer.multiplier,
            "shift": layer.shift,
        }
    else:
        values |= {"pass": packets.PASS_KINDS["max"]}
        for name, pair in (("window", layer.kernel), ("stride", layer.stride), ("pad", layer.padding)):
            values |= {f"{name}_y": pair[0], f"{name}_x": pair[1]}
    return [pack(step.name, "unit", packets.stripe(Geometry(acc)), values)]
