"""Benches of the tiles of the array."""

from __future__ import annotations

import numpy as np

from rtl.array.dense_tile import DenseTile
from rtl.array.sparse_tile import SparseTile
from rtl.block import address_bits
from rtl.geometry import Geometry
from rtl.power.components.bench import (
    ACTIVATION,
    Bench,
    Event,
    Phases,
    Statistics,
    Words,
    dense,
    ones,
    sparse,
    tile_rows,
    with_rest,
)
from rtl.power.evaluator import LANES, words
from rtl.power.streams import Sample, toggle_rate, zero_rate
from sim.accelerator import Accelerator

_WRF = (
    Event("wrf_write", 1, "words", ("written_toggle_rate", "load_rate")),
    Event("wrf_read", 2, "words", ("weight_toggle_rate",), ".wrf."),
)


def dense_tile() -> Bench:
    machine = dense()
    block = DenseTile(
        rows=machine.tile_rows,
        columns=machine.tile_columns,
        depth=machine.wrf_depth,
        sum_bits=Geometry(machine).sum_bits,
    )
    mac = Event("mac", 2, "words", (*ACTIVATION, "weight_zero_rate", "weight_toggle_rate"))
    return Bench(
        size={"rows": 4, "columns": 4, "wrf_depth": machine.wrf_depth},
        layers=machine,
        machine=machine,
        block=block,
        events=(*_WRF, mac),
        phases=_tile,
        statistics=_tile_statistics,
        dense=True,
    )


def sparse_tile() -> Bench:
    machine = sparse()
    lanes = machine.multipliers_per_codeword
    block = SparseTile(
        rows=machine.tile_rows,
        columns=machine.tile_columns,
        multipliers=lanes,
        word_bits=Geometry(machine).word_bits,
        depth=machine.wrf_depth,
        sum_bits=Geometry(machine).sum_bits,
    )
    # Kept weights are hardly ever 0.
    mac = Event("mac", 2, "words", (*ACTIVATION, "weight_toggle_rate"))
    return Bench(
        size={"rows": 4, "columns": 16, "multipliers": lanes, "wrf_depth": machine.wrf_depth},
        layers=machine,
        machine=machine,
        block=block,
        events=(*_WRF, mac),
        phases=_tile,
        statistics=_tile_statistics,
    )


def _tile(bench: Bench, sample: Sample) -> Phases:
    """What the WRF held before; its next contents; tokens."""
    machine, rows = bench.machine, tile_rows(bench)
    size = machine.tile_rows
    patterns = np.arange(LANES)[:, None]
    mine = sample.weights[:, patterns, rows]
    stored, bits = _stored(mine, machine)
    rolled = np.roll(stored, 7, 1)  # another pattern's
    entries, used = len(stored), stored.shape[-1]
    for contents in (rolled, stored):
        yield _writes(contents, bits, machine), {"words": entries * size * used * LANES}
    tokens = len(sample.entry)
    # A token's products meet the psums that come to the tile some cycles behind it.
    above = np.roll(sample.sums[:, patterns, rows[:, :1]][:, :, 0], machine.tile_stages, 0)
    address = np.broadcast_to(sample.entry[:, None, None], (tokens, LANES, 1))
    yield (
        {
            "valid_in": ones(tokens),
            "address_in": words(address, address_bits(machine.wrf_depth)),
            "activation_in": words(sample.activations[:, patterns, rows], 8),
            "psum_in": words(above, 16 + address_bits(machine.rows)),
        },
        {"words": tokens * size * used * LANES},
    )


def _stored(weights: np.ndarray, machine: Accelerator) -> tuple[np.ndarray, int]:
    """WRF words [entries, patterns, rows, words], and their width."""
    if not machine.sparse_tile:
        return weights.astype(np.int64), 8
    order = np.argsort(weights == 0, -1, kind="stable")[..., : machine.multipliers_per_codeword]
    kept = np.sort(order, -1)
    values = np.take_along_axis(weights, kept, -1).astype(np.int64) & 0xFF
    return values | kept << 8, 8 + address_bits(machine.codeword_length)


def _writes(stored: np.ndarray, bits: int, machine: Accelerator) -> Words:
    """Row after row of every entry, and a cycle without a write."""
    entries, _, rows, count = stored.shape
    data = stored.transpose(0, 2, 1, 3).reshape(entries * rows, LANES, count)
    entry, row = np.divmod(np.arange(entries * rows), rows)
    shape = (entries * rows, LANES, 1)
    return with_rest(
        {
            "write_enable": words(np.broadcast_to((1 << row)[:, None, None], shape), machine.tile_rows),
            "write_address": words(
                np.broadcast_to(entry[:, None, None], shape), address_bits(machine.wrf_depth)
            ),
            "write_data": words(data, bits),
        },
        "write_enable",
    )


def _tile_statistics(bench: Bench, sample: Sample) -> Statistics:
    rows = tile_rows(bench)
    patterns = np.arange(LANES)[:, None]
    seen = sample.activations[:, patterns, rows]
    stored, bits = _stored(sample.weights[:, patterns, rows], bench.machine)
    order = stored.transpose(0, 2, 1, 3).reshape(-1, LANES, stored.shape[-1])
    return {
        "activation_zero_rate": zero_rate(seen),
        "activation_toggle_rate": toggle_rate(seen, 8),
        "weight_zero_rate": zero_rate(stored & 0xFF),
        "weight_toggle_rate": toggle_rate(stored[sample.entry], bits),
        "written_toggle_rate": toggle_rate(order, bits),
        # A load has a start and an end, however few entries it writes.
        "load_rate": 1 / len(stored),
    }
