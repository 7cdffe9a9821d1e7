"""The arena of the formats: what a row costs, which rows are equal, and the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from codeword import inputs
from codeword.reports.formats import costs, entries, resnet, text
from codeword.reports.formats.picture import MARKS, format_of
from codeword.reports.language import measure as language
from sim import accelerator, artifact, synthetic
from sim.systolic.program import lower
from sim.systolic.schedule import Schedule
from sim.systolic.streams import network_formats


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("int4-g32-8", {"scale_group": 4}),
        ("int2-g64-8", {"scale_group": 8}),
        ("mxint8-8", {}),
        ("ternary-8", {}),
        ("ews-c-8", {}),
        ("ews-cms-8", {}),
        ("ssvq-8", {}),
        ("aqlm-8", {}),
        ("palette-8", {}),
    ],
)
def test_bits_are_those_of_the_stream(name, fields):
    """But for what fills the last beat of a chunk and of the codebook up."""
    machine = accelerator.load(name, fields)
    net = synthetic.one_layer(32, 4, machine)
    shape = net.shapes[0]
    codewords = network_formats(net, machine)["conv"][1]
    schedule = Schedule(machine, shape, machine.format, codewords=codewords, D=8, overlap=False)
    program = lower(net.layers[0], schedule)
    filling = (len(program.chunks) + bool(codewords)) * machine.weight_port_bits
    sent = (program.beats.size + program.codebook.size) * 64
    assert sent - filling < costs.streamed_bits(net, machine) * shape.weights <= sent


def test_a_codebook_in_rom_is_in_no_stream():
    machine = accelerator.load("rom-8")
    net = synthetic.one_layer(24, 4, machine)
    records = net.layers[0].weight.assignments.size
    assert costs.streamed_bits(net, machine) * net.shapes[0].weights == records * 4


def test_every_entry_has_a_machine_and_a_mark():
    for entry in (*entries.RESNET, *entries.LLAMA):
        inputs.accelerator(f"{entry.family}-{costs.SIZE}", entry.fields)
        assert format_of({"name": entry.name}) in MARKS
        assert bool(entry.trained) == bool(entry.updates)
    names = [(entry.name, entry.updates) for entry in entries.RESNET]
    assert len(set(names)) == len(names)


def test_the_costs_of_a_language_model_are_those_of_its_report():
    entry = next(entry for entry in entries.LLAMA if entry.name == "int4-g64")
    found = costs.of_llama(entry)
    shared = {"dram": language.DRAM, "weight_port_bits": language.PORT_BITS, "scale_group": 64}
    machine = accelerator.load("int4-g64-64", shared)
    step = costs.SMALL.decode(costs.CONTEXT)
    held = sum(shape.weights for shape in step.shapes if language.cached(shape))
    expected = language.figures(costs.estimate(step, machine), held)
    assert found["decode"]["energy_j"] == expected["energy_j"]
    assert found["decode"]["traffic_bytes"] == expected["traffic_bytes"]


def test_a_network_is_priced_on_both_technologies(tmp_path: Path):
    entry = next(entry for entry in entries.RESNET if entry.name == "int4-g16")
    machine = accelerator.load("int4-g32-16", {"scale_group": 16})
    artifact.save(synthetic.one_layer(20, 4, machine), tmp_path / "net.safetensors")
    found = costs.of_network(tmp_path / "net.safetensors", entry)
    for technology in costs.TECHNOLOGIES:
        assert found[technology]["uj"] > found[technology]["uj_without_dram"]
    assert found["sg13g2"]["decoding_mm2"] > 0.2
    assert sum(found["stalls"].values()) < found["cycles"]


def rows():
    """A cheap row that loses much, and a dear one."""
    for name, lost, price in (
        ("int8", 0.0, 10.0),
        ("int4-g16", 0.3, 8.0),
        ("int4-g32", 0.4, 7.0),
        ("ternary", 2.0, 5.0),
    ):
        yield {"name": name, "lost": lost, "bits": 4.0, "trained": "", "price": price}


def test_the_cheapest_row_of_a_format_that_reaches_it_is_ranked():
    found = text._ranking(list(rows()), (0.5, 2.0), lambda row: row["price"], "uJ").splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in found]
    assert [(line[0], line[1], line[2]) for line in cells] == [
        ("0.5", "1", "int4-g32"),
        ("0.5", "2", "int8"),
        ("2", "1", "ternary"),
        ("2", "2", "int4-g32"),
        ("2", "3", "int8"),
    ]


def test_methods_are_told_apart_by_their_distance_to_the_float_network():
    import torch

    wanted = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    assert resnet.divergence(wanted, wanted) == pytest.approx(0, abs=1e-7)
    near, far = resnet.divergence(wanted + torch.tensor([0.1, 0]), wanted), resnet.divergence(-wanted, wanted)
    assert 0 < near < far
