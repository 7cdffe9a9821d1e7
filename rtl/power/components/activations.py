"""Bench of the activation RF."""

from __future__ import annotations

import numpy as np

from rtl.block import address_bits
from rtl.ifmap.arf import Arf
from rtl.power.components.bench import (
    ACTIVATION,
    Bench,
    Event,
    Phases,
    Statistics,
    dense,
    ones,
    tile_rows,
    with_rest,
)
from rtl.power.evaluator import LANES, words
from rtl.power.streams import Sample, toggle_rate, zero_rate


def arf() -> Bench:
    machine = dense()
    width = 8 * machine.tile_rows
    return Bench(
        size={"depth": machine.arf_depth, "width": width},
        layers=machine,
        machine=machine,
        block=Arf(depth=machine.arf_depth, width=width),
        events=(Event("arf_write", 1, "bytes", ACTIVATION), Event("arf_read", 2, "bytes", ACTIVATION)),
        phases=_arf,
        statistics=_arf_statistics,
    )


def _arf_vectors(bench: Bench, sample: Sample) -> np.ndarray:
    """Activations [vectors, patterns, rows] as they come to the array, each once; the ARF holds them all."""
    found = sample.activations[sample.entry % sample.groups == 0][: bench.machine.arf_depth]
    return found[:, np.arange(LANES)[:, None], tile_rows(bench)]


def _arf(bench: Bench, sample: Sample) -> Phases:
    """Another pattern's vectors; this one's; reads of them."""
    vectors = _arf_vectors(bench, sample)
    count, bits = len(vectors), address_bits(bench.machine.arf_depth)
    address = words(np.broadcast_to(np.arange(count)[:, None, None], (count, LANES, 1)), bits)
    number = {"bytes": vectors.size}
    for contents in (np.roll(vectors, 7, 1), vectors):
        yield (
            with_rest(
                {"write_enable": ones(count), "write_address": address, "write_data": words(contents, 8)},
                "write_enable",
            ),
            number,
        )
    yield with_rest({"read_enable": ones(count), "read_address": address}, "read_enable"), number


def _arf_statistics(bench: Bench, sample: Sample) -> Statistics:
    vectors = _arf_vectors(bench, sample)
    return {"activation_zero_rate": zero_rate(vectors), "activation_toggle_rate": toggle_rate(vectors, 8)}
