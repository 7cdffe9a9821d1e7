"""Benches of codebook RF and codebook ROM."""

from __future__ import annotations

import numpy as np

from rtl.block import address_bits
from rtl.power.components.bench import TOKENS, Bench, Event, Phases, Statistics, ones, sparse, with_rest
from rtl.power.evaluator import LANES, words
from rtl.power.rom_logic import RomLogic
from rtl.power.streams import Sample, toggle_rate
from rtl.weights.codebook import Codebook

CODEBOOKS = (16, 64, 256, 512, 1024)
"""Entries of the codebook RFs."""
SLICE = 2
"""Bytes of a codeword that a codebook RF is evaluated with: a read multiplexer is a tree for each bit."""
ROMS = (64, 256, 1024)
"""Words of 8 bytes of a bank of the codebook ROM."""


def codebook(entries: int) -> Bench:
    return Bench(
        size={"entries": entries, "bytes": SLICE, "ports": 1},
        layers=sparse(),
        machine=sparse(entries),
        block=Codebook(entries=entries, length=SLICE, ports=1),
        events=(Event("crf_read", 1, "bytes", ("codeword_toggle_rate",)),),
        phases=_codebook,
        statistics=_codebook_statistics,
        variant=str(entries),
    )


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


def _codebook(bench: Bench, sample: Sample) -> Phases:
    """The codebook; reads."""
    entries, bits = bench.size["entries"], address_bits(bench.size["entries"])
    contents, index = _looked_up(bench, sample, entries, SLICE)
    yield (
        with_rest(
            {
                "write_enable": ones(entries),
                "write_address": words(
                    np.broadcast_to(np.arange(entries)[:, None, None], (entries, LANES, 1)), bits
                ),
                "write_data": words(np.broadcast_to(contents[:, None], (entries, LANES, SLICE)), 8),
            },
            "write_enable",
        ),
        {},
    )
    yield {"read_address": words(index[..., None], bits)}, {"bytes": index.size * SLICE}


def _codebook_statistics(bench: Bench, sample: Sample) -> Statistics:
    contents, index = _looked_up(bench, sample, bench.size["entries"], SLICE)
    return {"codeword_toggle_rate": toggle_rate(contents[index], 8)}


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
