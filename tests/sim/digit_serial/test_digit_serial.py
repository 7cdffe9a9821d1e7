"""The digit-serial machine: definition by values, PyTorch, engine and closed form on the same random networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import codeword
from algos import spikes
from codeword import inputs
from sim import accelerator
from sim.digit_serial import closed_form, engine, functional, simulate
from sim.digit_serial.bounds import charge_bits
from sim.digit_serial.convert import SpikingLayer, Synapses, convert
from sim.digit_serial.lowering import lower
from sim.digit_serial.random_network import random_image, random_network
from sim.errors import InputError
from sim.network import Pool


def drawn(seed: int):
    """A machine with few resources, so that layers are in parts, tiles and halves, a network, and two images."""
    random = np.random.default_rng(seed)
    fields = {
        "steps": int(random.integers(3, 9)),
        "silent": int(random.integers(0, 4)),
        "wrf_depth": int(random.choice([4, 16, 64])),
        "tap_depth": int(random.choice([8, 256])),
        "store_bytes": 4096,
    }
    acc = accelerator.load("sws-8", fields)
    net = random_network(acc, seed)
    return acc, net, np.concatenate([random_image(net, seed), random_image(net, seed + 1000)])


@pytest.mark.parametrize("seed", range(12))
def test_all_ways_say_the_same_digits_in_the_same_cycles(seed):
    acc, net, images = drawn(seed)
    converted = convert(net)
    digits = functional.input_digits(images, net.input.zero_point, acc.steps)
    wanted = functional.spoken(converted, images, acc.steps, acc.silent)
    ran = simulate.simulate(converted, acc, digits)
    charged = spikes.run(
        spikes.convert(net), images, steps=acc.steps, neuron=spikes.Neuron(acc.silent), keep=True
    )
    last = net.layers[-1].name
    for name, said in wanted.items():
        assert np.array_equal(ran.digits[name], said), name
        if name != last:
            assert np.array_equal(charged.digits[name].numpy(), said), name
    assert np.array_equal(charged.outputs.numpy() * 2**acc.steps, wanted[last])
    for counted, taken in zip(closed_form.counts(converted, acc), ran.layers, strict=True):
        assert counted.cycles == taken.cycles, counted.name
        assert counted.macs == taken.macs
        known = {name: count for name, count in taken.accesses.items() if name not in closed_form.EXPECTED}
        for name in ("tap", "neuron"):
            assert taken.accesses[name] <= counted.accesses[name]
        assert {name: counted.accesses[name] for name in known} == known, counted.name


def test_layers_in_parts_tiles_and_halves_are_among_them():
    """What the test above is for has to happen in it."""
    seen = set()
    for seed in range(24):
        acc, net, _ = drawn(seed)
        for packet in lower(convert(net), acc).packets:
            seen |= {("part", packet.begins, packet.ends), ("again", packet.again)}
            seen |= {("high", tap.high) for tap in packet.taps} | {
                ("source", tap.source) for tap in packet.taps
            }
            seen |= {("group", packet.group > 0), ("real", packet.outputs < acc.lanes)}
            seen |= {("signed", packet.signed)}
    flags = {(a, b) for a in (False, True) for b in (False, True)}
    assert {("part", *flag) for flag in flags} <= seen
    assert {(what, one) for what in ("again", "group", "real", "signed") for one in (False, True)} <= seen
    assert {(what, one) for what in ("high", "source") for one in (0, 1)} <= seen


def test_additions_are_counted_one_by_one():
    """Of a layer without groups: those that PyTorch counts; zeros make none."""
    acc = accelerator.load("sws-16")
    net = inputs.shipped("resnet20-fashion")
    image = inputs.images(net, None, 1, 0)
    digits = functional.input_digits(image, -128, acc.steps)
    program = lower(convert(net), acc)
    ran = engine.run(program, digits[:, 0])
    counted = {layer.name: layer.accesses["mac"] for layer in simulate.layers(program, ran)}
    spiked = spikes.run(spikes.convert(net), image, steps=acc.steps)
    for activity in spiked.activities:
        if not activity.name.endswith("add"):
            assert counted[activity.name] == activity.additions, activity.name


@pytest.mark.parametrize("preset", ["sws-8", "sws-16", "sws-32", "sws-64"])
def test_the_shipped_network_on_every_preset(preset):
    acc = accelerator.load(preset)
    net = inputs.shipped("resnet20-fashion")
    found = codeword.estimate(net, acc)
    assert found.cost.macs == net.macs
    if preset == "sws-16":
        ran = codeword.simulate(net, acc, inputs.images(net, None, 1, 0))
        assert ran.bit_exact
        assert [one.cycles for one in ran.layers] == [one.counts.cycles for one in found.layers]
        assert found.cost.cycles == 1_277_037


def test_a_charge_is_never_wider_than_the_bound():
    """The worst digits, bias and weights of one sign: the bound is reached, and not passed."""
    for steps, silent in ((4, 0), (8, 1), (6, 3)):
        weights = np.full((1, 3, 1, 1), -127)
        layer = SpikingLayer("x", (Synapses("input", weights),), np.array([-500]), np.array([10]))
        charge = 0
        for t in range(steps + silent):
            charge = 2 * charge - (t < steps) * 3 * 127 - (t == 0) * 500
        assert charge_bits(layer, steps, silent) == abs(charge).bit_length() + 1


def test_mistakes_are_named():
    net = inputs.shipped("resnet20-fashion")
    with pytest.raises(
        InputError, match=r"steps = 16: .* stem needs up to \d+ bits \(proven .*has 32.*steps=12"
    ):
        codeword.estimate(net, "sws-16", settings=["steps=16"])
    pool = Pool("pool2", "stem", "max", (2, 2), (2, 2), zero_point=0, low=0)
    with pytest.raises(InputError, match=r"layers.pool2 = 'pool': has no spikes.*average pool"):
        codeword.estimate(replace(net, layers=(net.layers[0], pool)), "sws-16")
    with pytest.raises(InputError, match=r"l1_bytes = 1024: .*--set l1_bytes=\d+"):
        codeword.estimate(net, "sws-16", settings=["l1_bytes=1024"])
    with pytest.raises(InputError, match=r"network = \['stem'.*shapes alone"):
        codeword.estimate("resnet20", "sws-16")
    with pytest.raises(InputError, match=r"columns = 16: differs from rows = 8.*sws-8"):
        accelerator.preset("sws-8x16")
    with pytest.raises(InputError, match=r"registers = True"):
        codeword.simulate(net, "sws-16", inputs.images(net, None, 1, 0), registers=True)
    with pytest.raises(InputError, match=r"silent = 3: is more than 2 steps"):
        accelerator.load("sws-8", {"steps": 2, "silent": 3})
    stem = net.layers[0]
    clipped = replace(stem, requantization=replace(stem.requantization, low=-5))
    with pytest.raises(InputError, match=r"layers.stem = 'conv': has neither a ReLU nor its whole range"):
        codeword.estimate(replace(net, layers=(clipped, *net.layers[1:])), "sws-16")
    alone = replace(net, layers=(replace(stem, requantization=None),))
    with pytest.raises(InputError, match=r"layers.stem = '28 x 28': is a map of charges"):
        codeword.estimate(alone, "sws-16")
