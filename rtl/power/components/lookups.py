"""Benches of the codebook ROM."""

from __future__ import annotations

import numpy as np

from rtl.block import address_bits
from rtl.power.components.bench import TOKENS, Bench, Event, Phases, Statistics, ones, sparse
from rtl.power.evaluator import LANES, words
from rtl.power.rom_logic import RomLogic
from rtl.power.streams import Sample, toggle_rate

ROMS = (64, 256, 1024)
"""Words of 8 bytes of a bank of the codebook ROM."""


def rom(depth: int) -> Bench:
    machine, block = sparse(), RomLogic(depth=depth)
    return Bench(
        size={"depth": block.depth, "bytes": block.length, "ports": 1},
        layers=machine,
        machine=machine,
        block=block,
        events=(Event("rom_read", 0, "bytes", ("codeword_toggle_rate",)),),
        phases=_rom,
        statistics=_rom_statistics,
        variant=str(block.depth * block.length),
    )


def _looked_up(bench: Bench, sample: Sample, entries: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Parts of the layer's codewords, int8 [entries, length], as often as needed; indices of the rows.

    A larger codebook than the layer's is used all over: an index moves to one of its multiples.
    """
    assert sample.codebook is not None
    assert sample.records is not None
    contents = np.resize(sample.codebook.reshape(-1, length), (entries, length))
    index = sample.records[0][:TOKENS].astype(np.int64)
    known = len(sample.codebook)
    shift = np.random.default_rng(entries).integers(max(1, entries // known), size=index.shape)
    return contents, (index + known * shift) % entries


def _rom(bench: Bench, sample: Sample) -> Phases:
    """Reads; the first only sets the state."""
    depth, length = bench.size["depth"], bench.size["bytes"]
    _, index = _looked_up(bench, sample, depth, length)
    yield (
        {"read_enable": ones(len(index)), "read_address": words(index[..., None], address_bits(depth))},
        {"bytes": (index.size - LANES) * length},
    )


def _rom_statistics(bench: Bench, sample: Sample) -> Statistics:
    _, index = _looked_up(bench, sample, bench.size["depth"], bench.size["bytes"])
    assert isinstance(bench.block, RomLogic)
    return {"codeword_toggle_rate": toggle_rate(bench.block.contents[index], 8)}
