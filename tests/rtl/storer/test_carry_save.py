"""The Verilog of the compressor tree in Icarus against integers; Amaranth's simulator multiplies instead."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from rtl import verilog
from rtl.storer.carry_save import DIGIT_BITS, CarrySaveSum
from tests.rtl.simulate import pack

BENCH = """
module bench;
  reg [{digits}-1:0] digits; reg [{factors}-1:0] factors; reg [{width}-1:0] expected;
  wire [{width}-1:0] a, b;
  wire [{width}-1:0] total = a + b;
  integer file, wrong = 0, lines = 0;
  codeword_{kind} dut (.digits(digits), .factors(factors), .addend_0(a), .addend_1(b));
  initial begin
    file = $fopen("vectors.hex", "r");
    while ($fscanf(file, "%h %h %h\\n", digits, factors, expected) == 3) begin
      #1 lines = lines + 1;
      if (total !== expected) wrong = wrong + 1;
    end
    $display("%0d of %0d wrong", wrong, lines);
  end
endmodule
"""


def _digits(multiplier, count):
    """Booth digits of an integer of 2*count bits, by their definition -2*left + middle + right."""
    packed = []
    for n in range(count):
        left, middle = (multiplier >> 2 * n + 1) & 1, (multiplier >> 2 * n) & 1
        digit = middle + ((multiplier >> 2 * n - 1) & 1 if n else 0) - 2 * left
        packed.append((abs(digit) == 1) | (abs(digit) == 2) << 1 | left << 2)
    return pack(packed, DIGIT_BITS)


def _signed(value, bits):
    return value - (value >> bits - 1 << bits)


def _numbers(rng, bits):
    corners = [0, 1, 1 << bits - 1, (1 << bits - 1) - 1, (1 << bits) - 1]
    return int(rng.choice(corners)) if rng.random() < 0.3 else int.from_bytes(rng.bytes(8)) % (1 << bits)


@pytest.mark.parametrize(
    ("products", "bits", "count", "width"), [(1, 32, 9, 48), (2, 17, 5, 26), (1, 4, 2, 8)]
)
def test_the_tree_adds_up(products, bits, count, width, tmp_path):
    rng = np.random.default_rng(products * bits)
    lines = []
    for _ in range(1000):
        factors = [_numbers(rng, bits) for _ in range(products)]
        others = [_numbers(rng, 2 * count) for _ in range(products)]
        pairs = zip(factors, others, strict=True)
        total = sum(_signed(factor, bits) * _signed(other, 2 * count) for factor, other in pairs)
        digits = pack([_digits(other, count) for other in others], DIGIT_BITS * count)
        lines.append(f"{digits:x} {pack(factors, bits):x} {total % (1 << width):x}")
    dut = CarrySaveSum(products=products, factor_bits=bits, digits=count, width=width)
    text = verilog.hierarchy(dut)[dut.kind][1]
    sizes = dict(digits=products * count * DIGIT_BITS, factors=products * bits, width=width, kind=dut.kind)
    (tmp_path / "vectors.hex").write_text("\n".join(lines) + "\n")
    (tmp_path / "bench.v").write_text(text + BENCH.format(**sizes))
    for command in (["iverilog", "-g2012", "-o", "bench", "bench.v"], ["vvp", "-n", "bench"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"0 of {len(lines)} wrong"
