"""The Verilog of the digit-serial machine against its engine: words, cycles and counters."""

from __future__ import annotations

import json
import os
import re
import subprocess

import numpy as np
import pytest

import codeword
from codeword import inputs
from rtl.digit_serial import export, image
from rtl.digit_serial.hardware import HARDWARE
from rtl.verify.simulators import environment
from sim import accelerator
from sim.digit_serial.header import FIELDS, STREAM_BITS, TAP, WORDS
from sim.digit_serial.random_network import random_image, random_network
from sim.errors import InputError

SMALL = {"steps": 3, "l1_bytes": 4096, "store_bytes": 1024, "wrf_depth": 8, "tap_depth": 16}
"""Parts and tiles, in runs of a few thousand cycles."""


@pytest.fixture(scope="module")
def small():
    return accelerator.load("sws-8", SMALL)


def test_random_networks_equal_the_engine(small):
    found = HARDWARE.verify(small, simulator="icarus", networks=3, seed=2)
    assert found.first_mismatch == ""
    assert found.equal
    assert found.networks == 3
    assert found.words_compared > 500
    assert found.cycles_model == found.cycles_rtl
    assert found.counters_model == found.counters_rtl


def test_a_stream_that_stalls_changes_no_value(small):
    found = HARDWARE.verify(small, simulator="icarus", networks=1, seed=2, stalls=True)
    assert found.equal, found.first_mismatch
    assert found.cycles_rtl > found.cycles_model


def test_a_wrong_neuron_is_found(small, tmp_path):
    """One that takes a digit back though it said none before."""
    export.export(small, tmp_path)
    path = tmp_path / "codeword_neuron.v"
    text = path.read_text()
    wrong, count = re.subn(r"\bspoke (?=&)|(?<=& )spoke\b", "1'h1", text)
    assert count == 1
    path.write_text(wrong)
    found = HARDWARE.verify(small, simulator="icarus", networks=1, seed=2, rtl_dir=tmp_path)
    assert not found.equal
    assert found.first_mismatch


def test_fields_lie_side_by_side():
    taken = np.zeros((WORDS, STREAM_BITS), int)
    for field in FIELDS.values():
        taken[field.word, field.bit : field.bit + field.bits] += 1
        assert field.bit + field.bits <= STREAM_BITS
    assert taken.max() == 1
    assert sum(TAP.values()) <= STREAM_BITS


def test_packets_have_the_words_that_cycles_count(small):
    net = random_network(small, 5)
    compiled = image.compiled(net, small)
    words = compiled.windows["commands"].of(compiled.memory)
    at = compiled.streams["packets"].address // 8
    for packet in compiled.program.packets:
        weights = packet.weights.reshape(-1).view(np.uint8)
        size = WORDS + len(packet.taps) + small.lanes + len(weights) // 8
        taken = words[at : at + size]
        assert taken.view(np.uint8)[-len(weights) :].tolist() == weights.tolist()
        at += size
    assert at == compiled.streams["packets"].address // 8 + compiled.streams["packets"].words


def test_a_memory_image_runs_in_its_test_bench(small, tmp_path):
    """With the commands in its head, elsewhere in memory; a word of the expected output that is wrong is found."""
    net = random_network(small, 4)
    base = 0x8000_1000
    written = codeword.compile(net, small, tmp_path, image=random_image(net, 4), base=base)
    export.export(small, tmp_path / "rtl")
    head = (tmp_path / "testbench.v").read_text().partition("`timescale")[0]
    command = re.findall(r"\$ (.*)", head)[0]
    environ = os.environ | environment("icarus")

    def said():
        return subprocess.run(
            command, shell=True, cwd=tmp_path, env=environ, text=True, capture_output=True, check=True
        ).stdout

    words = (tmp_path / "expected.hex").read_text().splitlines()
    assert f"PASS: {len(words)} words of the output, {written.cycles} cycles, {written.cycles} of" in said()
    (tmp_path / "expected.hex").write_text("\n".join([f"{int(words[0], 16) ^ 1:016x}", *words[1:]]) + "\n")
    assert "FAIL" in said()
    layout = json.loads((tmp_path / "layout.json").read_text())
    assert layout["output"]["address"] == base
    assert layout["cycles"] == written.cycles == codeword.estimate(net, small).cost.cycles


def test_what_the_hardware_lacks_is_named(small, tmp_path):
    net = random_network(small, 0)
    with pytest.raises(InputError, match=r"simulator = 'cxxrtl': has no bench.*verilator"):
        HARDWARE.verify(small, net, image=random_image(net, 0), simulator="cxxrtl")
    with pytest.raises(InputError, match=r"layer = 'stem': does not run alone"):
        HARDWARE.verify(small, net, "stem", random_image(net, 0))
    with pytest.raises(InputError, match=r"soc = True: there is no system"):
        codeword.compile(net, small, tmp_path, soc=True)
    with pytest.raises(InputError, match=r"charge_bits = 40: makes rows of 512 bytes"):
        export.modules(accelerator.load("sws-64", {"charge_bits": 40}))
    with pytest.raises(InputError, match="holds no Verilog"):
        HARDWARE.verify(small, net, image=random_image(net, 0), simulator="icarus", rtl_dir=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{}, {"steps": 4, "silent": 2, "clock_gating": False}])
def test_the_whole_shipped_network(fields):
    acc = accelerator.load("sws-16", fields)
    net = inputs.shipped("resnet20-fashion")
    found = HARDWARE.verify(acc, net, image=inputs.images(net, None, 1, 0), simulator="verilator")
    assert found.equal, found.first_mismatch
    assert found.words_compared > 30_000
