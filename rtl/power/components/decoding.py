"""Benches of what makes WRF words of a weight row."""

from __future__ import annotations

import numpy as np

from rtl.block import address_bits
from rtl.power.components.bench import TOKENS, Bench, Event, Phases, Statistics, ones, sparse, with_rest
from rtl.power.evaluator import LANES, words
from rtl.power.streams import Sample, toggle_rate
from rtl.weights.row_decoder import RowDecoder
from rtl.weights.row_words import RowWords
from sim.formats import encoding

_ENTRIES = 16
"""Of the codebook."""


def row_decoder() -> Bench:
    few = sparse(_ENTRIES)
    return Bench(
        size={"codebook_entries": _ENTRIES, "codeword_length": few.codeword_length, "records": 1},
        layers=sparse(),
        machine=few,
        block=RowDecoder(accelerator=few),
        events=(
            Event("crf_write", 1, "codewords", ("written_toggle_rate",)),
            Event("crf_read", 2, "codewords", ("codeword_toggle_rate",), "codebook."),
            Event("mask", 2, "rows", ("codeword_toggle_rate",)),
        ),
        phases=_decoder,
        statistics=_decoder_statistics,
    )


def row_words() -> Bench:
    few = sparse(_ENTRIES)
    lanes = few.multipliers_per_codeword
    return Bench(
        size={"codeword_length": few.codeword_length, "multipliers": lanes, "records": 1},
        layers=sparse(),
        machine=few,
        block=RowWords(accelerator=few),
        events=(Event("compact", 0, "rows", ("value_toggle_rate",)),),
        phases=_compactor,
        statistics=_compactor_statistics,
    )


def _records(bench: Bench, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Codeword index and mask code of the rows at hand; indices fold into the codebook at hand."""
    assert sample.records is not None
    index, codes = sample.records
    return index[:TOKENS].astype(np.int64) % bench.machine.codebook_entries, codes[:TOKENS].astype(np.int64)


def _decoder(bench: Bench, sample: Sample) -> Phases:
    """Codebook of before; codebook; rows."""
    machine = bench.machine
    assert sample.codebook is not None
    entries, bits = machine.codebook_entries, address_bits(machine.codebook_entries)
    codebook = sample.codebook[:entries].astype(np.int64)
    address = np.broadcast_to(np.arange(entries)[:, None, None], (entries, LANES, 1))
    for contents in (np.roll(codebook, 1, 0), codebook):
        data = np.broadcast_to(contents[:, None], (entries, LANES, machine.codeword_length))
        yield (
            with_rest(
                {
                    "write_enable": ones(entries),
                    "write_address": words(address, bits),
                    "write_data": words(data, 8),
                },
                "write_enable",
            ),
            {"codewords": entries * LANES},
        )
    index, codes = _records(bench, sample)
    row = codes | index << machine.mask_code_bits
    count = len(row)
    yield (
        {
            "look": ones(count),
            "row": words(row[..., None], 8 * machine.columns),
            "index_bits": words(np.full((count, LANES, 1), bits), int(bits).bit_length()),
        },
        {"codewords": count * LANES, "rows": count * LANES},
    )


def _decoder_statistics(bench: Bench, sample: Sample) -> Statistics:
    index, _ = _records(bench, sample)
    assert sample.codebook is not None
    return {
        "codeword_toggle_rate": toggle_rate(sample.codebook[index], 8),
        "written_toggle_rate": toggle_rate(sample.codebook[: bench.machine.codebook_entries], 8),
    }


def _decoded(bench: Bench, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Weights [rows, patterns, d] and masks [rows, patterns]."""
    machine = bench.machine
    assert sample.codebook is not None
    assert sample.records is not None
    index, codes = (array[:TOKENS].astype(np.int64) for array in sample.records)
    masks = encoding.mask_table(machine.keep, machine.group)[codes].astype(np.int64)
    kept = masks[..., None] >> np.arange(machine.codeword_length) & 1
    return sample.codebook[index] * kept, masks


def _compactor(bench: Bench, sample: Sample) -> Phases:
    values, masks = _decoded(bench, sample)
    # The first row only sets the state.
    yield (
        {"values": words(values, 8), "masks": words(masks[..., None], bench.machine.columns)},
        {"rows": (len(values) - 1) * LANES},
    )


def _compactor_statistics(bench: Bench, sample: Sample) -> Statistics:
    return {"value_toggle_rate": toggle_rate(_decoded(bench, sample)[0], 8)}
