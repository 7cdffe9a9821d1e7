"""The Verilog of the digit-serial machine against its engine: words, cycles and counters."""

from __future__ import annotations

import re

import numpy as np
import pytest

import codeword
from codeword import inputs
from rtl.digit_serial import export, stream
from rtl.digit_serial.hardware import HARDWARE
from sim import accelerator
from sim.digit_serial import functional
from sim.digit_serial.convert import convert
from sim.digit_serial.header import FIELDS, STREAM_BITS, TAP, WORDS
from sim.digit_serial.lowering import lower
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
    wrong, count = re.subn(r"& spoke;", "& 1'h1;", text)
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
    digits = functional.input_digits(random_image(net, 5), -128, small.steps)[:, 0]
    program = lower(convert(net), small)
    found = stream.packets(program, digits)
    assert len(found) == len(program.packets) + 1
    for packet, words in zip(program.packets, found[1:], strict=True):
        weights = packet.weights.reshape(-1).view(np.uint8)
        assert words.view(np.uint8)[-len(weights) :].tolist() == weights.tolist()
        assert len(words) == WORDS + len(packet.taps) + small.lanes + len(weights) // 8


def test_what_the_hardware_lacks_is_named(small, tmp_path):
    net = random_network(small, 0)
    with pytest.raises(InputError, match=r"simulator = 'cxxrtl': has no bench.*verilator"):
        HARDWARE.verify(small, net, image=random_image(net, 0), simulator="cxxrtl")
    with pytest.raises(InputError, match=r"layer = 'stem': does not run alone"):
        HARDWARE.verify(small, net, "stem", random_image(net, 0))
    with pytest.raises(InputError, match=r"kind = 'digit-serial': has no memory image"):
        codeword.compile(net, small, tmp_path)
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
