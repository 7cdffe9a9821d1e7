"""Buffers and sizes over a whole netlist: every pin still hangs on the net it hung on, and none on too much."""

from __future__ import annotations

import re

import pytest

from rtl import verilog
from rtl.block import module_name
from rtl.synth import flow, whole
from tests.rtl.synth.synthesis import MINI, accelerator, library

LIMIT = 6
"""Less than ABC allows inside a component, so that the small one here needs buffers."""
_INSTANCE = re.compile(r"^  (\w+) \\(\S+)~ \((.*)\);$", re.M)
_PIN = re.compile(r"\.\\(\S+) \(\\(\S+) \)")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    texts = flow.reached(verilog.modules(accelerator("ews-4", wrf_depth=4, prf_depth=2)), module_name("arf"))
    found = flow.map_modules(texts, library(MINI), 3.3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "LIMIT", LIMIT)
        done = whole.optimize(found, module_name("arf"), library(MINI), directory)
    _, before = whole._read((directory / "flat.blif").read_text(), library(MINI))
    after = {name: (kind, dict(_PIN.findall(pins))) for kind, name, pins in _INSTANCE.findall(done.netlist)}
    return done, before, after


def test_buffers_change_no_connection(made):
    done, before, after = made
    buffers = {name: pins for name, (_, pins) in after.items() if name.startswith("buffer~")}
    assert len(buffers) == done.buffers > 0
    driver = library(MINI).driver
    source = {pins[driver.outputs[0]]: pins[driver.inputs[0]] for pins in buffers.values()}

    def origin(net):
        while net in source:
            net = source[net]
        return net

    family = whole.Sizes(library(MINI)).family
    assert len(after) == len(before) + len(buffers)
    for gate in before:
        kind, pins = after[gate.name]
        assert kind == gate.kind or kind in family[gate.kind]
        assert {pin: origin(net) for pin, net in pins.items()} == gate.pins


def test_no_net_drives_too_much(made):
    _, _, after = made
    cells, unit = library(MINI).cells, whole.Sizes(library(MINI)).unit
    loads, sinks = {}, {}
    for kind, pins in after.values():
        clocks = cells[kind].flip_flop.clocked_on.pins if cells[kind].flip_flop else ()
        for pin in set(cells[kind].inputs) & set(pins) - set(clocks):
            loads[pins[pin]] = loads.get(pins[pin], 0) + cells[kind].pins[pin].capacitance
            sinks[pins[pin]] = sinks.get(pins[pin], 0) + 1
    assert max(loads[net] for net in loads if sinks[net] > 1) <= 1.5 * LIMIT * unit
    assert len(loads) > 100


def test_areas_are_those_of_the_cells(made):
    done, before, after = made
    cells = library(MINI).cells
    assert done.mapped_area == pytest.approx(sum(cells[gate.kind].area for gate in before))
    assert done.area == pytest.approx(sum(cells[kind].area for kind, _ in after.values()))
    assert done.area > done.mapped_area
