"""Netlists proven equal to the RTL, and broken ones not."""

from __future__ import annotations

import pytest

from rtl import verilog
from rtl.block import module_name
from rtl.synth.equivalence import prove
from rtl.synth.models import models
from tests.rtl.synth.synthesis import LIBRARIES, MINI, accelerator, broken, library, synthesis

MACHINES = {
    "dense": ("ews-4", dict(wrf_depth=4, prf_depth=2, tile_columns=2)),
    "sparse": ("ews-cms-8", dict(wrf_depth=4, prf_depth=2, codebook_entries=4)),
    "wide": ("ews-cms-16", dict(wrf_depth=4, prf_depth=2, codebook_entries=4)),
}


def _prove(machine, kind, path, change=lambda netlist: netlist):
    acc = accelerator(MACHINES[machine][0], **MACHINES[machine][1])
    found = synthesis(acc, kind, path)
    return prove(verilog.modules(acc), module_name(kind), change(found.netlist), library(path))


@pytest.mark.parametrize("path", LIBRARIES)
@pytest.mark.parametrize(
    ("machine", "kind", "bits"),
    [
        ("wide", "lzc", 16 + 4 + 16),
        ("wide", "positions", 4 * 16 + 4 * 4 + 16),
        ("wide", "compactor", 4 * 12),
        ("wide", "demux", 256),
        ("sparse", "mask_decoder", 8),
        ("dense", "wrf", 8 + 4 * 8),
        ("sparse", "wrf", 11 + 4 * 11),
        ("dense", "entry_counter", 1),
        ("dense", "prf", 128 + 128),
    ],
)
def test_component(machine, kind, bits, path):
    found = _prove(machine, kind, path)
    assert found.holds
    # Outputs and registers at least; wires that both have count too.
    assert found.proven >= bits


@pytest.mark.slow
@pytest.mark.parametrize(
    ("machine", "kind"),
    [
        ("wide", "mask_decoder"),
        ("sparse", "codebook"),
        ("sparse", "row_decoder"),
        ("dense", "pe"),
        ("sparse", "sparse_pe"),
        ("dense", "sequencer"),
        ("dense", "counters"),
        ("sparse", "beat_buffer"),
        ("sparse", "loader"),
    ],
)
def test_large_component(machine, kind):
    assert _prove(machine, kind, MINI).holds


@pytest.mark.parametrize("kind", ["compactor", "wrf", "demux"])
def test_a_wrong_gate_is_refuted(kind):
    found = _prove("sparse", kind, MINI, lambda text: broken(text, module_name(kind)))
    assert not found.holds
    assert found.unproven


def test_a_swapped_register_is_refuted():
    """Two bits of a stored weight change places on their way out."""

    def swap(netlist):
        one, other = r"(\words[0] [0])", r"(\words[0] [1])"
        assert ".Q" + one in netlist
        # Where it is read, not where the flip-flop drives it.
        text = netlist.replace(".Q" + one, "@1").replace(".Q" + other, "@2")
        text = text.replace(one, "@3").replace(other, one).replace("@3", other)
        return text.replace("@1", ".Q" + one).replace("@2", ".Q" + other)

    assert not _prove("dense", "wrf", MINI, swap).holds


@pytest.mark.parametrize("path", LIBRARIES)
def test_cell_models_are_what_yosys_reads(path):
    """Our simulation models against Yosys's own reading of the same file, cell by cell."""
    found = library(path)
    cells = [
        cell
        for cell in found.cells.values()
        if cell.usable
        and not cell.flip_flop
        and cell.outputs
        and all(cell.pins[pin].function for pin in cell.outputs)
    ]
    pins = {f"p{n}" for n in range(max(len(cell.inputs) for cell in cells))}
    lines, ports = [], []
    for cell in cells:
        inputs = [f".{pin}(p{n})" for n, pin in enumerate(cell.inputs)]
        outputs = [f".{pin}({cell.name}_{pin}_out)" for pin in cell.outputs]
        ports += [f"{cell.name}_{pin}_out" for pin in cell.outputs]
        lines.append(f"  {cell.name} u_{cell.name} ({', '.join(inputs + outputs)});")
    declared = [*(f"input {pin}" for pin in sorted(pins)), *(f"output {port}" for port in ports)]
    wrapper = "\n".join([f"module check({', '.join(declared)});", *lines, "endmodule", ""])
    texts = {"check": wrapper + models(found, [cell.name for cell in cells])}
    result = prove(texts, "check", wrapper, found)
    assert result.holds
    assert result.proven >= len(ports)
