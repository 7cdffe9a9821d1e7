"""Simulation in which nothing is known before reset: no register, no memory, but the constant tables."""

from __future__ import annotations

import re

import pytest

from rtl import verilog
from rtl.verify.random_network import random_case
from rtl.verify.verify import verify_network
from sim.accelerator import load

CONSTANT = ("codeword_mask_decoder",)
"""Modules whose memory is a table."""
MEMORY = re.compile(r"^  initial begin : clear_\w+\n(    .*;\n)+  end\n", re.MULTILINE)
REGISTER = re.compile(r"^(  (?:output )?reg (?:\[\d+:\d+\] )?\S+ *) = [^;,\n]+", re.MULTILINE)


def assert_known(name, seed, directory):
    """Every value and every cycle, from unknown registers and memories; the bench reads an unknown bit as 0."""
    accelerator = load(name)
    case = random_case(accelerator, seed)
    removed = 0
    for module, text in verilog.modules(accelerator).items():
        for pattern, by in ((MEMORY, ""), (REGISTER, r"\1")):
            if module not in CONSTANT:
                text, count = pattern.subn(by, text)
                removed += count
        assert module in CONSTANT or not re.search(r"^  initial begin", text, re.MULTILINE)
        (directory / f"{module}.v").write_text(text)
    assert removed > 100
    result = verify_network(accelerator, case.network, case.images, "icarus", directory, plans=case.plans)
    assert result.mismatches == 0, result.first_mismatch
    assert result.words_compared > 0


# Networks with fewer channels than the array has rows.
def test_values_from_unknown_memories(tmp_path):
    assert_known("ews-4", 5, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ws-4", "ews-cms-4", "ssvq-8", "ews-c-8", "rom-4", "ews-cm-8"])
@pytest.mark.parametrize("seed", range(3))
def test_every_family_from_unknown_memories(name, seed, tmp_path):
    assert_known(name, seed, tmp_path)
