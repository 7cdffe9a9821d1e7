"""The report of the formats."""

from __future__ import annotations

import pytest

from codeword.reports.formats import measure, text
from sim import accelerator, synthetic
from sim.systolic.program import lower
from sim.systolic.schedule import Schedule


@pytest.mark.parametrize(("name", "group"), [("int4-g32-8", 4), ("int2-g64-8", 8), ("mxint8-8", 32)])
def test_bits_are_those_of_the_stream(name, group):
    """But for what fills the last beat of a chunk up."""
    machine = accelerator.load(name, {"scale_group": group})
    net = synthetic.one_layer(20, 4, machine)
    shape = net.shapes[0]
    program = lower(net.layers[0], Schedule(machine, shape, machine.format, D=8, overlap=False))
    filling = len(program.chunks) * machine.weight_port_bits
    sent = program.beats.size * 64
    assert sent - filling < measure.streamed_bits(net, machine) * shape.weights <= sent


def test_the_page_has_a_row_a_format():
    costs = {"mvq40": {"uj": 2.0, "uj_without_dram": None}}
    rows = [
        {"name": name, "sqnr_db": db, "accuracy": 90.0, "bits": 4.25, "cycles": 1000, **costs}
        for name, db in (("dense", None), ("int4-g32", 20.0))
    ]
    page = text.page({"images": 1000, "calibration": 256, "size": 16, "rows": rows})
    assert "| int8 |  | 90.0 |" in page
    assert "| int4-g32 | 20.0 | 90.0 | 4.25 | 1,000 | 2.0 |  |" in page
