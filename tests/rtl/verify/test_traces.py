"""Traces and waves: engine and Verilog say the same of when each unit works, and where they first do not."""

from __future__ import annotations

import numpy as np
import pytest
from vcd.reader import TokenKind, tokenize

from codeword.inputs import shipped
from rtl import verilog
from rtl.verify import looking, trace_network, verify_random
from rtl.verify.looking import time_of
from rtl.verify.random_network import random_case
from sim.accelerator import load, preset
from sim.errors import InputError
from sim.systolic.engine import Recorder, simulate
from sim.trace import TRACKS, difference

WHOLE = range(20_000)


def of_both(accelerator, network, images, plans=None, simulator="icarus"):
    recorder = Recorder(WHOLE)
    simulate(network, accelerator, images[:1], compare=False, plans=plans, recorder=recorder)
    found = trace_network(accelerator, network, images, simulator, plans=plans, window=WHOLE)
    return recorder.trace(), found


@pytest.mark.parametrize("seed", [2, 3])
def test_small_networks_have_the_same_spans(seed):
    accelerator = preset("ews-cms-4")
    case = random_case(accelerator, seed)
    ours, theirs = of_both(accelerator, case.network, case.images, case.plans)
    assert difference(ours, theirs) is None
    assert ours.spans == theirs.spans
    assert {span.track for span in ours.spans} >= set(TRACKS) - {"vector unit"}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ews", "ews-c", "ssvq", "rom", "int4-g64", "ternary"])
def test_every_kind_of_weights(family):
    for accelerator, seed in ((preset(f"{family}-4"), 1), (load(f"{family}-8", {"tile_rows": 4}), 6)):
        case = random_case(accelerator, seed)
        ours, theirs = of_both(accelerator, case.network, case.images, case.plans)
        assert difference(ours, theirs) is None


@pytest.mark.slow
def test_resnet():
    network = shipped("resnet20-fashion")
    images = np.random.default_rng(0).integers(-128, 128, (1, *network.input.shape)).astype(np.int8)
    ours, theirs = of_both(preset("ews-cms-16"), network, images, simulator="verilator")
    assert difference(ours, theirs) is None
    assert {span.track for span in theirs.spans} == set(TRACKS)


def signals(path):
    """Changes of every signal below `dut`, (time, value); the first time of the file."""
    scopes, names, changes, now, first = [], {}, {}, 0, None
    with path.open("rb") as file:
        for token in tokenize(file):
            if token.kind is TokenKind.SCOPE:
                scopes.append(token.scope.ident)
            elif token.kind is TokenKind.UPSCOPE:
                scopes.pop()
            elif token.kind is TokenKind.VAR:
                name = ".".join([*scopes, token.var.reference]).partition(".dut.")[2]
                names.setdefault(token.var.id_code, []).append(name)
            elif token.kind is TokenKind.CHANGE_TIME:
                now = token.time_change
                first = now if first is None else first
            elif token.kind in (TokenKind.CHANGE_SCALAR, TokenKind.CHANGE_VECTOR):
                change = token.data
                for name in names[change.id_code]:
                    changes.setdefault(name, []).append((now, change.value))
    return changes, first


def at(changes, time):
    value = next((value for when, value in reversed(changes) if when <= time), None)
    return int(value) if str(value).isdigit() else value


def compared(folder, seed, window):
    """Signals of the engine that differ anywhere in the window from those of the RTL, and all of them."""
    result = verify_random(preset("ews-cms-4"), seed, "icarus", waves=folder / "w.vcd", window=window)
    assert result.equal
    assert result.shown == (window.start, window.stop)
    theirs, first = signals(folder / "w.vcd")
    ours, begun = signals(folder / "w.engine.vcd")
    assert begun == first
    assert set(ours) <= set(theirs)
    times = range(first, first + 2 * len(window), 2)
    return {name for name in ours if any(at(ours[name], t) != at(theirs[name], t) for t in times)}, ours


def test_waves_lie_over_one_another(tmp_path):
    differ, ours = compared(tmp_path, 3, range(20, 230))
    assert not differ
    assert {"core.array.tile_0_0.psum_out", "core.prf.row", "core.sequencer.causes"} <= set(ours)
    assert sum(len(changes) for changes in ours.values()) > 100


def test_registers_hold_from_layer_to_layer(tmp_path):
    accelerator = preset("ews-cms-4")
    case, recorder = random_case(accelerator, 2), Recorder()
    simulate(case.network, accelerator, case.images[:1], compare=False, plans=case.plans, recorder=recorder)
    begin = recorder.trace().on("layers")[1].begin
    differ, ours = compared(tmp_path, 2, range(begin - 60, begin + 160))
    assert not differ
    assert len(ours["begin_layer"]) > 1


def broken(folder, accelerator, name, before, after):
    """An export with a change in a file."""
    for kind, text in verilog.modules(accelerator).items():
        (folder / f"{kind}.v").write_text(text)
    path = folder / f"codeword_{name}.v"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    return folder


@pytest.mark.parametrize(
    ("name", "before", "after", "named", "signal"),
    [
        ("prf", " + $signed(sums[17:0])", " - $signed(sums[17:0])", "psum row 0 of conv", "core.prf.row"),
        ("row_mover", ".word_data(read_data)", ".word_data(~read_data)", "a word at byte", ""),
    ],
)
def test_waves_of_the_first_difference(tmp_path, name, before, after, named, signal):
    accelerator = preset("ews-cms-4")
    folder = tmp_path / "rtl"
    folder.mkdir()
    rtl = broken(folder, accelerator, name, before, after)
    result = verify_random(accelerator, 3, "icarus", rtl, waves=tmp_path / "w.vcd")
    assert not result.equal
    assert named in result.first_cycle
    theirs, _ = signals(tmp_path / "w.vcd")
    ours, begun = signals(tmp_path / "w.engine.vcd")
    times = range(begun, begun + 2 * (result.shown[1] - result.shown[0]), 2)
    differ = {name for name in ours if any(at(ours[name], t) != at(theirs[name], t) for t in times)}
    assert differ == ({signal} if signal else set())


def test_fst_of_icarus(tmp_path):
    verify_random(preset("ews-cms-4"), 3, "icarus", waves=tmp_path / "w.fst", window=range(10))
    assert (tmp_path / "w.fst").read_bytes()[:1] == b"\0"  # of a header block
    assert (tmp_path / "w.engine.vcd").exists()


@pytest.mark.parametrize(
    ("name", "simulator", "window", "named"),
    [
        ("w.png", "icarus", range(9), "no wave file"),
        ("w.vcd", "cxxrtl", range(9), "cxxrtl"),
        ("w.fst", "verilator", range(9), "liblz4-dev"),
        ("w.vcd", "icarus", range(1 << 20), "100,000"),
    ],
)
def test_waves_that_nobody_writes(monkeypatch, name, simulator, window, named):
    monkeypatch.setattr(looking, "_compresses", lambda: False)
    with pytest.raises(InputError, match=named):
        looking.require_form(name, simulator, window)


def test_the_time_of_a_cycle_is_that_of_the_shell():
    assert [time_of(cycle) for cycle in (0, 1, 10)] == [5, 7, 25]
