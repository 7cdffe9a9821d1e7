"""What the loader makes of a weight row in each format, compiled (sim/formats lays the rows out)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from sim.systolic.engine.compiled import step


class Mode(IntEnum):
    """How the loader reads a weight row, by the name of the format."""

    DENSE = 0
    SPLIT = 1
    BLOCK = 2
    VQ = 3
    MVQ = 4
    SSVQ = 5
    ROM = 6
    INT4 = 7
    INT3 = 8
    INT2 = 9
    MXFP4 = 10
    NVFP4 = 11
    MXINT8 = 12
    TERNARY = 13
    AQLM = 14


LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
ONES = np.uint64(0x0101010101010101)


@step
def multipliers(columns, p):
    """Multipliers of an array row that serve `columns` output channels."""
    if p.mode == Mode.BLOCK:
        return np.int64(p.block_outputs)
    if p.sparse:
        return np.int64((columns + p.d - 1) // p.d * p.q)
    return np.int64(columns)


@step
def decode_row(core, entry, h, position, width, u, p):
    """Decodes one weight row into array row h of a WRF entry; returns the number of weights it stores."""
    row, words = core.wrf[entry, h], core.layer.words
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
    if Mode.INT4 <= p.mode <= Mode.MXINT8:
        return _scaled_row(row, core.scales, words, position, width // p.record_bits, p)
    low_bits = p.codes * p.mask_bits + (p.d if p.mode == Mode.SSVQ else 0)
    records = width // p.record_bits
    for n in range(records):
        at = position + n * p.record_bits
        if p.mode == Mode.TERNARY:
            _ternary(row[n * p.d :], words, at, p)
            continue
        if p.mode == Mode.AQLM:
            _added(row[n * p.d :], core, at, p)
            continue
        index = _bits(words, at + low_bits, p.index_bits)
        if p.mode == Mode.SSVQ:
            _signed(row[n * p.d :], core.crf[index], _bits(words, at, p.d), p)
        elif p.eights:
            _masked_eights(core, entry, h, n, index, at, p)
        else:
            _masked(row[n * p.d :], core.crf[index], core.layer, at, p)
    return records * p.q


@step
def take_scales(core, n, position, width, p):
    """Row n of a group's scales: `record_bits` of the code of each column, above those of the rows before."""
    for c in range(width // p.record_bits):
        code = _bits(core.layer.words, position + c * p.record_bits, p.record_bits)
        core.scales[c] = code if n == 0 else core.scales[c] | code << n * p.record_bits


@step
def _scaled_row(row, scales, words, position, count, p):
    """Elements times or shifted by their scales."""
    sign = np.int64(1) << p.record_bits - 1
    for c in range(count):
        code, scale = _bits(words, position + c * p.record_bits, p.record_bits), scales[c]
        if p.mode == Mode.MXFP4 or p.mode == Mode.NVFP4:
            low, high = code & 1, code >> 1 & 3
            value = low if high == 0 else (2 + low) << high - 1
            value = -value if code & 8 else value
        else:
            value = (code ^ sign) - sign
        if p.mode == Mode.MXFP4:
            value <<= scale
        elif p.mode == Mode.MXINT8:
            value = value if scale == 0 else (value >> scale - 1) + 1 >> 1
        else:
            value *= scale + 1
        row[c] = value
    return np.int64(count)


@step
def _ternary(row, words, at, p):
    """Five digits a byte, the last ones in fewer bits."""
    for c in range(0, p.d, 5):
        number = _bits(words, at + c // 5 * 8, min(8, p.record_bits - c // 5 * 8))
        for digit in range(c, min(c + 5, p.d)):
            row[digit] = number % 3 - 1
            number //= 3


@step
def _added(row, core, at, p):
    """The sum of a codeword of either codebook."""
    first = core.crf[2 * _bits(core.layer.words, at, p.index_bits)]
    second = core.crf[2 * _bits(core.layer.words, at + p.index_bits, p.index_bits) + 1]
    for c in range(p.d):
        row[c] = first[c] + second[c]


@step
def _signed(row, codeword, signs, p):
    for c in range(p.d):
        value = codeword[c]
        row[c] = -value if signs >> c & 1 else value


@step
def _masked(row, codeword, layer, at, p):
    """A codeword, of which the masks from bit `at` on keep elements; all without masks."""
    for c in range(p.d):
        row[c] = codeword[c]
    for g in range(p.codes):
        mask = layer.masks[_bits(layer.words, at + g * p.mask_bits, p.mask_bits)]
        for c in range(p.group):
            row[g * p.group + c] &= mask[c]


@step
def _masked_eights(core, entry, h, n, index, at, p):
    """As `_masked`, eight elements at a time."""
    row, codeword, layer = core.wrf_eights[entry, h], core.crf_eights[index], core.layer
    first = n * (p.d // 8)
    for c in range(p.d // 8):
        row[first + c] = codeword[c]
    for g in range(p.codes):
        mask = layer.mask_eights[_bits(layer.words, at + g * p.mask_bits, p.mask_bits)]
        for c in range(p.group // 8):
            row[first + g * (p.group // 8) + c] &= mask[c]


@step
def nonzero(core, entry, h, p):
    """How many weights of a WRF row are not zero."""
    kept = np.int64(0)
    if not p.eights:
        for c in range(p.columns):
            kept += core.wrf[entry, h, c] != 0
        return kept
    for c in range(p.columns // 8):
        eight = core.wrf_eights[entry, h, c]
        # The highest bit of each byte that is not zero, then all of them added up in the highest byte.
        flags = (((eight & LOW) + LOW) | eight) & ~LOW
        kept += np.int64(((flags >> np.uint64(7)) * ONES) >> np.uint64(56))
    return kept


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
