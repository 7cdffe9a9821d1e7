"""Placement and routing with tools that only pretend."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest

from rtl import verilog
from rtl.synth import fpga, yosys
from sim.accelerator import preset
from sim.errors import InputError

REPORT = {
    "utilization": {
        "TRELLIS_COMB": {"used": 700, "available": 24288},
        "TRELLIS_FF": {"used": 90, "available": 24288},
        "DP16KD": {"used": 0, "available": 56},
    },
    "fmax": {"clk": {"achieved": 61.5}, "other": {"achieved": 70.0}},
}
CELLS = {"modules": {"\\harness": {"num_cells_by_type": {"LUT4": 500, "TRELLIS_FF": 90, "CCU2C": 7}}}}


@pytest.fixture
def texts(monkeypatch):
    """Synthesis is left out; what would be synthesized is kept."""
    kept = {}
    write = yosys.write

    def watched(found, directory):
        kept.update(found)
        return write(found, directory)

    monkeypatch.setattr(yosys, "write", watched)
    monkeypatch.setattr(
        yosys, "run", lambda script, directory: (directory / "cells.json").write_text(json.dumps(CELLS))
    )
    return kept


def _tool(folder, body):
    tool = folder / "nextpnr"
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)
    return tool


def test_report_and_harness(texts, tmp_path):
    tool = _tool(tmp_path, f"cat > report.json <<'END'\n{json.dumps(REPORT)}\nEND")
    found = fpga.place_and_route(preset("ews-4"), tool)
    assert found.used == {"LUTs": 700, "flip-flops": 90, "block RAM": 0}
    assert found.available == {"LUTs": 24288, "flip-flops": 24288, "block RAM": 56}
    assert (found.clock_mhz, found.problem) == (61.5, "")
    # Every port of the core is connected, to bits of its own.
    ports = dict(re.findall(r"\.(\w+)\(((?:in|out)puts\[\d+:\d+\]|\w+)\)", texts["harness"]))
    assert set(ports) == set(
        re.findall(r"^  (?:in|out)put (?:wire|reg) (?:\[\d+:0\] )?(\w+)", texts[verilog.TOP], re.M)
    )
    slices = sorted((*map(int, re.findall(r"\d+", text)), text[:2]) for text in ports.values() if "[" in text)
    for side in ("in", "ou"):
        mine = [(low, high) for high, low, name in slices if name == side]
        assert mine[0][0] == 0
        assert all(high + 1 == low for (_, high), (low, _) in pairwise(mine))
    assert found.harness_flip_flops == sum(high - low + 1 for high, low, _ in slices) + 1


def test_what_does_not_finish(texts, tmp_path):
    late = fpga.place_and_route(preset("ews-4"), _tool(tmp_path, "exec sleep 5"), limit_s=0.2)
    assert "did not finish" in late.problem
    full = fpga.place_and_route(preset("ews-4"), _tool(tmp_path, "echo ERROR: no room >&2; exit 1"))
    assert full.problem == "ERROR: no room"
    for found in (late, full):
        assert found.clock_mhz is None
        assert found.used == {"LUTs": 500, "flip-flops": 90}
        assert found.available == {}
    with pytest.raises(InputError, match="make fpga"):
        fpga.place_and_route(preset("ews-4"), tmp_path / "missing")
