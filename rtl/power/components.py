"""Benches of the components: what they are fed with, and which events the energy belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rtl.array.dense_tile import DenseTile
from rtl.array.prf import Prf
from rtl.array.sparse_tile import SparseTile
from rtl.block import Block
from rtl.geometry import PSUM_BITS, Geometry
from rtl.ifmap.arf import Arf
from rtl.power.evaluator import LANES, words
from rtl.power.rom_logic import RomLogic
from rtl.power.streams import Sample, toggle_rate, zero_rate
from rtl.storer.requantizer import MULTIPLIER_BITS, Requantizer
from rtl.storer.rounding import SHIFT_BITS
from rtl.weights.codebook import Codebook
from rtl.weights.row_decoder import RowDecoder
from rtl.weights.row_words import RowWords
from sim.accelerator import Accelerator, load
from sim.formats import encoding

Words = dict[str, np.ndarray]
Statistics = dict[str, float]

ACTIVATION = ("activation_zero_rate", "activation_toggle_rate")
WEIGHT = ("weight_zero_rate", "weight_toggle_rate")
TOKENS = 64
"""Of a sample, in each pattern."""
CODEBOOKS = (16, 64, 256, 512, 1024)
"""Entries of the codebook RFs."""
SLICE = 2
"""Bytes of a codeword that a codebook RF is evaluated with: a read multiplexer is a tree for each bit."""
ROMS = (64, 256, 1024)
"""Words of 8 bytes of a bank of the codebook ROM."""


@dataclass(frozen=True)
class Event:
    """Part of a component's energy.

    Attributes:
        phase: of the bench, in which it happens.
        unit: what it is counted by.
        statistics: on which it depends.
        inside: text in the path of the instances that spend it, "" for all but the others'.
    """

    name: str
    phase: int
    unit: str
    statistics: tuple[str, ...]
    inside: str = ""


@dataclass(frozen=True)
class Bench:
    """One component at one size.

    Attributes:
        size: what its energies hold for.
        layers: the accelerator whose schedule gives the operands.
        machine: the accelerator that it belongs to; block: the component.
        dense: fed with unpruned weights, too.
        variant: tells components of one kind apart.
        phases: stimulus of each phase and how many of each unit it has; earlier ones set the state.
    """

    size: Mapping[str, int]
    layers: Accelerator
    machine: Accelerator
    block: Block
    events: tuple[Event, ...]
    phases: Callable[[Bench, Sample], Iterator[tuple[Words, Mapping[str, int]]]]
    statistics: Callable[[Bench, Sample], Statistics]
    dense: bool = False
    variant: str = ""

    @property
    def name(self) -> str:
        return f"{self.block.kind}_{self.variant}" if self.variant else self.block.kind


def _dense() -> Accelerator:
    return load("ews-16x4", {"tile_rows": 4, "tile_columns": 4})


def _sparse(entries: int = 64) -> Accelerator:
    return load("ews-cms-16", {"tile_rows": 4, "codebook_entries": entries})


def benches() -> list[Bench]:
    dense, sparse, few = _dense(), _sparse(), _sparse(16)
    lanes = sparse.multipliers_per_codeword
    tile = (
        Event("wrf_write", 1, "words", ("written_toggle_rate", "load_rate")),
        Event("wrf_read", 2, "words", ("weight_toggle_rate",), ".wrf."),
    )
    return [
        Bench(
            {"rows": 4, "columns": 4, "wrf_depth": dense.wrf_depth},
            dense,
            dense,
            DenseTile(
                rows=dense.tile_rows,
                columns=dense.tile_columns,
                depth=dense.wrf_depth,
                sum_bits=Geometry(dense).sum_bits,
            ),
            (*tile, Event("mac", 2, "words", ACTIVATION + WEIGHT)),
            _tile,
            _tile_statistics,
            dense=True,
        ),
        Bench(
            {"rows": 4, "columns": 16, "multipliers": lanes, "wrf_depth": sparse.wrf_depth},
            sparse,
            sparse,
            SparseTile(
                rows=sparse.tile_rows,
                columns=sparse.tile_columns,
                multipliers=lanes,
                word_bits=Geometry(sparse).word_bits,
                depth=sparse.wrf_depth,
                sum_bits=Geometry(sparse).sum_bits,
            ),
            # Kept weights are hardly ever 0.
            (*tile, Event("mac", 2, "words", (*ACTIVATION, "weight_toggle_rate"))),
            _tile,
            _tile_statistics,
        ),
        Bench(
            {"codebook_entries": few.codebook_entries, "codeword_length": few.codeword_length, "records": 1},
            sparse,
            few,
            RowDecoder(accelerator=few),
            (
                Event("crf_write", 1, "codewords", ("written_toggle_rate",)),
                Event("crf_read", 2, "codewords", ("codeword_toggle_rate",), "codebook."),
                Event("mask", 2, "rows", ("codeword_toggle_rate",)),
            ),
            _decoder,
            _decoder_statistics,
        ),
        Bench(
            {"codeword_length": few.codeword_length, "multipliers": lanes, "records": 1},
            sparse,
            few,
            RowWords(accelerator=few),
            (Event("compact", 0, "rows", ("value_toggle_rate",)),),
            _compactor,
            _compactor_statistics,
        ),
        Bench(
            {"depth": dense.prf_depth, "columns": dense.columns},
            dense,
            dense,
            Prf(depth=dense.prf_depth, columns=dense.columns, sum_bits=Geometry(dense).sum_bits),
            (Event("prf_access", 1, "words", ("psum_toggle_rate", "word_toggle_rate")),),
            _prf,
            _psum_statistics,
        ),
        Bench(
            {"lanes": 1},
            dense,
            dense,
            Requantizer(),
            (Event("requantize", 0, "values", ("acc_toggle_rate",)),),
            _requantizer,
            _acc_statistics,
        ),
        Bench(
            {"depth": dense.arf_depth, "width": 8 * dense.tile_rows},
            dense,
            dense,
            Arf(depth=dense.arf_depth, width=8 * dense.tile_rows),
            (Event("arf_write", 1, "bytes", ACTIVATION), Event("arf_read", 2, "bytes", ACTIVATION)),
            _arf,
            _arf_statistics,
        ),
        *(
            Bench(
                {"entries": machine.codebook_entries, "bytes": SLICE, "ports": 1},
                sparse,
                machine,
                Codebook(entries=machine.codebook_entries, length=SLICE, ports=1),
                (Event("crf_read", 1, "bytes", ("codeword_toggle_rate",)),),
                _codebook,
                _codebook_statistics,
                variant=str(machine.codebook_entries),
            )
            for machine in map(_sparse, CODEBOOKS)
        ),
        *(
            Bench(
                {"depth": block.depth, "bytes": block.length, "ports": 1},
                sparse,
                sparse,
                block,
                (Event("rom_read", 0, "bytes", ("codeword_toggle_rate",)),),
                _rom,
                _rom_statistics,
                variant=str(block.depth * block.length),
            )
            for block in (RomLogic(depth=depth) for depth in ROMS)
        ),
    ]


def _rows(sample: Sample, bench: Bench) -> np.ndarray:
    """First row of the tile that each pattern looks at, as an index over [tokens, patterns, rows]."""
    steps = bench.machine.rows // bench.machine.tile_rows
    return (np.arange(LANES) % steps)[:, None] * bench.machine.tile_rows + np.arange(bench.machine.tile_rows)


def _tile(bench: Bench, sample: Sample) -> Iterator[tuple[Words, Mapping[str, int]]]:
    """What the WRF held before; its next contents; tokens."""
    machine, rows = bench.machine, _rows(sample, bench)
    size = machine.tile_rows
    patterns = np.arange(LANES)[:, None]
    mine = sample.weights[:, patterns, rows]
    stored, bits = _stored(mine, machine)
    rolled = np.roll(stored, 7, 1)  # another pattern's
    entries, used = len(stored), stored.shape[-1]
    for contents in (rolled, stored):
        yield _writes(contents, bits, machine), {"words": entries * size * used * LANES}
    tokens = len(sample.entry)
    above = sample.sums[:, patterns, rows[:, :1]][:, :, 0]
    address = np.broadcast_to(sample.entry[:, None, None], (tokens, LANES, 1))
    yield (
        {
            "valid_in": _ones(tokens),
            "address_in": words(address, _bits(machine.wrf_depth)),
            "activation_in": words(sample.activations[:, patterns, rows], 8),
            "psum_in": words(above, 16 + _bits(machine.rows)),
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
    return values | kept << 8, 8 + _bits(machine.codeword_length)


def _writes(stored: np.ndarray, bits: int, machine: Accelerator) -> Words:
    """Row after row of every entry, and a cycle without a write."""
    entries, _, rows, count = stored.shape
    data = stored.transpose(0, 2, 1, 3).reshape(entries * rows, LANES, count)
    entry, row = np.divmod(np.arange(entries * rows), rows)
    shape = (entries * rows, LANES, 1)
    return _with_rest(
        {
            "write_enable": words(np.broadcast_to((1 << row)[:, None, None], shape), machine.tile_rows),
            "write_address": words(np.broadcast_to(entry[:, None, None], shape), _bits(machine.wrf_depth)),
            "write_data": words(data, bits),
        },
        "write_enable",
    )


def _tile_statistics(bench: Bench, sample: Sample) -> Statistics:
    rows = _rows(sample, bench)
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


def _records(bench: Bench, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Codeword index and mask code of the rows at hand; indices fold into the codebook at hand."""
    assert sample.records is not None
    index, codes = sample.records
    return index[:TOKENS].astype(np.int64) % bench.machine.codebook_entries, codes[:TOKENS].astype(np.int64)


