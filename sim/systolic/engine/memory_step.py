"""One cycle of DMA and DRAM: what they begin to bring (docs/timing.md section 7)."""

from __future__ import annotations

import numpy as np

from sim.systolic.engine.compiled import step
from sim.systolic.engine.state import NEVER


@step
def acts(p, core):
    """The first cycle in which DMA or DRAM begins something, for all that is known now."""
    return min(_tile_begins(p, core), _transfer_begins(core))


@step
def bring_tiles(t, p, core):
    """DMA: the next ifmap tile."""
    memory, visits = core.memory[0], core.layer.visits
    while t >= _tile_begins(p, core):
        n = memory.next_tile
        memory.dma_free = t + _dma(visits[n].ifmap_bytes, p) + _dma(visits[n].residual_bytes, p)
        core.tile_there[n] = memory.dma_free
        core.visit_times[n].tile[0], core.visit_times[n].tile[1] = t, memory.dma_free
        memory.next_tile += 1


@step
def _tile_begins(p, core):
    """The next tile may begin to come once its map is in L2 and a buffer of L1 is free."""
    memory = core.memory[0]
    n = memory.next_tile
    if n == len(core.layer.visits):
        return np.int64(NEVER)
    begin = max(memory.dma_free, core.map_there[n], 0)
    return begin if n < p.ifmap_buffers else max(begin, core.visit_end[n - p.ifmap_buffers])


@step
def read_dram(t, p, core):
    """DRAM: weights of jobs and tiles of maps in a fixed order."""
    memory, chunks, visits = core.memory[0], core.layer.chunks, core.layer.visits
    while t >= _transfer_begins(core):
        if _map_is_next(core):
            n = memory.next_map
            if visits[n].dram_bytes > 0:
                memory.dram_free = t + _dram(visits[n].dram_bytes, p)
                core.map_there[n] = memory.dram_free + p.dram_latency
                core.visit_times[n].dram[0], core.visit_times[n].dram[1] = t, memory.dram_free
            memory.next_map += 1
            continue
        n = memory.next_job
        if chunks[n].dram_bytes > 0:
            memory.dram_free = t + _dram(np.int64(chunks[n].dram_bytes), p)
            core.job_there[n] = memory.dram_free + p.dram_latency
            core.times[n + 1].dram[0], core.times[n + 1].dram[1] = t, memory.dram_free
        if n == 0 or chunks[n - 1].visit != chunks[n].visit:
            memory.maps_first = chunks[n].visit + 2
        memory.next_job += 1


@step
def _map_is_next(core):
    memory = core.memory[0]
    maps, jobs = len(core.layer.visits), len(core.layer.chunks)
    return memory.next_map < maps and (memory.next_map < memory.maps_first or memory.next_job == jobs)


@step
def _transfer_begins(core):
    """The next transfer may begin once DRAM is free and L2 has room, for two maps and the weights of two jobs."""
    memory, loader, layer = core.memory[0], core.loader[0], core.layer
    if _map_is_next(core):
        n = memory.next_map
        if layer.visits[n].dram_bytes == 0:
            return np.int64(-NEVER)
        begin = max(memory.dram_free, 0)
        return begin if n < 2 else max(begin, core.tile_there[n - 2])
    n, loading = memory.next_job, max(loader.job, 0)
    if n == len(layer.chunks):
        return np.int64(NEVER)
    if layer.chunks[n].dram_bytes == 0:
        return np.int64(-NEVER)
    if n > loading + 1:
        return np.int64(NEVER)
    if n == 0:
        return max(memory.dram_free, loader.written_before + 1)
    return max(memory.dram_free, loader.written + 1) if n == loading + 1 else memory.dram_free


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
