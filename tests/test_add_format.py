"""A weight format comes and goes: what it needs to be found by name everywhere, and nothing else.

The throw-away format `paired` is vector quantization whose index lies in the network in two halves, and
in a record as two fields. Its loader and its compiled decoder are those of vq. `TOUCHED` lists the files
that a lasting one adds to; its training part in `algos/weights` would be the sixth.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import rtl
from rtl import verilog
from rtl.bus.register_map import register_map
from rtl.verify.random_weight import random_weight
from rtl.weights import row_decoder
from rtl.weights.row_decoder import RowDecoder
from sim import accelerator, artifact, formats, network, synthetic
from sim.errors import InputError
from sim.estimate import estimate
from sim.formats.vq import Field, Vq, grid
from sim.network import weights
from sim.systolic.engine import decoding, parameters, simulate
from sim.systolic.streams import network_formats

LOW = 2
"""Bits of the lower half of an index."""


@dataclass(frozen=True, eq=False)
class PairedWeight:
    """The functional definition: index = high * 2^LOW + low."""

    codebook: np.ndarray
    low: np.ndarray
    high: np.ndarray
    format = "paired"

    @property
    def shape(self) -> tuple[int, ...]:
        units, *rest = self.low.shape
        return (units * self.codebook.shape[1], *rest)

    def decode(self) -> np.ndarray:
        out = np.zeros(self.shape, np.int8)
        d = self.codebook.shape[1]
        for unit, *place in np.ndindex(self.low.shape):
            index = int(self.high[unit, *place]) * 2**LOW + int(self.low[unit, *place])
            out[unit * d : unit * d + d, *place] = self.codebook[index]
        return out


class Paired(Vq):
    """LOW bits of the index, then the others."""

    name = "paired"
    code, loader = 13, "paired"

    def fields(self, codewords, k):
        (index,) = super().fields(codewords, k)
        return Field("low", 1, LOW), Field("high", 1, index.bits - LOW)

    def text(self, machine):
        return f"{super().text(machine)} in pairs"

    def decode(self, stream, codewords, codebook):
        found = self.unpack(stream, codewords, len(codebook))
        vectors = codebook[found["high"][..., 0] << LOW | found["low"][..., 0]]
        units, *rest = stream.shape
        return np.moveaxis(vectors, -1, 1).reshape(units * codewords.codeword_length, *rest)

    def draw(self, shape, k, codewords, draw, values):
        places = grid(shape, codewords)
        halves = {"low": draw(2**LOW, places), "high": draw(k >> LOW, places)}
        return halves | {"codebook": values((k, codewords.codeword_length))}


TOUCHED = {
    "sim/formats/paired.py": Paired,
    "sim/formats/__init__.py": formats,
    "sim/network/weights.py": weights,
    "sim/systolic/engine/decoding.py": decoding,
    "rtl/weights/row_decoder.py": row_decoder,
}


@pytest.fixture
def machine(monkeypatch):
    """The registry entries, each in the file that `TOUCHED` names, and a machine of the format."""
    monkeypatch.setitem(formats.FORMATS, "paired", Paired())
    monkeypatch.setitem(weights.WEIGHTS, "paired", PairedWeight)
    modes = dict(decoding.Mode.__members__)
    monkeypatch.setattr(parameters, "Mode", modes | {"PAIRED": decoding.Mode.VQ})
    monkeypatch.setitem(row_decoder.PARTS, "paired", row_decoder.PARTS["vq"])
    return accelerator.load("ews-c-8", {"format": "paired"})


def test_six_files_at_most():
    root = Path(rtl.__file__).parents[1]
    for name, module in TOUCHED.items():
        if module is not Paired:
            assert root / name == Path(inspect.getfile(module))
    assert len([*TOUCHED, "algos/weights/paired.py"]) <= 6


def test_no_code_asks_for_a_format_by_its_name():
    """Else the list above would be too short."""
    names = "|".join((*formats.FORMATS, *formats.LAYOUTS))
    chain = re.compile(rf"""(format|weight|form|loader)\b (==|!=|in|not in) \(?["']({names})\b""")
    root = Path(rtl.__file__).parents[1]
    found = [
        f"{path.relative_to(root)}: {line.strip()}"
        for floor in ("sim", "rtl", "algos", "codeword", "evidence")
        for path in (root / floor).rglob("*.py")
        for line in path.read_text().splitlines()
        if chain.search(line)
    ]
    assert found == []


def test_described(machine):
    assert machine.coded
    assert machine.record_bits(16) == 4
    with pytest.raises(InputError, match=r"format = 'pared': .*use 'paired'"):
        accelerator.load("ews-c-8", {"format": "pared"})
    with pytest.raises(InputError, match=r"columns = 8: not a multiple of codeword_length = 3"):
        accelerator.load("ews-c-8", {"format": "paired", "codeword_length": 3})
    (field,) = (
        field for register in register_map(machine, ()) for field in register.fields if field.name == "loader"
    )
    assert field.reset == 13
    assert field.description.endswith("12 additive, 13 paired")


def test_drawn_packed_and_decoded(machine):
    net = synthetic.native("resnet20", machine)
    coded = [layer.weight for layer in net.layers if isinstance(getattr(layer, "weight", None), PairedWeight)]
    assert len(coded) > 10
    rom = np.zeros((0, 8), np.int8)
    for weight in (coded[0], random_weight(machine, np.random.default_rng(0), True, 16, 5, (2, 3), rom)):
        records = formats.named("paired").pack(weight, machine)
        np.testing.assert_array_equal(records & 3, weight.low)
        np.testing.assert_array_equal(records >> 2, weight.high)
        again = formats.named("paired").decode(records, machine, weight.codebook)
        np.testing.assert_array_equal(again, weight.decode())


def test_stored(machine, tmp_path):
    net = synthetic.one_layer(16, 5, machine)
    artifact.save(net, tmp_path / "net.safetensors")
    found = artifact.load(tmp_path / "net.safetensors").layers[0].weight
    assert found.format == "paired"
    np.testing.assert_array_equal(found.decode(), net.layers[0].weight.decode())


def test_streamed_estimated_and_simulated(machine):
    net = synthetic.one_layer(16, 5, machine)
    assert network_formats(net, machine) == {"conv": ("paired", 16)}
    images = np.random.default_rng(1).integers(-128, 128, (1, 16, 5, 5)).astype(np.int8)
    run = simulate(net, machine, images)
    assert run.bit_exact
    counted = estimate(net, machine).layers[0].counts
    assert run.layers[0].cycles == counted.cycles
    assert run.layers[0].accesses == counted.accesses
    with pytest.raises(InputError, match=r"conv\.weight = 'paired': the accelerator runs vq"):
        network_formats(net, accelerator.preset("ews-c-8"))


def test_in_verilog(machine):
    """The head names it; the decoder is that of vq."""

    def text(acc):
        return verilog.hierarchy(RowDecoder(accelerator=acc))["row_decoder"][1]

    assert text(machine) == text(accelerator.preset("ews-c-8"))
    top = verilog.modules(machine)[verilog.TOP]
    assert "codebook k = 16, d = 8 in pairs, WRF 16" in top


def test_a_format_without_a_loader_part_is_refused(machine, monkeypatch):
    monkeypatch.delitem(row_decoder.PARTS, "paired")
    with pytest.raises(InputError, match=r"format = 'paired': the RTL has nothing that decodes it"):
        RowDecoder(accelerator=machine)


def test_gone_again():
    assert "paired" not in {**formats.FORMATS, **network.WEIGHTS, **row_decoder.PARTS}
    assert "PAIRED" not in parameters.Mode.__members__
    with pytest.raises(InputError, match="format = 'paired': no such weight format"):
        accelerator.load("ews-c-8", {"format": "paired"})
