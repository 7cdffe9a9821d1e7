"""The closed form of the machine: counts of a layer from its Schedule, without running it.

Formulas, never a loop over cycles or pixels; the cycles are in `recurrence`, the accesses in `accesses`.
Written from docs/timing.md, sharing nothing with the engine but the Schedule; tests hold the two equal.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate

from sim.accelerator import Accelerator
from sim.results import LayerCounts
from sim.shapes import WORD, ConvShape, PassShape, words
from sim.systolic.closed_form import recurrence
from sim.systolic.closed_form.accesses import layer_accesses
from sim.systolic.results import CAUSES, CONTROL_CYCLES, PASS_STAGES, Handover
from sim.systolic.schedule import Schedule, spills
from sim.technology import off_chip


def core_cycles(schedule: Schedule) -> dict[str, int]:
    """Cycles of the core alone, by cause, with `core_cycles` and the `beats` it accepts."""
    run = recurrence.run(schedule, None)
    beats = run.weights.streamed * 8 // schedule.accelerator.weight_port_bits
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
    accesses = layer_accesses(schedule, shape, run.weights)
    cycles = dict.fromkeys(CAUSES, 0) | run.cycles
    return LayerCounts(shape.name, shape.macs, cycles, accesses, schedule), run.handover


@lru_cache(maxsize=8192)
def _recurrence(schedule: Schedule, found: Handover) -> recurrence.Run:
    return recurrence.run(schedule, found)


def forget() -> None:
    """Empties the memory of layers counted; for benchmarks."""
    _recurrence.cache_clear()


def pass_counts(
    shape: PassShape, accelerator: Accelerator, source: str = "l2", found: Handover | None = None
) -> tuple[LayerCounts, Handover]:
    """Counts of a pass over feature maps on the storer lanes, and what it leaves to the next layer.

    Args:
        source: where its operands are: "l1", "l2" or "dram".
    """
    acc, found = accelerator, found or Handover()
    read, written = shape.brought_bytes(acc.ifmap_bytes), shape.ofmap_bytes
    start = acc.dma_setup + acc.l2_latency
    work = shape.cycles(acc.requant_lanes)
    brought, dram_there, dram = 0, 0, found.dram
    if source != "l1":
        beats = -(-read * 8 // acc.dma_bits)
        brought = start + beats + (-(-beats // 16) - 1) * acc.dma_burst_gap
    if source == "dram":
        memory = off_chip(acc)
        rows = -(-read // memory.row_bytes)
        dram = max(found.dram, 0) + -(-read * 8 // memory.bits) + rows * memory.row_cycles
        dram_there = dram + memory.latency + start
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
        "l1": shape.ifmap_bytes + read * (source != "l1") + 2 * written,
    }
    left = found._replace(dram=dram).later(end)
    return LayerCounts(shape.name, 0, cycles, accesses), left


def _pass_sent(shape: PassShape, acc: Accelerator, work: int, end: int) -> int:
    """When the last batch of results has left: batches are complete at even distances, the last one at the
    end.

    A batch waits for those before it. From a batch to the one that begins at the same place in a word, and
    from one pixel to the next, its lead over the beats that follow it grows or shrinks steadily: only the
    first and the last batches of the first and the last pixel can decide.
    """
    lanes = acc.requant_lanes
    channels = shape.channels or min(lanes, shape.results)
    pixels, batches = -(-shape.results // channels), -(-channels // lanes)
    count = pixels * batches

    def beats(first: int) -> int:
        """Beats of the batch that begins with this channel."""
        return -(-8 * WORD * words(first, min(lanes, channels - first)) // acc.dma_bits)

    period = min(batches, WORD)  # places in a word repeat after so many batches, all but the last one full
    before = [0, *accumulate(beats(n * lanes) for n in range(period))]
    whole = before[period] if period == WORD else 0

    def earlier(n: int) -> int:
        """Beats of the batches of a pixel before number n."""
        return n // WORD * whole + before[n % WORD]

    pixel = earlier(batches - 1) + beats((batches - 1) * lanes)
    latest = 0
    for y in {0, pixels - 1}:
        for n in {*range(period), *range(max(0, batches - 1 - WORD), batches)}:
            number = y * batches + n + 1
            complete = end if number == count else CONTROL_CYCLES + -(-number * work // count)
            following = (pixels - y) * pixel - earlier(n)
            latest = max(latest, complete - 1 + PASS_STAGES + following)
    return latest
