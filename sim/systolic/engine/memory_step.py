"""One cycle of DMA and DRAM: what they begin to bring (docs/timing.md section 7)."""

from __future__ import annotations

import numpy as np

from sim.systolic.engine.compiled import step


@step
def bring_tiles(t, p, core):
    """DMA: the next ifmap tile, once its map is in L2 and a buffer of L1 is free."""
    memory, visits = core.memory[0], core.layer.visits
    while memory.next_tile < len(visits) and t >= 0:
        n = memory.next_tile
        if t < memory.dma_free or t < core.map_there[n]:
            break
        if n >= p.ifmap_buffers and t < core.visit_end[n - p.ifmap_buffers]:
            break
        memory.dma_free = t + _dma(visits[n].ifmap_bytes, p) + _dma(visits[n].residual_bytes, p)
        core.tile_there[n] = memory.dma_free
        memory.next_tile += 1


@step
def read_dram(t, p, core):
    """DRAM: weights of jobs and tiles of maps in a fixed order."""
    memory = core.memory[0]
    jobs, maps = len(core.layer.chunks), len(core.layer.visits)
    while memory.next_job < jobs or memory.next_map < maps:
        if memory.next_map < maps and (memory.next_map < memory.maps_first or memory.next_job == jobs):
            if not _map_begins(t, p, core):
                break
        elif not _weights_begin(t, p, core):
            break


@step
def _map_begins(t, p, core):
    """The next map begins to come, or need not; L2 has room for two."""
    memory, visits = core.memory[0], core.layer.visits
    n = memory.next_map
    if visits[n].dram_bytes > 0:
        if t < memory.dram_free or t < 0 or (n >= 2 and t < core.tile_there[n - 2]):
            return False
        memory.dram_free = t + _dram(visits[n].dram_bytes, p)
        core.map_there[n] = memory.dram_free + p.dram_latency
    memory.next_map += 1
    return True


@step
def _weights_begin(t, p, core):
    """The weights of the next job begin to come, or need not; L2 has room for those of two."""
    memory, loader, chunks = core.memory[0], core.loader[0], core.layer.chunks
    n, loading = memory.next_job, max(loader.job, 0)
    if chunks[n].dram_bytes > 0:
        if t < memory.dram_free or n > loading + 1:
            return False
        if (n == 0 and t <= loader.written_before) or (n == loading + 1 and t <= loader.written):
            return False
        memory.dram_free = t + _dram(np.int64(chunks[n].dram_bytes), p)
        core.job_there[n] = memory.dram_free + p.dram_latency
    if n == 0 or chunks[n - 1].visit != chunks[n].visit:
        memory.maps_first = chunks[n].visit + 2
    memory.next_job += 1
    return True


@step
def _dma(size, p):
    """Cycles of one DMA descriptor of `size` bytes."""
    if size == 0:
        return np.int64(0)
    beats = -(-size * 8 // p.dma_bits)
    return p.dma_start + beats + (-(-beats // 16) - 1) * p.dma_gap


@step
def _dram(size, p):
    """Cycles for which a transfer of `size` bytes occupies DRAM."""
    return -(-size * 8 // p.dram_bits) + -(-size // p.dram_row) * p.dram_row_cycles
