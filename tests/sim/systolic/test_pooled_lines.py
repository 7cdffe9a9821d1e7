"""A max pool whose windows the storer of the convolution before it follows along y (docs/timing.md section 7)."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import accelerator, bulk
from sim.errors import InputError
from sim.estimate import estimate
from sim.network import Conv, DenseWeight, Network, Pool, Requantization, TensorSpec
from sim.network import run as functional
from sim.shapes import ConvShape, rides, with_logits
from sim.systolic import mapping, plan, remembered
from sim.systolic.closed_form.counts import layer_counts
from sim.systolic.engine import simulate, storer
from sim.systolic.results import with_output
from sim.systolic.schedule import Schedule
from sim.systolic.streams import dense_format, native_formats
from sim.workloads import workload
from sim.workloads.builder import Builder, Tensor
from tests.sim.systolic.brute_force import least
from tests.sim.systolic.bulk.test_bulk_search import check as compiled_finds_the_same
from tests.sim.systolic.cases import pool_axes
from tests.sim.systolic.test_search import small_case


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(2, 30), st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32))
def test_along_y_and_then_along_x_is_the_pool(data, height, width, channels, seed):
    """What the storer writes, by its line alone, and what is left of the pool, against all windows at once."""
    conv = ConvShape("conv", 1, channels, size=(height, width))
    y = data.draw(st.sampled_from(pool_axes(conv)))
    reach = data.draw(st.integers(1, min(4, width)))
    steps, padding = (
        (y.stride, data.draw(st.integers(1, 4))),
        (y.padding, data.draw(st.integers(0, reach // 2))),
    )
    pool = Pool("pool", "input", "max", (y.reach, reach), steps, padding, low=-100, high=90)
    shapes = conv, pool.shape((channels, height, width))
    assert rides(shapes, 1)
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (2, channels, height, width)).astype(np.int8)
    x[rng.random(x.shape) < 0.3] = -128
    written = storer.pool_lines(x, *shapes[1].windows[0])
    alone = Network("pool", TensorSpec((channels, height, width)), (pool,))
    left = Network("left", TensorSpec(written.shape[1:]), (pool.along_x,))
    np.testing.assert_array_equal(functional(left, written)["pool"], functional(alone, x)["pool"])
    pooled, rest = plan.riders(shapes, [1])
    assert (len(pooled.written), rest.results) == (written.shape[2], shapes[1].results)
    assert pooled.ofmap_bytes == 8 * -(-channels // 8) * written.shape[2] * width


def pooled_case(seed, size):
    """`small_case` whose storer pools."""
    rnd = random.Random(seed)
    while True:
        layer, machine, source = small_case(rnd.randrange(10**6), size)
        layer = replace(layer, residual="")
        if axes := pool_axes(layer):
            return replace(layer, pool=rnd.choice(axes)), machine, source


@pytest.mark.parametrize("seed", range(20))
def test_the_compiled_search_finds_the_same_schedules(seed):
    compiled_finds_the_same(*pooled_case(seed, 9))


@pytest.mark.parametrize("seed", range(6))
def test_the_search_against_brute_force(seed):
    layer, machine, source = pooled_case(seed, 5)
    form = dense_format(layer, machine)
    try:
        best = least(layer, machine, form, source)
    except (InputError, ValueError):
        return
    for n, objective in enumerate(mapping.OBJECTIVES):
        found = mapping.search(layer, machine, form, objective=objective, source=source)
        counts, _ = layer_counts(found.schedule, layer)
        energy = mapping.technology.mapping_energy(machine)[1]
        value = mapping.score(counts.total_cycles, counts.accesses, energy)[n]
        assert -1e-9 <= value / best[objective] - 1 <= mapping.TOLERANCE[objective]


def drawn_network(seed):
    """Shapes of convolutions with pools behind some of them, and a machine."""
    rnd = random.Random(seed)
    net = Builder("drawn")
    x = Tensor(rnd.randint(1, 6), (rnd.randint(12, 30), rnd.randint(12, 30)))
    for n in range(3):
        x = net.conv(f"conv{n}", x, rnd.randint(1, 20), rnd.choice([1, 3]))
        if min(x.size) > 3 and rnd.random() < 0.8:
            k, s = rnd.choice([(2, 2), (3, 2), (3, 3), (2, 1)])
            x = net.pool(f"pool{n}", x, k, s, k // 2 if k == 3 and rnd.random() < 0.5 else 0, largest=True)
    net.linear("last", net.global_pool("mean", x), 5)
    machine = accelerator.load(
        rnd.choice(["ews-4", "ews-8", "ws-8", "ews-cms-8"]),
        {"l1_bytes": rnd.choice([4096, 1 << 15]), "dma_bits": rnd.choice([16, 64])},
    )
    return net.workload(), machine


@pytest.mark.parametrize("objective", mapping.OBJECTIVES)
@pytest.mark.parametrize("seed", range(6))
def test_no_network_is_worse_for_it(seed, objective):
    network, machine = drawn_network(seed)
    shapes = with_logits(network.shapes)
    formats = {name: found[:2] for name, found in native_formats(shapes, machine).items()}
    without = plan._planned(shapes, formats, machine, objective)
    found = plan.planned(shapes, formats, machine, objective)
    value, before = (plan._score(one.layers, one.shapes[-1], machine, objective) for one in (found, without))
    assert value <= before
    riding = [n for n, how in enumerate(found.plan) if isinstance(how, Schedule) and how.shape.pool]
    assert (value < before) == bool(riding)


@pytest.mark.parametrize("seed", range(4))
def test_designs_get_what_an_estimate_says(seed, monkeypatch):
    """NumPy, compiled, and in bulk."""
    network, machine = drawn_network(seed)
    found = []
    for ready in (False, True):
        monkeypatch.setattr(remembered, "ready", ready)
        found.append(estimate(network, machine))
    assert json.dumps(found[0].to_json()) == json.dumps(found[1].to_json())
    totals = bulk.estimates([network], [machine])
    assert totals.columns["cycles"][0, 0] == found[0].cost.cycles
    assert totals.columns["energy_pj"][0, 0] == found[0].cost.total_pj


def test_some_of_the_networks_pool_in_the_storer():
    assert any(
        layer.counts.schedule is not None and layer.counts.schedule.shape.pool
        for seed in range(4)
        for layer in estimate(*drawn_network(seed)).layers
    )


@pytest.mark.parametrize(
    ("name", "l1_bytes", "ride"), [("ews-8", 1 << 15, [True, True]), ("ews-4", 4096, [False, True])]
)
def test_a_network_runs_as_it_is_planned(name, l1_bytes, ride):
    """Values of every tensor, and counts of every layer; two pools, one of which shares rows between windows."""
    rng = np.random.default_rng(0)
    layers, channels, source = [], 3, "input"
    for n, (outputs, kernel, stride, padding) in enumerate([(8, 3, 2, 1), (9, 2, 2, 0)]):
        weight = DenseWeight(rng.integers(-128, 128, (outputs, channels, 3, 3)).astype(np.int8))
        scale = np.full(outputs, 999, np.uint16), np.full(outputs, 22, np.uint8)
        layers += [
            Conv(
                f"conv{n}",
                source,
                weight,
                np.arange(outputs, dtype=np.int32),
                (1, 1),
                (1, 1),
                Requantization(*scale),
            ),
            Pool(
                f"pool{n}", f"conv{n}", "max", (kernel, kernel), (stride, stride), (padding, padding), low=-90
            ),
        ]
        channels, source = outputs, f"pool{n}"
    network = Network("pooled", TensorSpec((3, 24, 20), zero_point=5), tuple(layers))
    machine = accelerator.load(name, {"l1_bytes": l1_bytes, "dma_bits": 16})
    images = rng.integers(-128, 128, (2, 3, 24, 20)).astype(np.int8)
    run = simulate(network, machine, images)
    formats = dict.fromkeys(("conv0", "conv1"), ("dense", 0))
    found = plan.planned(network.shapes, formats, machine)
    assert [how.shape.pool is not None for how in found.plan if isinstance(how, Schedule)] == ride
    assert run.bit_exact
    expected = with_output(found.layers, found.shapes[-1], machine)
    assert [replace(layer, gated=None) for layer in run.layers] == list(expected)
    assert run.tensors["conv1, pooled"].shape == (2, 9, 6, 10)


def test_a_pool_with_another_reader_stays_a_pass():
    conv = [
        Conv(
            name,
            "input",
            DenseWeight(np.ones((4, 4, 1, 1), np.int8)),
            np.zeros(4, np.int32),
            requantization=one,
        )
        for name in ("a", "b")
        for one in [Requantization(np.ones(4, np.uint16), np.ones(4, np.uint8))]
    ]
    pool = Pool("pool", "a", "max", (2, 2), (2, 2))
    spec = TensorSpec((4, 8, 8))
    assert rides(Network("one", spec, (conv[0], pool)).shapes, 1)
    again = replace(conv[1], input="a")
    assert not rides(Network("two", spec, (conv[0], pool, again)).shapes, 1)
    assert not rides(Network("apart", spec, (conv[0], conv[1], pool)).shapes, 2)


def test_what_does_not_fit_is_told():
    shape = replace(ConvShape("c", 4, 20, (3, 3), (1, 1), (1, 1), (9, 9)), name="")
    (axis, *_) = pool_axes(shape)
    machine = accelerator.load("ews-8")
    with pytest.raises(InputError, match="A, tile_rows, outputs_outer"):
        Schedule(machine, replace(shape, pool=axis), A=2, tile_rows=9)
    with pytest.raises(InputError, match="A, tile_rows, outputs_outer"):
        Schedule(machine, replace(shape, pool=axis), tile_rows=4, outputs_outer=False)


def test_the_stem_of_resnet():
    """docs/results.md: under a quarter of the cycles."""
    found = estimate(workload("resnet18"), accelerator.preset("ews-cms-64"))
    stem = sum(layer.counts.total_cycles for layer in found.layers[:2])
    assert [layer.counts.name for layer in found.layers[:2]] == ["conv1", "maxpool"]
    assert stem < found.cost.cycles / 4


def conv_and_pool(**metadata: object) -> Network:
    weight = DenseWeight(np.ones((4, 4, 3, 3), np.int8))
    scales = Requantization(np.ones(4, np.uint16), np.ones(4, np.uint8))
    conv = Conv("conv", "input", weight, np.zeros(4, np.int32), padding=(1, 1), requantization=scales)
    pool = Pool("pool", "conv", "max", (2, 2), (2, 2))
    return Network("both", TensorSpec((4, 8, 8)), (conv, pool), metadata)


def test_a_result_of_the_network_is_not_pooled_away():
    assert conv_and_pool().shapes[1].windows
    assert conv_and_pool(outputs=["pool"]).shapes[1].windows
    assert conv_and_pool(outputs=["conv", "pool"]).shapes[1].windows is None


@pytest.mark.parametrize("change", [{"tile_rows": 0}, {"tile_rows": -1}, {"A": 2}])
def test_schedules_that_cannot_pool_are_refused(change):
    shape, _ = plan.riders(conv_and_pool().shapes, [1])
    machine = accelerator.preset("ews-4")
    Schedule(machine, shape, A=1, B=1, D=1, tile_rows=2)
    with pytest.raises(InputError):
        Schedule(machine, shape, **{"A": 1, "B": 1, "D": 1, "tile_rows": 2} | change)
