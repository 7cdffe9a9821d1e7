"""The closed form of the machine: accesses from a Schedule, without running it.

Formulas, never a loop over cycles or pixels; the cycles are in `recurrence`. Written from
docs/timing.md, sharing nothing with the engine but the Schedule; tests hold the two equal.
"""

from __future__ import annotations

from functools import lru_cache

from sim.accelerator import Accelerator
from sim.shapes import WORD, ConvShape, PassShape
from sim.systolic.closed_form import demands, recurrence
from sim.systolic.results import CAUSES, CONTROL_CYCLES, PASS_STAGES, Handover, LayerCounts
from sim.systolic.schedule import CODED, Schedule, spills
from sim.systolic.tiling import ifmap_lines


def core_counts(schedule: Schedule) -> dict[str, int]:
    """Every access counter of the core (docs/timing.md sections 6 and 8), by the engine's names."""
    counts = _part_counts(schedule, *schedule.part_of(schedule.parts - 1))
    if schedule.parts > 1:
        full = _part_counts(schedule, *schedule.part_of(0))
        counts = {name: (schedule.parts - 1) * full[name] + counts[name] for name in full}
    codebook = schedule.codewords * schedule.accelerator.codeword_length
    counts["crf_write"] = codebook * schedule.loads_codebook
    return counts


