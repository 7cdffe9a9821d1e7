"""What the loader makes of a weight row in each format, compiled (sim/formats lays the rows out)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from sim.systolic.engine.compiled import step


class Mode(IntEnum):
    """How the loader reads a weight row, by the name of the format; from VQ on through a codebook."""

    DENSE = 0
    SPLIT = 1
    BLOCK = 2
    VQ = 3
    MVQ = 4
    SSVQ = 5
    ROM = 6


@step
def multipliers(columns, p):
    """Multipliers of an array row that serve `columns` output channels."""
    if p.mode == Mode.BLOCK:
        return np.int64(p.block_outputs)
    if p.sparse:
        return np.int64((columns + p.d - 1) // p.d * p.q)
    return np.int64(columns)


@step
def decode_row(row, words, position, width, u, h, p, crf, masks):
    """Decodes one weight row into `row` [L]; returns the number of weights it stores."""
    row[:] = 0
    if p.mode == Mode.DENSE:
        count = width // 8
        for c in range(count):
            row[c] = signed_byte(words, position + 8 * c)
        return count
    if p.mode == Mode.SPLIT:
        count = width // 8
        for n in range(count):
            row[(n // p.q) * p.d + u * p.q + n % p.q] = signed_byte(words, position + 8 * n)
        return count
    if p.mode == Mode.BLOCK:
        first = h // p.block_inputs * p.block_outputs
        for c in range(p.block_outputs):
            row[first + c] = signed_byte(words, position + 8 * c)
        return p.block_outputs
    low_bits = p.codes * p.mask_bits + (p.d if p.mode == Mode.SSVQ else 0)
    record_bits = low_bits + p.index_bits
    records = width // record_bits
    for n in range(records):
        at = position + n * record_bits
        index = _bits(words, at + low_bits, p.index_bits)
        if p.mode == Mode.MVQ:
            for g in range(p.codes):
                mask = masks[_bits(words, at + g * p.mask_bits, p.mask_bits)]
                for c in range(p.group):
                    row[n * p.d + g * p.group + c] = crf[index, g * p.group + c] & mask[c]
        else:
            signs = _bits(words, at, p.d) if p.mode == Mode.SSVQ else np.int64(0)
            for c in range(p.d):
                value = crf[index, c]
                row[n * p.d + c] = -value if signs >> c & 1 else value
    return records * p.q


@step
def rom_cycles(words, position, width, p, load):
    """Cycles in which the banks serve the codewords of one row: the fullest one decides."""
    load[:] = 0
    worst = 0
    for n in range(width // p.index_bits):
        bank = _bits(words, position + n * p.index_bits, p.index_bits) % p.rom_banks
        load[bank] += 1
        worst = max(worst, load[bank])
    return -(-worst // p.rom_ports)


@step
def _bits(words, position, count):
    """`count` <= 57 bits at bit `position` of a little-endian uint64 array."""
    word, shift = position >> 6, position & 63
    value = words[word] >> np.uint64(shift)
    if shift + count > 64:
        value |= words[word + 1] << np.uint64(64 - shift)
    return np.int64(value & ((np.uint64(1) << np.uint64(count)) - np.uint64(1)))


@step
def signed_byte(words, position):
    byte = _bits(words, position, 8)
    return np.int8(byte - 256 if byte > 127 else byte)
