"""What a run of the cycle engine holds from one cycle to the next, as Numba compiles it well.

A unit's registers are the fields of a record, in an array of one; a step begins with `unit = core.unit[0]`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sim.systolic.engine.compiled import step
from sim.systolic.engine.decoding import Mode
from sim.systolic.results import Handover

NEVER = 1 << 60


def _integers(*names: str) -> list[tuple[str, type]]:
    return [(name, np.int64) for name in names]


HANDOVER = np.dtype(_integers(*Handover._fields))

LOADER = np.dtype(
    [
        *_integers("job", "beats"),  # job -1 is the codebook
        ("active", np.bool_),
        *_integers("ready_at", "sent", "taken", "visible", "consumed"),
        *_integers("entry", "row", "extra"),
        *_integers("width", "u", "rows"),
        ("last_entry", np.bool_),
        ("full_at", np.int64, 2),
        ("free_at", np.int64, 2),
        *_integers("written", "written_before"),
    ],
    align=True,
)
"""The weight loader. Of its job `sent` of `beats` beats are there, whose bits are `visible` to the look-up,
which has `consumed` some; it comes to WRF `entry` and `row` next, with `extra` cycles of the ROM still to
wait (-1 before the first). The buffer has had room for `taken` of the beats, which decides no other time. The entry
has `rows` of `width` bits, parts `u` of their codewords. A WRF bank is full or free from a cycle on; `written`,
`written_before` are the cycles of the last rows of the last two jobs."""

LOOK_UP = np.dtype(
    [
        ("pending", np.bool_),
        *_integers("entry", "row", "scale", "u", "position", "width"),
        ("last", np.bool_),
    ],
    align=True,
)
"""A row that has been looked up and is not yet in the WRF: `width` bits at `position` of the stream; `last`
of its job. `scale`: which row of scales it is, from 1 on; 0 for weights."""

MEMORY = np.dtype(
    _integers("next_job", "next_map", "next_tile", "maps_first", "dram_free", "dma_free"), align=True
)
"""What DRAM and DMA bring next, and when they are free; maps before `maps_first` go before weights."""

SEQUENCER = np.dtype(
    [
        *_integers("chunk", "pixel"),
        ("in_slot", np.bool_),
        *_integers("elapsed", "length", "tokens"),
        *_integers("issued", "computed"),
        *_integers("asked_psums", "asked_fetch", "stall"),
        *_integers("fence_at", "drained", "sent_off", "sent_off_before", "traced"),
    ],
    align=True,
)
"""The sequencer. Of a slot, `elapsed` of `length` cycles are over, and `tokens` of them issue one; `stall` is the
cause of the others, and of cycles between slots in which units do not meet. Of the chunk's tokens `issued` have issued
and `computed` are in the psums. `asked_psums`, `asked_fetch` are words of an arbitrated L1 that it still waits for.
Finished rows of the last two output groups have left at `sent_off`, `sent_off_before`."""

ENTRY = np.dtype(_integers("s", "r", "position"))
"""Output group, channel group and kernel position of a WRF entry."""

TIMES = np.dtype(
    [
        (name, np.int64, 2)
        for name in (
            "dram",
            "beats",
            "load",
            "tokens",
            "rows",
            "sent",
        )  # of a chunk; the codebook loads alone
    ]
)
"""When a chunk was at work in each unit, first cycle and the one after the last: its weights in DRAM, their beats
into the loader, the loader's job, tokens; and, with the last chunk of a stripe, its rows in the storer and on their
way by DMA. Both 0 where it was not."""

VISIT_TIMES = np.dtype([(name, np.int64, 2) for name in ("dram", "tile")])
"""Likewise of a visit: its maps in DRAM, its tile in DMA."""


class Layer(NamedTuple):
    """What a run executes.

    Attributes:
        chunks, visits: CHUNK and VISIT records.
        words, codebook: flat uint64 streams, one spare word at the end.
        masks: int8 [codes, M], -1 where a mask keeps an element, else 0.
        mask_eights: the same in words of 64 bits, if `eights`.
        rom: int8 [k, d], contents of the codebook ROM.
        prf_words, stored_words: of L psums each that the chunks need in the PRF and in the psum memory.
    """

    chunks: np.ndarray
    visits: np.ndarray
    words: np.ndarray
    codebook: np.ndarray
    masks: np.ndarray
    mask_eights: np.ndarray
    rom: np.ndarray
    prf_words: int
    stored_words: int


class Maps(NamedTuple):
    """Padded ifmaps of a batch: int16 [images, H', W', C'], and the same memory as [images * H' * W' * C' + 1]."""

    ifmap: np.ndarray
    flat: np.ndarray


class Waves(NamedTuple):
    """Registers of the array and the PRF as visible in each cycle of a window; `engine.registers` has the names.

    Attributes:
        valid, address: int64 [window, Rv, Rh].
        operand: int8 [window, Rv, Rh, TH].
        psum: int32 [window, Rv, L].
        sums, row: int32 [window, L].
    """

    valid: np.ndarray
    address: np.ndarray
    operand: np.ndarray
    psum: np.ndarray
    sums: np.ndarray
    row: np.ndarray


class Trace(NamedTuple):
    """What a run records cycle by cycle; each may be empty.

    Attributes:
        rows, cycles: every emitted psum row, int32 [n, L], and the cycle in which it is visible, int64 [n].
        since: int64 [1], the first cycle of the window of the others.
        causes: int8 [window], what each cycle goes to, -1 where the layer has not begun or has ended.
        registers: of the array; see Waves.
    """

    rows: np.ndarray
    cycles: np.ndarray
    since: np.ndarray
    causes: np.ndarray
    registers: Waves


def nothing(columns):
    """A trace of nothing. Python runs it, or Numba."""
    return Trace(
        rows=np.zeros((0, columns), np.int32),
        cycles=np.zeros(0, np.int64),
        since=np.full(1, NEVER, np.int64),
        causes=np.zeros(0, np.int8),
        registers=Waves(
            valid=np.zeros((0, 1, 1), np.int64),
            address=np.zeros((0, 1, 1), np.int64),
            operand=np.zeros((0, 1, 1, 1), np.int8),
            psum=np.zeros((0, 1, columns), np.int32),
            sums=np.zeros((0, columns), np.int32),
            row=np.zeros((0, columns), np.int32),
        ),
    )


class Core(NamedTuple):
    """The state of a run.

    Attributes:
        layer, ifmap, flat: what is run; see Maps.
        finished: int32 [images, OH * OW * K], receives the finished psums.
        gated: int64 [images], multiplications that a zero operand gates.
        trace: receives every emitted row while there is room.
        loader, memory, sequencer: LOADER, MEMORY, SEQUENCER [1].
        look_up: LOOK_UP [2], of the last cycle and of the one before.
        job_there, map_there, tile_there, visit_end: int64, the cycle from which weights of a chunk and
            the map of a visit are in L2 and its tile in L1, and in which the visit has ended.
        wrf, zeros: int8 [depth, H, L], and int32 [depth, H], zero weights among the multipliers used.
        crf: int8 [k, d].
        wrf_eights, crf_eights: the same memory as uint64 [.., L / 8] and [.., d / 8], if `eights`.
        scales: int64 [L], codes of the scales at hand.
        bank_load: int64 [banks of the codebook ROM], of the row at hand.
        prf, stored: int32 [images, words, L].
        entries: ENTRY [depth], of the chunk at hand.
        times: TIMES [1 + chunks], of the codebook and of each chunk; visit_times: VISIT_TIMES [visits].
    """

    layer: Layer
    ifmap: np.ndarray
    flat: np.ndarray
    finished: np.ndarray
    gated: np.ndarray
    trace: Trace
    loader: np.ndarray
    look_up: np.ndarray
    memory: np.ndarray
    sequencer: np.ndarray
    job_there: np.ndarray
    map_there: np.ndarray
    tile_there: np.ndarray
    visit_end: np.ndarray
    wrf: np.ndarray
    zeros: np.ndarray
    crf: np.ndarray
    wrf_eights: np.ndarray
    crf_eights: np.ndarray
    scales: np.ndarray
    bank_load: np.ndarray
    prf: np.ndarray
    stored: np.ndarray
    entries: np.ndarray
    times: np.ndarray
    visit_times: np.ndarray


def reset(p, layer, maps, acc, gated, trace):
    """The state before the first cycle, weights and ifmap far away. Python runs it, or Numba."""
    chunks, visits = layer.chunks, layer.visits
    crf = layer.rom if p.mode == Mode.ROM else np.zeros((max(p.codewords, 1), p.d), np.int8)
    wrf = np.zeros((p.wrf_depth, p.rows, p.columns), np.int8)
    times, visit_times = np.zeros(len(chunks) + 1, TIMES), np.zeros(len(visits), VISIT_TIMES)
    wrf_eights, crf_eights = np.zeros((1, 1, 1), np.uint64), np.zeros((1, 1), np.uint64)
    if p.eights:
        wrf_eights, crf_eights = wrf.view(np.uint64), crf.view(np.uint64)
    return Core(
        layer=layer,
        ifmap=maps.ifmap,
        flat=maps.flat,
        finished=acc,
        gated=gated,
        trace=trace,
        loader=np.zeros(1, LOADER),
        look_up=np.zeros(2, LOOK_UP),
        memory=np.zeros(1, MEMORY),
        sequencer=np.zeros(1, SEQUENCER),
        job_there=np.full(len(chunks) + 1, NEVER, np.int64),
        map_there=np.full(len(visits), NEVER, np.int64),
        tile_there=np.full(len(visits), NEVER, np.int64),
        visit_end=np.full(len(visits), NEVER, np.int64),
        wrf=wrf,
        zeros=np.zeros((p.wrf_depth, p.rows), np.int32),
        crf=crf,
        wrf_eights=wrf_eights,
        crf_eights=crf_eights,
        scales=np.zeros(p.columns, np.int64),
        bank_load=np.zeros(p.rom_banks, np.int64),
        prf=np.zeros((len(maps.ifmap), layer.prf_words, p.columns), np.int32),
        stored=np.zeros((len(maps.ifmap), layer.stored_words, p.columns), np.int32),
        entries=np.zeros(p.wrf_depth, ENTRY),
        times=times,
        visit_times=visit_times,
    )


@step
def take_over(p, core, found):
    """Starts from what the layer before left; returns the first cycle, negative if it begins in that one."""
    loader, memory, sequencer = core.loader[0], core.memory[0], core.sequencer[0]
    loader.job = -1 if p.codewords and p.mode != Mode.ROM else 0
    loader.extra = -1
    loader.full_at[:] = NEVER
    loader.written = loader.written_before = -1
    sequencer.fence_at = sequencer.sent_off = sequencer.sent_off_before = -NEVER
    sequencer.drained = NEVER
    chunks, visits = core.layer.chunks, core.layer.visits
    for n in range(len(chunks)):
        if not p.memory or chunks[n].dram_bytes == 0:
            core.job_there[n] = -NEVER
    for n in range(len(visits)):
        if visits[n].dram_bytes == 0:
            core.map_there[n] = -NEVER
    if not p.memory:
        return np.int64(0)
    loader.written, loader.written_before = found.written, found.written_before
    loader.ready_at = found.written + 1
    loader.free_at[0], loader.free_at[1] = found.bank_before, found.bank
    if p.banks == 1:
        loader.free_at[0] = max(found.bank, found.bank_before)
    memory.dram_free = found.dram
    return min(np.int64(0), memory.dram_free, loader.ready_at)


@step
def hand_over(t, p, core, left):
    """What the next layer finds, as seen from cycle t + 1.

    Times that no next job or transfer could use any more are brought forward.
    """
    loader, chunks = core.loader[0], len(core.layer.chunks)
    written, before = loader.written, loader.written_before
    left.written, left.written_before = written - t - 1, before - t - 1
    left.bank = max(loader.free_at[chunks - 1 & p.banks - 1], written + 1) - t - 1
    left.bank_before = max(loader.free_at[chunks & p.banks - 1], written + 1) - t - 1
    left.dram = max(core.memory[0].dram_free, before + 1) - t - 1
