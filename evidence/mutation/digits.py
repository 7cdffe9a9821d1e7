"""Vectors for the parts of the digit-serial machine."""

from __future__ import annotations

from functools import partial

import numpy as np

from evidence.mutation.suite import Vectors, VectorSuite
from evidence.mutation.words import below, chance, int8, number, pack
from rtl.digit_serial.array import TernaryArray
from rtl.digit_serial.charges import ChargeRows
from rtl.digit_serial.controller import DigitController
from rtl.digit_serial.neuron import Neuron
from rtl.digit_serial.ternary_pe import TernaryPe
from rtl.digit_serial.ternary_tile import COLUMNS, ROWS, SUM_BITS, TernaryTile
from sim.digit_serial.accelerator import DigitSerial

_DIGITS = (0, 1, 3)
"""Bits of 0, 1 and -1; the fourth pattern is none."""
_CHARGE, _PARAMETER = 8, 6
"""Bits in which charges wrap soon."""


def _signed(value: int, width: int) -> int:
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value


def _value(digit: int) -> int:
    return (0, 1, 0, -1)[digit]


def _pe(rng: np.random.Generator) -> Vectors:
    weights = [0, 0, 0, 0]
    for n in range(400):
        write, address = int(n < 4 or chance(rng, 0.3)), n if n < 4 else below(rng, 4)
        data, read, digit, above = int(int8(rng)), below(rng, 4), int(rng.choice(_DIGITS)), number(rng, 11)
        inputs = {
            "write_enable": write,
            "write_address": address,
            "write_data": data,
            "read_address": read,
            "digit": digit if n >= 4 else 0,
            "psum_in": above,
        }
        yield inputs, {"psum_out": above + _value(inputs["digit"]) * weights[read]}
        if write:
            weights[address] = data


class _Adders:
    """Rows of `COLUMNS` weights, all written before the first tap."""

    def __init__(self, rows: int, depth: int) -> None:
        self.rows, self.depth = rows, depth
        self.weights = np.zeros((rows, depth, COLUMNS), np.int64)
        self.first = [(row, entry) for row in range(rows) for entry in range(depth)]

    def tap(self, rng: np.random.Generator, n: int) -> tuple[int, list[int], int]:
        """valid, digits and address."""
        density = rng.choice([0.0, 0.3, 1.0])
        digits = [int(rng.choice(_DIGITS)) if chance(rng, density) else 0 for _ in range(self.rows)]
        return int(n >= len(self.first) and chance(rng, 0.8)), digits, below(rng, self.depth)

    def write(self, rng: np.random.Generator, n: int) -> tuple[int, int, int, np.ndarray]:
        """Whether, row, entry and weights."""
        begins = n < len(self.first)
        row, entry = self.first[n] if begins else (below(rng, self.rows), below(rng, self.depth))
        return int(begins or chance(rng, 0.3)), row, entry, int8(rng, COLUMNS)

    def sums(self, digits: list[int], address: int) -> np.ndarray:
        return np.array([_value(digit) for digit in digits]) @ self.weights[:, address]


def _tile(rng: np.random.Generator) -> Vectors:
    adders = _Adders(ROWS, 2)
    live, held, known = 0, 0, 0
    for n in range(700):
        valid, digits, address = adders.tap(rng, n)
        writes, row, entry, words = adders.write(rng, n)
        reset = int(n > 20 and chance(rng, 0.01))
        inputs = {
            "rst": reset,
            "valid": valid,
            "digits": pack(digits, 2),
            "address": address,
            "write_enable": writes << row,
            "write_address": entry,
            "write_data": pack(words, 8),
        }
        yield inputs, {"live": live, "sums": (held, known)}
        spikes = valid and any(digits)
        live = int(bool(spikes) and not reset)
        if spikes:
            held, known = pack(adders.sums(digits, address), SUM_BITS), (1 << SUM_BITS * COLUMNS) - 1
        if writes:
            adders.weights[row, entry] = words


def _array(rng: np.random.Generator) -> Vectors:
    """Sums come a cycle behind those of the tiles; `sums` keep their value while nothing is live."""
    adders, width = _Adders(2 * ROWS, 2), SUM_BITS + 1
    waiting: tuple[int, np.ndarray] = (0, np.zeros(COLUMNS, np.int64))
    live, held, known = 0, 0, 0
    for n in range(900):
        valid, digits, address = adders.tap(rng, n)
        writes, row, entry, words = adders.write(rng, n)
        inputs = {
            "valid": valid,
            "digits": pack(digits, 2),
            "address": address,
            "write": writes,
            "write_row": row,
            "write_address": entry,
            "write_data": pack(words, 8),
        }
        yield inputs, {"live": live, "sums": (held, known)}
        live = waiting[0]
        if live:
            held, known = pack(waiting[1], width), (1 << width * COLUMNS) - 1
        waiting = (int(valid and any(digits)), adders.sums(digits, address))
        if writes:
            adders.weights[row, entry] = words


