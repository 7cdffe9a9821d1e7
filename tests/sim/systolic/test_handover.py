"""Networks on the engine and in the closed form: the same, layer by layer, with what each hands over."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim import accelerator
from sim.estimate import estimate
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.engine import simulate
from sim.systolic.results import CAUSES, Handover
from sim.technology import off_chip
from tests.sim.network.kinds import every_layer
from tests.sim.network.networks import coded_network, random_images, small_network

NETWORKS = {
    "ews-8": small_network(d=8, size=7),
    "ws-8": small_network(d=8, size=7),
    "ews-cm-8": small_network(d=8, size=9),
    "ews-cms-8": small_network(d=8, size=9),
    "ws-cms-8": small_network(d=8, size=6),
    "ssvq-8": coded_network("signed"),
    "rom-8": coded_network("universal"),
}
MEMORIES = {
    "wide": {},
    "slow DRAM": {"dram_bits": 8, "dram_latency": 500, "dram_row_cycles": 30},
    "slow DMA": {"dma_bits": 8, "dma_setup": 50, "dma_burst_gap": 3},
    "small": {"l1_bytes": 4096, "l2_bytes": 2048},
    "load and compute in turn": {"weight_overlap": False, "weight_port_bits": 128},
    "little of L2 for weights": {"l1_bytes": 4096, "l2_bytes": 2048, "l2_weight_bytes": 64},
    "narrow port, two psum ports": {"psum_ports": 2, "psum_banks": 1, "requant_lanes": 1},
}


def assert_equal(network, machine, objective="edp", registers=False):
    """Values, and every count of every layer."""
    run = simulate(network, machine, random_images(network, 4), objective=objective, registers=registers)
    assert run.bit_exact
    closed = estimate(network, machine, objective=objective)
    for found, expected in zip(run.layers, closed.layers, strict=True):
        assert replace(found, gated=None) == expected.counts
        assert set(found.cycles) == set(CAUSES)
        assert min(found.cycles.values()) >= 0
    assert sum(layer.total_cycles for layer in run.layers) == closed.cost.cycles
    stalls = sum(closed.cost.stall_cycles.values())
    assert closed.cost.cycles == stalls + sum(layer.cycles["compute"] for layer in run.layers)
    assert sum(layer.macs for layer in run.layers) == network.macs
    return run


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_family_and_memory(name, memory):
    assert_equal(NETWORKS[name], accelerator.load(name, MEMORIES[memory]))


@pytest.mark.parametrize("name", ["ews-cms-8", "ssvq-8", "rom-8"])
@pytest.mark.parametrize("objective", ["energy", "cycles"])
def test_every_objective_and_register_level(name, objective):
    assert_equal(NETWORKS[name], accelerator.preset(name), objective, registers=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("name", "memory"),
    [("ews-8", "wide"), ("ws-8", "slow DRAM"), ("ews-4", "slow DMA"), ("ws-4", "small"), ("ews-8", "small")],
)
def test_every_layer_kind(name, memory, seed):
    assert_equal(every_layer(seed), accelerator.load(name, MEMORIES[memory]))


def test_signed_and_universal_weights_on_their_own_machines():
    """SSVQ and the ROM run their stream; a dense machine computes the same from decoded weights."""
    for name, form in (("ssvq-8", "ssvq"), ("rom-8", "rom")):
        network = NETWORKS[name]
        run = assert_equal(network, accelerator.preset(name))
        schedules = {layer.name: layer.schedule for layer in run.layers}
        assert schedules["down"].format == schedules["plain"].format == form
        assert schedules["stem"].format == schedules["fc"].format == "dense"
        dense = simulate(network, accelerator.preset("ews-8"), random_images(network, 4))
        np.testing.assert_array_equal(dense.outputs, run.outputs)


@pytest.mark.parametrize("changes", [{}, {"rom_banks": 1}, {"rom_banks": 2, "weight_port_bits": 256}])
def test_conflicts_of_a_rom_change_only_cycles(changes):
    """With two codewords a row the closed form expects an average; everything else is exact."""
    network, machine = coded_network("universal", size=5), accelerator.load("rom-16", changes)
    run = simulate(network, machine, random_images(network, 4))
    assert run.bit_exact
    closed = estimate(network, machine)
    for found, expected in zip(run.layers, closed.layers, strict=True):
        assert found.accesses == expected.counts.accesses
        assert found.cycles["compute"] == expected.counts.cycles["compute"]
    total = sum(layer.total_cycles for layer in run.layers)
    assert total == pytest.approx(closed.cost.cycles, rel=0.05)


def test_what_a_layer_finds_matters():
    """Threading is not idle: layers that start cold take longer."""
    network, machine = NETWORKS["ews-cms-8"], accelerator.load("ews-cms-8", MEMORIES["slow DRAM"])
    layers = estimate(network, machine).layers
    shapes = {shape.name: shape for shape in network.shapes}
    warm = cold = 0
    for layer in layers:
        if layer.counts.schedule is not None:
            warm += layer.counts.total_cycles
            cold += layer_counts(layer.counts.schedule, shapes[layer.counts.name])[0].total_cycles
    assert warm < cold


def test_the_first_layer_finds_nothing():
    network, machine = NETWORKS["ews-8"], accelerator.preset("ews-8")
    first = estimate(network, machine).layers[0].counts
    assert first.schedule.source == "dram"
    assert first == layer_counts(first.schedule, network.shapes[0], Handover())[0]
    assert first.cycles["dram"] >= off_chip(machine).latency - 4