def _part_counts(schedule: Schedule, channels: int, outputs: int) -> dict[str, int]:
    layer, acc = schedule.shape, schedule.accelerator
    pixels = layer.out_h * layer.out_w
    trips_i, trips_j, trips_k = schedule.trips
    taps = schedule.positions * schedule.split
    groups, channel_groups = -(-outputs // acc.columns), -(-channels // acc.rows)
    columns = [schedule.columns_of(g, outputs) for g in range(groups)]
    d, q = acc.codeword_length, acc.multipliers_per_codeword
    coded = schedule.format in CODED
    # Multipliers that a row of `c` columns uses, and weights it stores: whole records but for dense.
    used = sum(-(-c // d) * q if acc.sparse_tile else c for c in columns)
    kept = used if not coded or acc.sparse_tile else sum(-(-c // d) * d for c in columns)
    if schedule.format == "block":
        used = kept = layer.outputs // layer.groups
    records = sum(-(-c // d) for c in columns)
    words = acc.psum_store_bits // 8
    reads, new = ifmap_reads(layer, schedule.d, schedule.reuses)
    spilled = pixels * (trips_j * trips_k - 1)
    return {
        "tokens": pixels * groups * channel_groups * taps,
        "vectors": pixels * trips_i * channel_groups * schedule.positions,
        "wrf_rows": schedule.tiles * channels * taps * groups,
        "psum_rows_read": groups * spilled,
        "psum_rows_written": groups * spilled,
        "finished_rows": pixels * groups,
        "mac": pixels * channels * taps * used,
        "wrf_read": pixels * channels * taps * used,
        "wrf_write": schedule.tiles * channels * taps * kept,
        "arf_read": trips_i * channels * reads,
        "arf_write": trips_i * channels * new,
        "l1_ifmap_read": trips_i * channels * new,
        "prf_read": pixels * channel_groups * taps * outputs,
        "prf_write": pixels * channel_groups * taps * outputs,
        "crf_read": schedule.tiles * channels * schedule.positions * records * d * coded,
        "l1_psum_read": outputs * spilled * words,
        "l1_psum_write": outputs * spilled * words,
    }


def core_cycles(schedule: Schedule) -> dict[str, int]:
    """Cycles of the core alone, by cause, with `core_cycles` and the `beats` it accepts."""
    run = recurrence.run(schedule, None)
    beats = run.weight_bytes * 8 // schedule.accelerator.weight_port_bits
    return run.cycles | {"core_cycles": sum(run.cycles.values()), "beats": beats}


def layer_counts(
    schedule: Schedule, shape: ConvShape, found: Handover | None = None
) -> tuple[LayerCounts, Handover]:
    """Counts of a convolution, and what it leaves to the next layer.

    Args:
        schedule: how it runs (its shape may be folded).
        shape: the layer itself.
        found: what the layer before left; by default nothing ran before.
    """
    run = _recurrence(schedule, found or Handover())
    accesses = layer_accesses(schedule, shape, run.weight_bytes, run.dram_weight_bytes)
    cycles = dict.fromkeys(CAUSES, 0) | run.cycles
    return LayerCounts(shape.name, shape.macs, cycles, accesses, schedule), run.handover


@lru_cache(maxsize=8192)
def _recurrence(schedule: Schedule, found: Handover) -> recurrence.Run:
    return recurrence.run(schedule, found)


def forget() -> None:
    """Empties the memory of layers counted; for benchmarks."""
    _recurrence.cache_clear()
    demands.forget()


def layer_accesses(schedule: Schedule, shape: ConvShape, streamed: int, weights: int) -> dict[str, int]:
    """Accesses of a convolution by memory (docs/timing.md section 8), and `mac`.

    Args:
        streamed: bytes that the weight port accepts.
        weights: bytes of them that DRAM delivers.
    """
    core = core_counts(schedule)
    ifmap, residual, map_dram = _map_bytes(schedule)
    ofmap = WORD * shape.out_h * shape.out_w * schedule.tiling.ofmap_words
    added = ofmap if shape.residual else 0
    ofmap_dram = shape.ofmap_bytes if schedule.spills else 0
    return {
        "dram": weights + map_dram + ofmap_dram,
        "l2": weights + streamed + map_dram + ifmap + residual + ofmap + ofmap_dram,
        "l1": (
            ifmap
            + core["l1_ifmap_read"]
            + core["l1_psum_read"]
            + core["l1_psum_write"]
            + 2 * ofmap
            + residual
            + added
        ),
        "arf": core["arf_read"] + core["arf_write"],
        "wrf": core["wrf_read"] + core["wrf_write"],
        "prf": core["prf_read"] + core["prf_write"],
        "crf": (core["crf_read"] + core["crf_write"]) * (schedule.format != "rom"),
        "rom": core["crf_read"] * (schedule.format == "rom"),
        "mac": core["mac"],
    }


def pass_counts(
    shape: PassShape, accelerator: Accelerator, source: str = "l2", found: Handover | None = None
) -> tuple[LayerCounts, Handover]:
    """Counts of a pass over feature maps on the storer lanes, and what it leaves to the next layer.

    Args:
        source: where its operands are: "l1", "l2" or "dram".
    """
    acc, found = accelerator, found or Handover()
    read, written = shape.ifmap_bytes, shape.ofmap_bytes
    start = acc.dma_setup + acc.l2_latency
    work = shape.cycles(acc.requant_lanes)
    brought, dram_there, dram = 0, 0, found.dram
    if source != "l1":
        beats = -(-read * 8 // acc.dma_bits)
        brought = start + beats + (-(-beats // 16) - 1) * acc.dma_burst_gap
    if source == "dram":
        rows = -(-read // acc.dram_row_bytes)
        dram = max(found.dram, 0) + -(-read * 8 // acc.dram_bits) + rows * acc.dram_row_cycles
        dram_there = dram + acc.dram_latency + start
    cycles = dict.fromkeys(CAUSES, 0) | {"control": CONTROL_CYCLES, "vector": work}
    end = CONTROL_CYCLES + work
    for cause, until in (("dma", brought), ("dram", dram_there)):
        cycles[cause] += max(0, until - end)
        end = max(end, until)
    sent = _pass_sent(shape, acc, work, end)
    cycles["drain"] = sent + start - end
    end = sent + start
    moved = read * (source == "dram") + written * spills(shape, acc)
    accesses = dict.fromkeys(("arf", "wrf", "prf", "crf", "rom", "mac"), 0)
    accesses |= {
        "dram": moved,
        "l2": moved + read * (source != "l1") + written,
        "l1": read * (1 + (source != "l1")) + 2 * written,
    }
    left = found._replace(dram=dram).later(end)
    return LayerCounts(shape.name, 0, cycles, accesses), left


def _pass_sent(shape: PassShape, acc: Accelerator, work: int, end: int) -> int:
    """When the last batch of results has left: batches are complete at even distances, the last one at the
    end.

    A batch waits for those before it, of which only the first pixel's or the last one's can decide: from one
    pixel to the next its lead over the beats that follow it grows or shrinks steadily.
    """
    pixels, groups = shape.batches(acc.requant_lanes)
    beats = [-(-8 * WORD * group // acc.dma_bits) for group in groups]
    count = pixels * len(beats)
    latest = 0
    for pixel in {0, pixels - 1}:
        for n in range(len(beats)):
            number = pixel * len(beats) + n + 1
            complete = end if number == count else CONTROL_CYCLES + -(-number * work // count)
            following = sum(beats[n:]) + (pixels - 1 - pixel) * sum(beats)
            latest = max(latest, complete - 1 + PASS_STAGES + following)
    return latest


def _map_bytes(schedule: Schedule) -> tuple[int, int, int]:
    """Bytes of ifmap tiles, halos included, and of residual tiles brought into L1; and of maps from DRAM."""
    layer = schedule.shape
    lines = schedule.ifmap_passes * ifmap_lines(layer, schedule.tile_rows)
    line = WORD * layer.size[1] * schedule.tiling.ifmap_words(schedule.tiling.tile_channels)[1]
    residual = (
        WORD * layer.out_h * layer.out_w * schedule.tiling.residual_words(schedule.tiling.tile_outputs)[1]
    )
    return (
        0 if schedule.source == "l1" else lines * line,
        residual,
        lines * (layer.line_bytes or line) + residual if schedule.source == "dram" else 0,
    )


def _inside(low: int, high: int, offset: int, stride: int, size: int) -> int:
    """How many o in low..high-1 have 0 <= o*stride + offset < size."""
    first = max(low, -(offset // stride))  # ceil(-offset / stride)
    last = min(high - 1, (size - 1 - offset) // stride)
    return max(0, last - first + 1)


@lru_cache(maxsize=1024)
def ifmap_reads(layer: ConvShape, resident: int, reuses: bool) -> tuple[int, int]:
    """Unpadded (pixel, position) pairs: all of them, and those that a fetch must deliver.

    Args:
        resident: D, kernel positions at a time.
        reuses: the ARF keeps a sliding window.
    """
    (_, kx), (sy, sx), (py, px) = layer.kernel, layer.stride, layer.padding
    positions = layer.kernel[0] * kx
    reads = new = 0
    for position in range(positions):
        y, x = divmod(position, kx)
        in_rows = _inside(0, layer.out_h, y * layer.dilation[0] - py, sy, layer.size[0])
        offset = x * layer.dilation[1] - px
        first = _inside(0, 1, offset, sx, layer.size[1])
        others = _inside(1, layer.out_w, offset, sx, layer.size[1])
        reads += in_rows * (first + others)
        # The last resident position of this kernel row; closer than a stride to it is new.
        end = min((position // resident + 1) * resident, (y + 1) * kx, positions)
        fresh = not reuses or position + sx >= end
        new += in_rows * (first + others * fresh)
    return reads, new
