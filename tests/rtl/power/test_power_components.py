"""What the benches feed: components so driven give the sums, weights and values of the layer."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from functools import cache

import numpy as np
import pytest

from rtl import verilog
from rtl.block import module_name
from rtl.power import Evaluator, characterize, flatten
from rtl.power import __main__ as command
from rtl.power.characterize import _fit, joined, merged, to_toml
from rtl.power.components import Event, benches
from rtl.power.streams import Layers, toggle_rate, zero_rate
from rtl.synth import synthesize_modules
from rtl.synth.gate_level import simulate
from sim.errors import InputError
from tests.rtl.simulate import fields
from tests.rtl.synth.synthesis import MINI, library

BENCHES = {bench.name: bench for bench in benches()}
LANE = 37
LAYER = "block4.conv1"


@cache
def layers(kind):
    return Layers(BENCHES[kind].layers)


def run(kind, dense=False, stages=1):
    """A sample, and the outputs that one pattern of its bench causes in the RTL in the last phase.

    Args:
        stages: cycles from an input of a clocked block to its output.
    """
    bench = BENCHES[kind]
    block = bench.block
    sample = next(layers(kind).samples(LAYER, 1, 64, dense=dense))
    phases = [words for words, _ in bench.phases(bench, sample)]
    ports = {name: (0,) * len(getattr(block, name)) for name in block.signature.members}
    stimulus = [
        {
            name: sum((int(word) >> LANE & 1) << bit for bit, word in enumerate(port[cycle]))
            for name, port in words.items()
        }
        for words in [joined(phases, ports)]
        for cycle in range(len(next(iter(words.values()))))
    ]
    texts = [text for _, text in verilog.hierarchy(block).values()]
    # Registers show later what they took.
    found = simulate(block, texts, [*stimulus, *([stimulus[-1]] * stages if block.clocked else [])])
    last = len(next(iter(phases[-1].values())))
    return sample, found[-last:]


def rows_of(lane):
    return slice(lane % 4 * 4, lane % 4 * 4 + 4)


@pytest.mark.parametrize(
    ("kind", "dense"), [("dense_tile", False), ("dense_tile", True), ("sparse_tile", False)]
)
def test_tiles_give_the_psums_of_the_layer(kind, dense):
    stages = BENCHES[kind].machine.tile_stages
    sample, found = run(kind, dense, stages + 1)
    columns = sample.weights.shape[-1]
    activations = sample.activations[:, LANE].astype(int)
    weights = sample.weights[sample.entry, LANE].astype(int)
    below = rows_of(LANE).stop
    expected = [x[:below] @ w[:below] for x, w in zip(activations, weights, strict=True)]
    # The psums of the last tokens would come behind the phase.
    shown = [fields(one["psum_out"], 20, columns, True) for one in found[:-stages]]
    assert shown == np.array(expected[:-stages]).tolist()
    assert np.any(expected)


def test_weights_and_activations_are_those_of_the_layer():
    """Sums over all chunks would be the accumulators; here one chunk at one pixel, from the tensors."""
    source = layers("dense_tile")
    layer, _ = source.layers[LAYER]
    decoded = layer.weight.decode()
    sample = next(source.samples(LAYER, 1, 64))
    for entry in range(len(sample.weights)):
        for column, channel in enumerate(sample.channels[entry % sample.groups, LANE]):
            planes = decoded[channel].reshape(decoded.shape[1], -1)
            mine = sample.weights[entry, LANE, :, column]
            assert any(
                (planes[first : first + 16, k] == mine).all()
                for first in range(0, len(planes), 16)
                for k in range(planes.shape[1])
            )
    padded = np.pad(source.tensors[layer.input], ((0, 0), (0, 0), (1, 1), (1, 1)))
    vectors = {
        tuple(vector)
        for first in range(0, padded.shape[1], 16)
        for vector in padded[:, first : first + 16].transpose(0, 2, 3, 1).reshape(-1, 16)
    }
    assert {tuple(vector) for vector in sample.activations[:, LANE]} <= vectors


def test_the_decoder_shows_pruned_codewords():
    sample, found = run("row_decoder")
    index, codes = (array[:, LANE].astype(int)[: len(found)] for array in sample.records)
    table = [mask for mask in range(1 << 16) if mask.bit_count() == 4]
    # The codebook shows a codeword a cycle after the look-up, the register behind it one later; `run` shows one.
    for shown, i, code in zip(found[1:], index, codes, strict=False):
        kept = [table[code] >> n & 1 for n in range(16)]
        assert fields(shown["values"], 8, 16, True) == (sample.codebook[i % 16] * kept).tolist()


def test_the_compactor_keeps_the_layers_weights():
    sample, found = run("row_words")
    stored = sample.weights.transpose(0, 2, 1, 3).reshape(-1, 64, 16)[: len(found), LANE]
    for shown, weights in zip(found, stored, strict=True):
        words = fields(shown["words"], 12, 4)
        dense = np.zeros(16, int)
        for word in words:
            dense[word >> 8] = (word & 0xFF) - 256 * (word >> 7 & 1)
        assert dense.tolist() == weights.tolist()


def test_the_prf_holds_sums_over_a_slot():
    sample, found = run("prf")
    entries = int(sample.entry.max()) + 1
    acc = {}
    for shown, entry, x in zip(found, sample.entry, sample.activations[:, LANE].astype(int), strict=True):
        total = x @ sample.weights[entry, LANE].astype(int)
        word = entry % sample.groups
        acc[word] = total + (0 if entry < sample.groups else acc[word])
        assert fields(shown["row"], 32, 4, True) == acc[word].tolist()
    assert entries % sample.groups == 0


def test_the_requantizer_takes_the_layers_parameters():
    sample, found = run("requantizer")
    entries = int(sample.entry.max()) + 1
    products = [
        x @ w
        for x, w in zip(
            sample.activations[:, LANE].astype(int),
            sample.weights[sample.entry, LANE].astype(int),
            strict=True,
        )
    ]
    expected = []
    for slot in range(len(products) // entries):
        for s in range(sample.groups):
            acc = sum(products[slot * entries + s : (slot + 1) * entries : sample.groups])
            for column, channel in enumerate(sample.channels[s, LANE]):
                q = sample.layer.requantization
                scaled = (int(acc[column]) + int(sample.layer.bias[channel])) * int(q.multiplier[channel])
                y = ((scaled + (1 << int(q.shift[channel]) - 1)) >> int(q.shift[channel])) + q.zero_point
                expected.append(min(max(y, q.low), q.high))
    shown = [fields(outputs["y"], 8, 1, True)[0] for outputs in found]
    # Five stages: outputs come five cycles late; `run` shows one.
    assert shown[4:] == expected[: len(shown) - 4]
    assert len(set(expected)) > 3


def test_rates():
    assert zero_rate(np.array([[0, 1], [2, 0]])) == 0.5
    # 0 -> 3: two of four bits; 3 -> -1 (1111): two.
    assert toggle_rate(np.array([0, 3, -1]), 4) == 0.5


def test_a_fit_finds_a_line_and_its_error_leaves_the_layer_out():
    event = Event("mac", 0, "words", ("a", "b"))
    rng = np.random.default_rng(0)
    statistics = [{"a": a, "b": b} for a, b in rng.random((12, 2))]
    of_layer = [str(n // 2) for n in range(12)]
    exact = np.array([2 + 3 * found["a"] - found["b"] for found in statistics])
    fit = _fit(event, exact, statistics, of_layer)
    assert fit.intercept_j == pytest.approx(2)
    assert fit.coefficients_j == pytest.approx({"a": 3, "b": -1})
    assert fit.error_max < 1e-9
    # What hardly varies has no coefficient.
    narrow = [{"a": found["a"], "b": found["b"] * 0.09} for found in statistics]
    assert set(_fit(event, exact, narrow, of_layer).coefficients_j) == {"a"}
    # A layer that is twice the line is found 50 % wrong by the others, which do not see it.
    exact[:2] *= 2
    assert _fit(event, exact, statistics, of_layer).error_max >= 0.5 - 1e-9


def test_a_component_on_the_mini_library():
    found = list(characterize(library(MINI), kinds=["row_words"], layers=4))
    table = tomllib.loads(to_toml(library(MINI), found))
    assert table["provenance"]["library"] == "mini"
    assert table["provenance"]["files"] == ["mini.lib"]
    part = table["components"]["row_words"]
    event = part["events"]["compact"]
    assert part["area_um2"] > 0
    assert part["leakage_w"] > 0
    assert part["clock_j_per_cycle"] == 0
    assert event["samples"] == 8
    assert 0 < event["mean_j"] < 1e-10
    assert event["error_mean"] < 0.1
    assert event["intercept_j"] == pytest.approx(event["mean_j"])  # no statistic varies enough


def test_components_measured_later_take_the_place_of_earlier_ones():
    def table(library, **components):
        head = f"[provenance]\nlibrary = '{library}'\n\n"
        return head + "".join(
            f"[components.{name}]\nlayers = {n}\n\n[components.{name}.events.e]\nx = {n}\n"
            for name, n in components.items()
        )

    whole = tomllib.loads(merged(table("l", a=1, b=2), table("l", b=3, c=4)))
    found = {name: (part["layers"], part["events"]["e"]["x"]) for name, part in whole["components"].items()}
    assert found == {"a": (1, 1), "b": (3, 3), "c": (4, 4)}
    with pytest.raises(InputError, match="another library"):
        merged(table("l", a=1), table("m", a=1))


def test_a_run_up_to_each_phase_is_the_run_of_those_phases():
    bench = BENCHES["arf"]
    texts = {module_name(kind): text for kind, (_, text) in verilog.hierarchy(bench.block).items()}
    netlist = flatten(
        synthesize_modules(texts, module_name("arf"), library(MINI), 3.0).netlist,
        module_name("arf"),
        library(MINI),
    )
    evaluator = Evaluator(netlist)
    rng = np.random.default_rng(1)
    stimulus = {
        name: rng.integers(0, 2**63, (30, len(nets)), np.uint64) for name, nets in netlist.inputs.items()
    }
    for end, found in zip((9, 10, 30), evaluator.runs(stimulus, [9, 10, 30]), strict=True):
        alone = evaluator.run({name: words[:end] for name, words in stimulus.items()})
        assert found.cycles == alone.cycles
        for what in ("rising", "falling"):
            assert (getattr(found, what) == getattr(alone, what)).all()
        assert all((found.outputs[name] == words).all() for name, words in alone.outputs.items())
    _, before, whole = evaluator.runs(stimulus, [9, 10, 30])
    none, later = evaluator.runs(stimulus, [9, 30], first=10)
    assert (none.cycles, later.cycles) == (0, whole.cycles - before.cycles)
    for what in ("rising", "falling"):
        difference = getattr(whole, what) - getattr(before, what)
        assert not getattr(none, what)[np.arange(netlist.nets) != netlist.clock].any()
        assert (getattr(later, what) == difference).all()


def test_the_arf_shows_the_activations_of_its_pattern():
    sample, found = run("arf")
    vectors = sample.activations[sample.entry % sample.groups == 0][:32, LANE, rows_of(LANE)].tolist()
    shown = [fields(outputs["read_data"], 8, 4, True) for outputs in found]
    # The last cycle of the phase reads nothing; a read shows a cycle later, as `run` does.
    assert shown[: len(vectors)] == vectors
    assert np.any(vectors)


def test_the_rom_shows_its_words():
    sample, found = run("rom_logic_512")
    index = sample.records[0][:, LANE].astype(int)[: len(found)] % 64
    words = BENCHES["rom_logic_512"].block.contents.tolist()
    assert [fields(shown["read_data"], 8, 8, True) for shown in found] == [words[i] for i in index]


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(BENCHES))
def test_errors_on_other_layers(kind):
    (part,) = characterize(library(MINI), kinds=[kind], layers=6)
    assert all(fit.error_mean < 0.1 for fit in part.fits)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text[: len(text) // 2], "truncated"),
        (lambda text: text.replace("internal_power ()", "no_power ()"), "lacks power tables"),
        (
            lambda text: text.replace("cell (DFF)", "cell (OLD)").replace("ff (IQ, IQN)", "latch (IQ, IQN)"),
            "lacks a D flip-flop",
        ),
    ],
)
def test_the_command_writes_nothing_from_a_bad_library(change, problem, tmp_path, capsys):
    bad, out = tmp_path / "bad.lib", tmp_path / "out" / "table.toml"
    out.parent.mkdir()
    out.write_text("old")
    bad.write_text(change(MINI.read_text()))
    assert command.main(["--liberty", str(bad), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert problem in said
    assert "bad.lib" in said
    assert "Fix:" in said
    assert out.read_text() == "old"
    assert list(out.parent.iterdir()) == [out]


def test_the_command_asks_for_a_folder_first(tmp_path, capsys):
    assert command.main(["--liberty", str(MINI), "--out", str(tmp_path / "no" / "t.toml")]) == 2
    assert "folder does not exist" in capsys.readouterr().err


def test_whole_files_only(tmp_path):
    path = tmp_path / "t.toml"
    command.write_whole(path, "a = 1\n")
    command.write_whole(path, "a = 2\n")
    assert path.read_text() == "a = 2\n"
    assert list(tmp_path.iterdir()) == [path]


def test_the_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "rtl.power", "--help"], capture_output=True, text=True, check=True
    )
    assert "--liberty" in done.stdout