def _neuron(rng: np.random.Generator) -> Vectors:
    """Every operation, those that no sequencer gives too; a charge that has too few bits wraps."""
    charge = bias = full = spoke = known = 0
    for n in range(3000):
        load = int(n == 0 or chance(rng, 0.03))
        start = int(n == 1 or chance(rng, 0.15))
        names = ("biased", "signed", "double", "fire")
        flags = {name: chance(rng, 0.4) for name in names}
        enable = int(n > 0 and (n == 1 or chance(rng, 0.85)))
        operand, parameters = number(rng, _CHARGE), number(rng, 2 * _PARAMETER)
        base = _signed(2 * charge if flags["double"] else charge, _CHARGE)
        if start:
            base = bias if flags["biased"] else 0
        up = base >= 0 and 2 * base >= full
        down = base < 0 and spoke and 2 * base <= -full
        inputs = {
            "load": load,
            "start": start,
            "enable": enable,
            "operand": operand,
            "parameters": parameters,
        }
        sure = known or (n > 1 and start)
        says = flags["fire"] * (1 if up else 3 if down else 0)
        yield (inputs | flags, {"digit": says if known else (0, 0), "charge": charge if known else (0, 0)})
        if enable and (sure or n == 1):
            step = (-full if up else full if down else 0) if flags["fire"] else operand
            charge = _signed(base + step, _CHARGE)
            spoke = int((flags["signed"] if start else spoke) or (flags["fire"] and up))
            known = 1
        if load:
            bias, full = (_signed(parameters >> shift, _PARAMETER) for shift in (0, _PARAMETER))


def _controller(rng: np.random.Generator) -> Vectors:
    state, left = "idle", 0
    for n in range(4000):
        eager = 0.5 if n % 400 < 200 else 0.05
        inputs = {
            "rst": int(n and chance(rng, 0.003)),
            "start": chance(rng, 0.3),
            "layers": 1 + below(rng, 4) if chance(rng, 0.9) else number(rng, 4),
            "halt": chance(rng, 0.02),
            "primed": chance(rng, eager),
            "closes": chance(rng, eager),
            "idle": chance(rng, eager),
        }
        halt, last = inputs["halt"], left == 1
        works, drains = state == "work", state == "drain"
        ends = drains and (inputs["idle"] or halt)
        yield (
            inputs,
            {
                "feed": works,
                "running": works or drains,
                "drain": drains,
                "layer_end": (works and inputs["closes"] and not last) or (ends and not halt),
                "done": ends or state == "halted" or (state == "prime" and halt),
            },
        )
        following = state
        if state == "idle" and inputs["start"]:
            following, left = "prime", inputs["layers"]
        elif state == "prime":
            following = "idle" if halt else "work" if inputs["primed"] else state
        elif works:
            following = "halted" if halt else "drain" if inputs["closes"] and last else state
            left = (left - inputs["closes"]) % (1 << 4)
        elif ends or state == "halted":
            following = "idle"
        state, left = ("idle", 0) if inputs["rst"] else (following, left)


def _charges(rng: np.random.Generator) -> Vectors:
    """Rows of 8 charges of 16 bits, sign-extended to 32: four words."""
    words, number_, valid, read, known = [0] * 4, 0, 0, 0, 0
    for n in range(500):
        ready = int(valid and chance(rng, 0.3))
        gives = int(not valid and chance(rng, 0.5))
        charges, row = [_signed(number(rng, 16), 16) for _ in range(8)], number(rng, 24)
        inputs = {
            "rst": int(n > 10 and chance(rng, 0.02)),
            "give": gives,
            "charges": pack(charges, 16),
            "number": row,
            "row_ready": ready,
            "read_enable": chance(rng, 0.6),
            "read_word": below(rng, 4),
        }
        expected: dict[str, int | tuple[int, int]] = {"row_valid": valid, "row_bytes": 32}
        if valid:
            expected["row_address"] = 32 * number_ % (1 << 32)
        yield inputs, expected | {"read_data": (read, known)}
        if inputs["read_enable"]:
            seen = known or number_ or any(words)
            read, known = words[inputs["read_word"]], (1 << 64) - 1 if seen else 0
        if inputs["rst"]:
            read, known = 0, (1 << 64) - 1
        if gives:
            words = [pack(charges[2 * n : 2 * n + 2], 32) for n in range(4)]
            number_ = row
        valid = int((gives or (valid and not ready)) and not inputs["rst"])


_ROW = DigitSerial(name="rows", lanes=8, charge_bits=16)
_LEGAL = "\n    legal = digit != 2'd2;\n"
SUITES = (
    VectorSuite("ternary_pe", lambda: TernaryPe(depth=4, sum_bits=SUM_BITS), _pe, view=_LEGAL),
    VectorSuite("ternary_tile", lambda: TernaryTile(depth=2), _tile),
    VectorSuite("ternary_array", lambda: TernaryArray(lanes=8, depth=2), _array),
    VectorSuite("neuron", lambda: Neuron(charge_bits=_CHARGE, parameter_bits=_PARAMETER), _neuron),
    VectorSuite("digit_controller", DigitController, _controller, small={"LAYER_COUNT_BITS": 4}),
    VectorSuite(
        "charge_rows", partial(ChargeRows, accelerator=_ROW), _charges, zero=lambda: {"read_word": 0xFFFC}
    ),
)
