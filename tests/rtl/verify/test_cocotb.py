"""The complete accelerator among the AXI parts of cocotbext-axi: back-pressure, slow memory, errors."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import numpy as np
import pytest

from rtl.bus.register_map import PORTS
from rtl.verify.cocotb_run import Attempt, Fault, run_attempts
from rtl.verify.random_network import random_case
from rtl.verify.verify import compare
from sim.accelerator import load, preset
from sim.systolic.engine import simulate

FAMILIES = ("ws", "ws-cms", "ews", "ews-c", "ews-cm", "ews-cms", "ssvq", "rom")
NARROW = ("int4-g128", "int3-g64", "int2-g64", "mxfp4", "nvfp4", "mxint8", "ternary", "palette", "aqlm")
LIMIT = 200_000
DONE, ERROR, INTERRUPT, RESPONSE = 1 << 1, 1 << 2, 1 << 8, 1 << 12
PORT = 3 << 4
"""Of the last error; a run leaves it alone."""
SLVERR, DECERR = 2, 3


def attempt(case, fault=None):
    return Attempt(case.image, case.images[0], LIMIT, fault)


def scoreboard(case, run):
    """Every tensor, and every counter that does not depend on the memory's timing."""
    expected = simulate(case.network, case.image.accelerator, case.images, compare=False, plans=case.plans)
    return compare(case.image, expected, run, True, "icarus", time.perf_counter())


def assert_right(case, outcome):
    """One run that came to its end."""
    run = outcome.run
    result = scoreboard(case, run)
    assert result.mismatches == 0, result.first_mismatch
    assert result.words_compared > 0
    assert run.registers["status"] & ~PORT == DONE | INTERRUPT
    assert run.registers["layers"] == len(case.image.layers) == len(run.ends)
    assert outcome.counters == run.counters[-1]  # over AXI4-Lite and at the ports
    assert outcome.irq_after == outcome.overflows == 0
    assert outcome.failed == -1


def run_cases(accelerator, seeds, seed=0):
    """Random networks one behind the other, without a reset or clear between them."""
    cases = [random_case(accelerator, n) for n in seeds]
    # The content of a ROM is that of one network.
    batches = [[case] for case in cases] if accelerator.format == "rom" else [cases]
    for batch in batches:
        outcomes = run_attempts([attempt(case) for case in batch], seed)
        for case, outcome in zip(batch, outcomes, strict=True):
            assert_right(case, outcome)


def test_values_with_stalls_on_every_channel():
    run_cases(preset("ews-cms-4"), range(4))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [4, 8])
def test_every_family(family, size):
    run_cases(preset(f"{family}-{size}"), range(20, 26), size)


@pytest.mark.slow
@pytest.mark.parametrize("family", NARROW)
def test_families_of_few_bits(family):
    run_cases(preset(f"{family}-4"), range(20, 24), 1)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [128, 256])
def test_wide_weight_ports(bits):
    run_cases(load("ews-cms-8", {"weight_port_bits": bits}), range(4), bits)


def check_errors(case, faults):
    """Each fault ends a run; after clear the same image runs to its end."""
    outcomes = run_attempts([attempt(case, told) for fault in faults for told in (fault, None)], 2)
    for fault, failed, repaired in zip(faults, outcomes[::2], outcomes[1::2], strict=True):
        registers = failed.run.registers
        assert not failed.run.limited, fault
        assert registers["status"] == RESPONSE | INTERRUPT | PORTS.index(fault.port) << 4 | ERROR, fault
        assert registers["error_address_lo"] == failed.failed != -1, fault
        assert registers["layers"] < len(case.image.layers), fault
        assert failed.irq_after == failed.addresses_after == failed.overflows == 0, fault
        assert failed.status_after & ~PORT == 0, fault
        assert_right(case, repaired)


def test_errors_stop_the_run_and_clear_repairs_it():
    """Each port, SLVERR and DECERR in turn, at any beat."""
    rng = random.Random(7)
    case = random_case(preset("ews-cms-4"), 5)
    (clean,) = run_attempts([attempt(case)], 1)
    assert min(clean.beats.values()) > 0
    check_errors(
        case,
        [
            Fault(port, rng.randrange(clean.beats[port]), response)
            for port, response in zip(PORTS, (SLVERR, DECERR, DECERR, SLVERR), strict=True)
        ],
    )
    # The scoreboard sees one bit.
    tensor = case.image.layers[-1].tensor
    memory = clean.run.memory.copy()
    memory[case.image.maps[tensor].address // 8] ^= np.uint64(1)
    assert scoreboard(case, clean.run).mismatches == 0
    result = scoreboard(case, replace(clean.run, memory=memory))
    assert result.mismatches == 1
    assert result.first_mismatch.startswith(f"{tensor}, y 0, x 0, channel 0: expected ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ews-4", "ews-cms-8", "rom-4"])
def test_many_errors(name):
    rng = random.Random(name)
    for seed in range(4):
        case = random_case(preset(name), seed)
        (clean,) = run_attempts([attempt(case)], seed)
        check_errors(
            case,
            [
                Fault(port, rng.randrange(clean.beats[port]), response)
                for port in PORTS
                for response in (SLVERR, DECERR)
                if clean.beats[port]
            ],
        )
