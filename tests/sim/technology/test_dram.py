"""A type of DRAM has bandwidth, latency and rows, counted against the clock of the machine."""

from __future__ import annotations

from math import ceil

import pytest

from sim import accelerator
from sim.errors import InputError
from sim.estimate import estimate
from sim.technology import dram, off_chip
from sim.workloads import workload

PEAK_GB_PER_S = {"ddr3": 12.8, "ddr4": 25.6, "lpddr4": 17.064, "lpddr5": 25.6, "hbm2": 256, "hbm3": 819.2}
"""Pins times rate, of JEDEC's standards: 64 x 1.6, 64 x 3.2, 32 x 4.266, 32 x 6.4, 1024 x 2.0, 1024 x 6.4 Gbit/s."""


def test_peaks() -> None:
    assert {name: kind.timing.gb_per_s for name, kind in dram.types().items()} == pytest.approx(PEAK_GB_PER_S)
    assert all(kind.timing.source for kind in dram.types().values())


@pytest.mark.parametrize("kind", PEAK_GB_PER_S)
@pytest.mark.parametrize("clock", [112.6e6, 300e6, 1.7e9])
def test_counted_against_the_clock(kind: str, clock: float) -> None:
    """Never faster than the memory is, and less than a bit and a cycle slower."""
    found = off_chip(accelerator.load("ews-16", {"dram": kind, "clock_hz": clock}))
    timing = dram.named(kind).timing
    assert found.bits * clock / 8e9 <= PEAK_GB_PER_S[kind] < (found.bits + 1) * clock / 8e9
    assert (found.latency - 1) / clock < timing.latency_ns * 1e-9 <= found.latency / clock * (1 + 1e-12)
    assert (found.row_cycles - 1) / clock < timing.row_ns * 1e-9 <= found.row_cycles / clock * (1 + 1e-12)
    assert found.row_bytes % 1024 == 0


def test_the_clock_is_the_one_the_machine_runs_at() -> None:
    """SG13G2 cannot run at 300 MHz; memory does not become slower with it."""
    asked, slow = (
        off_chip(accelerator.load("ews-16", {"dram": "ddr3", "technology": name}))
        for name in ("mvq40", "sg13g2")
    )
    assert asked.bits == int(12.8 * 8 / 0.3)
    assert slow.bits == int(12.8 * 8 / 0.1126)


def test_what_the_description_says_comes_first() -> None:
    machine = accelerator.load("ews-16", {"dram": "hbm2", "dram_bits": 24, "dram_row_cycles": 0})
    named = off_chip(accelerator.load("ews-16", {"dram": "hbm2"}))
    assert off_chip(machine) == named._replace(bits=24, row_cycles=0)
    assert off_chip(accelerator.preset("ews-16")) == (64, 100, 2048, 9)


def test_a_clock_beyond_the_memory() -> None:
    machine = accelerator.load("ews-16", {"dram": "ddr3", "clock_hz": 2e11})
    with pytest.raises(InputError, match=r"clock_hz = .*12\.8 GB/s bring no bit"):
        off_chip(machine)
    with pytest.raises(InputError, match=r"dram = 'hbm4': unknown"):
        off_chip(accelerator.load("ews-16", {"dram": "hbm4"}))


@pytest.mark.parametrize(
    ("kind", "preset", "changes"),
    [
        ("hbm3", "ews-256", {"clock_hz": 4e9, "weight_port_bits": 2048}),  # takes 1 TB/s of weights
        ("lpddr4", "ews-64", {"weight_port_bits": 512}),  # 19.2 GB/s at 300 MHz
    ],
)
def test_decoding_of_a_language_model_is_bound_by_memory(kind: str, preset: str, changes: dict) -> None:
    """Llama-2-7B reads all its weights for a token: 32 layers of 4 x 4096^2 + 3 x 4096 x 11008, and the head of
    4096 x 32000, in bytes; beyond them keys and values of the context, which the estimate counts too.
    """
    weights = 32 * (4 * 4096**2 + 3 * 4096 * 11008) + 4096 * 32000
    found = estimate(workload("llama2-7b-decode"), accelerator.load(preset, {"dram": kind} | changes))
    least = weights / (PEAK_GB_PER_S[kind] * 1e9)
    assert least < found.cost.time_s < 1.08 * least
    slow = estimate(workload("llama2-7b-decode"), accelerator.load(preset, changes))
    assert slow.cost.time_s > weights / (64 / 8 * found.accelerator.clock_hz)
    assert found.cost.cycles > ceil(weights * 8 / off_chip(found.accelerator).bits)


def test_an_estimate_says_what_limits() -> None:
    wide, narrow = (
        estimate(workload("resnet20"), accelerator.load("ews-16", {"dram": "hbm3"} | port)).remarks
        for port in ({"clock_hz": 1e9, "weight_port_bits": 8192}, {})
    )
    assert "819.2 GB/s at most: 6,553 bits a cycle" in wide[0]
    assert len(wide) == 1
    assert "takes 64 of these bits" in narrow[1]
    assert not estimate(workload("resnet20"), accelerator.preset("ews-16")).remarks