def _decoder(bench: Bench, sample: Sample) -> Iterator[tuple[Words, Mapping[str, int]]]:
    """Codebook of before; codebook; rows."""
    machine = bench.machine
    assert sample.codebook is not None
    entries, bits = machine.codebook_entries, _bits(machine.codebook_entries)
    codebook = sample.codebook[:entries].astype(np.int64)
    address = np.broadcast_to(np.arange(entries)[:, None, None], (entries, LANES, 1))
    for contents in (np.roll(codebook, 1, 0), codebook):
        data = np.broadcast_to(contents[:, None], (entries, LANES, machine.codeword_length))
        yield (
            _with_rest(
                {
                    "write_enable": _ones(entries),
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
            "look": _ones(count),
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


def _compactor(bench: Bench, sample: Sample) -> Iterator[tuple[Words, Mapping[str, int]]]:
    values, masks = _decoded(bench, sample)
    # The first row only sets the state.
    yield (
        {"values": words(values, 8), "masks": words(masks[..., None], bench.machine.columns)},
        {"rows": (len(values) - 1) * LANES},
    )


def _compactor_statistics(bench: Bench, sample: Sample) -> Statistics:
    return {"value_toggle_rate": toggle_rate(_decoded(bench, sample)[0], 8)}


def _prf(bench: Bench, sample: Sample) -> Iterator[tuple[Words, Mapping[str, int]]]:
    """Sums into every word that tokens use; tokens."""
    machine = bench.machine
    sums = sample.sums[:, :, -1]
    count, entries = len(sums), int(sample.entry.max()) + 1
    word, first = sample.entry % sample.groups, sample.entry < sample.groups

    def rows(chosen: slice) -> Words:
        shape = (len(sums[chosen]), LANES, 1)
        return {
            "valid": _ones(shape[0]),
            "sums": words(sums[chosen], 16 + _bits(machine.rows)),
            "word": words(np.broadcast_to(word[chosen, None, None], shape), _bits(machine.prf_depth)),
            "first": words(np.broadcast_to(first[chosen, None, None], shape).astype(int), 1),
        }

    yield rows(slice(0, entries)), {}
    yield rows(slice(0, count)), {"words": count * LANES * machine.columns}


def _psum_statistics(bench: Bench, sample: Sample) -> Statistics:
    """`psum_toggle_rate`: from one psum to the next; `word_toggle_rate`: of the word that it replaces."""
    sums = sample.sums[:, :, -1]
    psums, held = np.zeros_like(sums), np.zeros((sample.groups, *sums.shape[1:]), np.int64)
    changed = []
    for n, entry in enumerate(sample.entry):
        word = entry % sample.groups
        psums[n] = sums[n] if entry < sample.groups else held[word] + sums[n]
        changed.append(toggle_rate(np.stack([held[word], psums[n]]), PSUM_BITS))
        held[word] = psums[n]
    return {"psum_toggle_rate": toggle_rate(psums, PSUM_BITS), "word_toggle_rate": float(np.mean(changed))}


def _accumulators(bench: Bench, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Sums over a slot [values, patterns] and the output channel of each: pixel, s, column."""
    entries = int(sample.entry.max()) + 1
    sums = sample.sums[:, :, -1]
    slots = sums.reshape(-1, entries // sample.groups, sample.groups, LANES, sums.shape[-1]).sum(1)
    acc = slots.transpose(0, 1, 3, 2).reshape(-1, LANES)
    channels = np.tile(sample.channels.transpose(0, 2, 1).reshape(-1, LANES), (len(slots), 1))
    return acc, np.maximum(channels, 0)


def _requantizer(bench: Bench, sample: Sample) -> Iterator[tuple[Words, Mapping[str, int]]]:
    acc, channels = _accumulators(bench, sample)
    layer, count = sample.layer, len(acc)
    parameters = layer.requantization
    assert parameters is not None

    def byte(value: int) -> np.ndarray:
        return words(np.full((count, LANES, 1), value), 8)

    yield (
        {
            "acc": words(acc[..., None], PSUM_BITS),
            "bias": words(layer.bias[channels][..., None].astype(np.int64), PSUM_BITS),
            "multiplier": words(parameters.multiplier[channels][..., None].astype(np.int64), MULTIPLIER_BITS),
            "shift": words(parameters.shift[channels][..., None].astype(np.int64), SHIFT_BITS),
            "zero": byte(parameters.zero_point),
            "low": byte(parameters.low),
            "high": byte(parameters.high),
        },
        {"values": (count - 1) * LANES},
    )


def _acc_statistics(bench: Bench, sample: Sample) -> Statistics:
    return {"acc_toggle_rate": toggle_rate(_accumulators(bench, sample)[0], PSUM_BITS)}


def _arf_vectors(bench: Bench, sample: Sample) -> np.ndarray:
    """Activations [vectors, patterns, rows] as they come to the array, each once; the ARF holds them all."""
    found = sample.activations[sample.entry % sample.groups == 0][: bench.machine.arf_depth]
    return found[:, np.arange(LANES)[:, None], _rows(sample, bench)]


def _arf(bench: Bench, sample: Sample) -> Iterator[tuple[Words, Mapping[str, int]]]:
    """Another pattern's vectors; this one's; reads of them."""
    vectors = _arf_vectors(bench, sample)
    count, bits = len(vectors), _bits(bench.machine.arf_depth)
    address = words(np.broadcast_to(np.arange(count)[:, None, None], (count, LANES, 1)), bits)
    number = {"bytes": vectors.size}
    for contents in (np.roll(vectors, 7, 1), vectors):
        yield (
            _with_rest(
                {"write_enable": _ones(count), "write_address": address, "write_data": words(contents, 8)},
                "write_enable",
            ),
            number,
        )
    yield _with_rest({"read_enable": _ones(count), "read_address": address}, "read_enable"), number


def _arf_statistics(bench: Bench, sample: Sample) -> Statistics:
    vectors = _arf_vectors(bench, sample)
    return {"activation_zero_rate": zero_rate(vectors), "activation_toggle_rate": toggle_rate(vectors, 8)}


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


def _codebook(bench: Bench, sample: Sample) -> Iterator[tuple[Words, Mapping[str, int]]]:
    """The codebook; reads."""
    entries, bits = bench.size["entries"], _bits(bench.size["entries"])
    contents, index = _looked_up(bench, sample, entries, SLICE)
    yield (
        _with_rest(
            {
                "write_enable": _ones(entries),
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


def _rom(bench: Bench, sample: Sample) -> Iterator[tuple[Words, Mapping[str, int]]]:
    """Reads; the first only sets the state."""
    depth, length = bench.size["depth"], bench.size["bytes"]
    _, index = _looked_up(bench, sample, depth, length)
    yield (
        {"read_enable": _ones(len(index)), "read_address": words(index[..., None], _bits(depth))},
        {"bytes": (index.size - LANES) * length},
    )


def _rom_statistics(bench: Bench, sample: Sample) -> Statistics:
    _, index = _looked_up(bench, sample, bench.size["depth"], bench.size["bytes"])
    assert isinstance(bench.block, RomLogic)
    return {"codeword_toggle_rate": toggle_rate(bench.block.contents[index], 8)}


def _with_rest(found: Words, enable: str) -> Words:
    """A cycle more, in which nothing changes but that `enable` ends."""
    rest = {name: values[-1:] for name, values in found.items()}
    rest[enable] = np.zeros_like(rest[enable])
    return {name: np.concatenate([values, rest[name]]) for name, values in found.items()}


def _ones(count: int) -> np.ndarray:
    return np.full((count, 1), 2**64 - 1, np.uint64)


def _bits(depth: int) -> int:
    return max(1, (depth - 1).bit_length())
