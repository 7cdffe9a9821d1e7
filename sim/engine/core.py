"""One scheduled layer on the cycle engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim import encoding
from sim.engine import kernel
from sim.program import Program

_MODES = {"dense": kernel.DENSE, "split": kernel.SPLIT, "vq": kernel.VQ, "mvq": kernel.MVQ}


@dataclass(frozen=True, eq=False)
class LayerRun:
    """What one layer did.

    Attributes:
        acc: int32 [batch, K, OH, OW], psums without bias.
        counters: by name, of one image; `core_cycles` and the cycles by cause among them.
        rows, row_cycles: with `trace`, int32 [emitted, L] and int64 [emitted]: every psum row of
            the first image in emission order and the cycle in which it is visible.
    """

    acc: np.ndarray
    counters: dict[str, int]
    rows: np.ndarray
    row_cycles: np.ndarray


def run_program(program: Program, token_ifmap: np.ndarray, trace: bool = False) -> LayerRun:
    """Runs a layer cycle by cycle.

    Args:
        program: from `sim.program.lower`.
        token_ifmap: int8 [batch, C', H', W'] from `sim.program.token_ifmap`.
        trace: record every emitted psum row (first image only).
    """
    layer = program.schedule.shape
    x = np.ascontiguousarray(np.moveaxis(token_ifmap, 1, -1))
    acc = np.zeros((len(x), layer.out_h, layer.out_w, layer.outputs), np.int32)
    counters = np.zeros((len(x), len(kernel.COUNTERS)), np.int64)
    columns = program.schedule.accelerator.columns
    emitted = int((program.chunks["pixels"] * program.chunks["a"]).sum()) if trace else 0
    rows, cycles = np.zeros((emitted, columns), np.int32), np.zeros(emitted, np.int64)
    arguments = (_parameters(program), program.chunks.view(np.recarray), _flat(program.beats),
                 _flat(program.codebook), _masks(program))
    if trace:
        kernel.run_core(*arguments, x[0], acc[0], rows, cycles, counters[0])
    else:
        kernel.run_batch(*arguments, x, acc, counters)
    named = dict(zip(kernel.COUNTERS, counters[0].tolist(), strict=True))
    return LayerRun(np.moveaxis(acc, -1, 1), named, rows, cycles)


def _flat(beats: np.ndarray) -> np.ndarray:
    return np.append(beats.ravel(), np.uint64(0))


def _masks(program: Program) -> np.ndarray:
    acc = program.schedule.accelerator
    if program.schedule.format != "mvq":
        return np.zeros(1, np.uint32)
    # The table is read-only, which Numba takes for another type and compiles everything again.
    return encoding.mask_table(acc.keep, acc.group).copy()


def _parameters(program: Program) -> tuple[int, ...]:
    schedule, layer = program.schedule, program.schedule.shape
    acc = schedule.accelerator
    coded = schedule.format in ("vq", "mvq")
    values = dict(
        rows=acc.rows, columns=acc.columns, stages=acc.row_stages + acc.column_stages,
        port=acc.weight_port_bits, wrf_depth=acc.wrf_depth, overlap=int(schedule.overlap),
        mode=_MODES[schedule.format], d=acc.codeword_length, q=acc.multipliers_per_codeword,
        codes=acc.codeword_length // acc.group if schedule.format == "mvq" else 0,
        mask_bits=acc.mask_code_bits, group=acc.group,
        index_bits=encoding.index_bits(schedule.codewords) if coded else 0,
        codewords=schedule.codewords if coded else 0, arf_reuse=int(acc.arf_reuse),
        kernel_x=layer.kernel[1], stride_y=layer.stride[0], stride_x=layer.stride[1],
        pad_y=layer.padding[0], pad_x=layer.padding[1], height=layer.size[0], width=layer.size[1],
        psum_words=acc.psum_store_bits // 8, sparse=int(acc.sparse_tile),
    )
    return tuple(values[name] for name in kernel.PARAMETERS)
