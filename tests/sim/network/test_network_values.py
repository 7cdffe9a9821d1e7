"""What layers compute: functional model, vector unit and definitions in Python integers."""

from __future__ import annotations

from dataclasses import replace
from math import exp, isqrt, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import accelerator, network
from sim.errors import InputError
from sim.network import (
    AveragePool,
    Concat,
    Conv,
    DenseWeight,
    LayerNorm,
    MatMul,
    Multiply,
    Network,
    Pool,
    Scan,
    Softmax,
    Table,
    TensorSpec,
    Upsample,
    activation_table,
    exponent_table,
    norm_constants,
    run,
)
from sim.systolic.engine import passes, simulate
from tests.sim.network.kinds import every_layer, shifted, slow
from tests.sim.network.networks import random_images


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.tuples(st.integers(3, 7), st.integers(3, 7)), st.sampled_from([1, 2, 4]))
def test_functional_model_equals_the_definitions(seed, size, heads):
    """At 25 places of each tensor."""
    net = every_layer(seed, size, heads)
    tensors = run(net, random_images(net, seed, 1))
    rng = np.random.default_rng(seed)
    for layer in net.layers:
        operands = [tensors[name][0].astype(int).astype(object) for name in layer.inputs]
        found = tensors[layer.name][0]
        places = list(zip(*(rng.integers(0, n, 25).tolist() for n in found.shape), strict=True))
        expected = slow(layer, operands, [net.zero_point(name) for name in layer.inputs], places)
        assert [int(found[place]) for place in places] == expected, layer.name


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.tuples(st.integers(3, 12), st.integers(3, 12)), st.sampled_from([1, 2, 4]))
def test_vector_unit_equals_the_functional_model(seed, size, heads):
    net = every_layer(seed, size, heads)
    tensors = run(net, random_images(net, seed, 3))
    for layer in net.layers:
        if isinstance(layer, Conv):
            bare = network.convolve(tensors[layer.input], layer, net.zero_point(layer.input))
            found = passes.finish_convolution(layer, bare)
        elif isinstance(layer, MatMul):
            found = on_the_array(net, layer, tensors)
        else:
            found = passes.run_pass(net, layer, tensors)
        assert found.dtype == tensors[layer.name].dtype
        np.testing.assert_array_equal(found, tensors[layer.name], err_msg=layer.name)


def on_the_array(net, layer, tensors):
    """Raw sums of a grouped 1x1 convolution with the second operand's values, then the correction."""
    a, b = (tensors[name] for name in layer.inputs)
    zeros = (net.zero_point(layer.inputs[0]), net.zero_point(layer.inputs[1]))
    images = []
    for left, right in zip(a, b, strict=True):
        weight = DenseWeight(passes.stationary(layer, right))
        conv = Conv("raw", "input", weight, np.zeros(weight.shape[0], np.int32), groups=layer.heads)
        raw = network.convolve(left[None], conv, 0)[0]
        images.append(passes.finish_product(layer, raw, left, right, zeros))
    return np.stack(images)


def test_tensors_of_the_random_networks_are_not_saturated_away():
    """Over a few seeds each layer shows many values."""
    seen: dict[str, set] = {}
    for seed in range(12):
        net = every_layer(seed)
        for name, tensor in run(net, random_images(net, seed)).items():
            seen.setdefault(name, set()).update(np.unique(tensor).tolist())
    assert all(len(values) > 40 for values in seen.values()), {n: len(v) for n, v in seen.items()}


def test_an_image_network_runs_on_the_cycle_engine():
    """Pooling, tables and products of the vector unit beside the array."""
    rng = np.random.default_rng(4)
    values = every_layer(1)["excite"].table

    def conv(name, source, channels, table=None):
        weight = DenseWeight(rng.integers(-128, 128, (8, channels, 3, 3)).astype(np.int8))
        q = network.Requantization(np.full(8, 40000, np.uint16), np.full(8, 23, np.uint8), table=table)
        return Conv(name, source, weight, np.zeros(8, np.int32), padding=(1, 1), requantization=q)

    net = Network(
        "image",
        TensorSpec((3, 10, 10)),
        (
            conv("stem", "input", 3, values),
            Pool("max", "stem", "max", (3, 3), (2, 2), (1, 1)),
            conv("body", "max", 8),
            AveragePool("squeeze", "body", 2621, 16),
            Table("excite", "squeeze", values),
            Multiply("scaled", ("body", "excite"), 300, 14),
            Concat("both", ("scaled", "max"), (30000, 60000), 16),
            Upsample("up", "both", (2, 1)),
        ),
    )
    result = simulate(net, accelerator.preset("ews-8"), random_images(net, 1))
    assert result.bit_exact
    assert [layer.name for layer in result.layers] == [shape.name for shape in net.shapes]


def test_a_layer_of_the_array_is_no_pass():
    net = every_layer()
    with pytest.raises(InputError, match=r"scores\.kind = 'matmul': unknown to the vector unit"):
        passes.run_pass(net, net["scores"], run(net, random_images(net, 0)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_convolutions_with_groups_strides_and_dilation(data):
    """Against a sum over taps in int64; sums beyond 2^24 take several parts."""
    draw = data.draw
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    groups = draw(st.integers(1, 4))
    inner, outer = draw(st.sampled_from([1, 2, 3, 130, 500])), draw(st.sampled_from([1, 2, 5]))
    size = tuple((k - 1) * d + draw(st.integers(1, 5)) for k, d in zip(kernel, dilation, strict=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    extreme = draw(st.booleans())

    def values(*shape):
        span = [-128, -127, 127] if extreme else range(-128, 128)
        return rng.choice(np.array(span, np.int8), shape)

    layer = Conv(
        "layer",
        "input",
        DenseWeight(values(groups * outer, inner, *kernel)),
        np.zeros(groups * outer, np.int32),
        stride,
        padding,
        None,
        groups,
        dilation,
    )
    x, zero = values(2, groups * inner, *size), int(rng.integers(-128, 128))
    padded = network.pad(x, padding, zero).astype(np.int64)
    found = network.convolve(x, layer, zero)
    oh, ow = found.shape[2:]
    assert (groups * outer, oh, ow) == layer.ofmap((groups * inner, *size))
    expected = np.zeros((2, groups, outer, oh, ow), np.int64)
    for i, j in np.ndindex(*kernel):
        top, left = i * dilation[0], j * dilation[1]
        window = padded[
            :,
            :,
            top : top + (oh - 1) * stride[0] + 1 : stride[0],
            left : left + (ow - 1) * stride[1] + 1 : stride[1],
        ]
        taps = layer.weight.values[:, :, i, j].reshape(groups, outer, inner).astype(np.int64)
        expected += np.einsum("goc,ngcyx->ngoyx", taps, window.reshape(2, groups, inner, oh, ow))
    np.testing.assert_array_equal(found, expected.reshape(found.shape))


def test_large_maps_are_computed_in_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    weight = DenseWeight(rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8))
    layer = Conv("layer", "input", weight, np.zeros(4, np.int32), (2, 1), (1, 1))
    x = rng.integers(-128, 128, (2, 3, 13, 9)).astype(np.int8)
    whole = network.convolve(x, layer, 5)
    monkeypatch.setattr(network.layers.conv, "COLUMNS", 27 * 9 * 2)
    np.testing.assert_array_equal(network.convolve(x, layer, 5), whole)


def test_softmax_is_the_softmax():
    """Within half a step of 1/256 and the rounding of the table."""
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (1, 40, 30, 1)).astype(np.int8)
    net = Network("soft", TensorSpec((40, 30, 1)), (Softmax("s", "input", exponent_table(0.05), 2),))
    found = (run(net, x)["s"].astype(float) + 128) / 256
    e = np.exp(0.05 * x.reshape(1, 2, 20, 30, 1))
    assert np.abs(found - (e / e.sum(2, keepdims=True)).reshape(x.shape)).max() < 0.6 / 256


@pytest.mark.parametrize("rms", [False, True])
@pytest.mark.parametrize("spread", [0, 1, 3, 40])
def test_layer_norm_is_the_layer_norm(rms, spread):
    """Within one step of the output, from constant channels to wide ones."""
    rng = np.random.default_rng(spread)
    channels, scale, out_scale = 48, 1 / 32, 1 / 30
    x = np.clip(np.rint(rng.normal(10, spread, (1, channels, 9, 1))), -128, 127).astype(np.int8)
    gain, bias = rng.normal(0, 1, (2, channels))
    whole = norm_constants(gain, bias, 1e-5, scale, out_scale)
    layer = LayerNorm("n", "input", *whole, rms, zero_point=-3)
    net = Network("norm", TensorSpec((channels, 9, 1), scale, 10), (layer,))
    found = (run(net, x)["n"].astype(float) + 3) * out_scale
    real = (x.astype(float) - 10) * scale
    if not rms:
        real = real - real.mean(1, keepdims=True)
    real = real / np.sqrt((real**2).mean(1, keepdims=True) + 1e-5)
    expected = real * gain[:, None, None] + bias[:, None, None]
    expected = np.clip(expected, -125 * out_scale, 130 * out_scale)
    assert np.abs(found - expected).max() < 0.75 * out_scale


def test_extremes_of_layer_norm_and_softmax_agree_on_the_engine():
    """The widest sums that the checks allow."""
    rng = np.random.default_rng(1)
    c = 32768
    x = rng.choice(np.array([-128, 127], np.int8), (1, c, 2, 1))
    x[0, :, 1] = -128
    x[0, 0, 1] = 127
    gain, bias = np.full(c, -32768, np.int16), np.full(c, 2**31 - 1, np.int32)
    for rms in (False, True):
        for zero in (-128, 127):
            for epsilon in (1, 2**38 - 1):
                layer = LayerNorm("n", "input", gain, bias, 26, epsilon, rms)
                net = Network("wide", TensorSpec((c, 2, 1), 1.0, zero), (layer,))
                found = run(net, x)["n"]
                np.testing.assert_array_equal(passes.run_pass(net, layer, {"input": x}), found)
                u = x[0, :, 1, 0].astype(int).astype(object) - zero
                total = 0 if rms else sum(u)
                root = isqrt((c * sum(u * u) - total**2 + epsilon) << 16)
                value = shifted((c * u[0] - total) * (2**46 // root), 26) * -32768 + 2**31 - 1
                assert found[0, 0, 1, 0] == min(max(shifted(value, 26), -128), 127)
    for table in (np.full(256, 65535, np.uint16), np.eye(1, 256, dtype=np.uint16)[0]):
        layer = Softmax("s", "input", table)
        net = Network("wide", TensorSpec((c, 2, 1)), (layer,))
        np.testing.assert_array_equal(passes.run_pass(net, layer, {"input": x}), run(net, x)["s"])


@pytest.mark.parametrize("size", [2**15, 2**15 + 1, 2**20])
def test_norms_of_many_values(size):
    """Extremes, and one value apart from all others, agree with Python's integers and the real quotient."""
    rng = np.random.default_rng(size)
    excess = max(0, (size - 1).bit_length() - 15)
    gain, bias = np.array([-32768, 4096], np.int16), np.array([2**31 - 1, 0], np.int32)
    x = np.stack([np.full(size, -128), rng.choice(np.array([-128, 127]), size)]).astype(np.int8)[
        None, ..., None
    ]
    x[0, 0, 5] = 127
    places = [(0, 5, 0), (0, 6, 0), (1, 0, 0), (1, 1, 0), (1, 2, 0)]
    for rms, zero, epsilon in ((False, 127, 1), (True, 127, 2 ** (38 + 2 * excess) - 1), (True, -128, 1)):
        layer = LayerNorm("n", "input", gain, bias, 26, epsilon, rms, groups=2, spatial=True)
        net = Network("wide", TensorSpec((2, size, 1), 1.0, zero), (layer,))
        found = run(net, x)["n"]
        np.testing.assert_array_equal(passes.run_pass(net, layer, {"input": x}), found)
        for c, y, z in places:
            u = x[0, c, :, 0].astype(int) - zero
            total, squares = 0 if rms else int(u.sum()), int((u * u).sum())
            root = isqrt((size * squares - total**2 + epsilon) << (16 - 2 * excess))
            value = shifted((size * int(u[y]) - total) * (2 ** (46 - excess) // root), 26)
            real = (size * int(u[y]) - total) / sqrt(size * squares - total**2 + epsilon)
            assert value / 4096 == pytest.approx(real, rel=2 ** (excess - 14), abs=2**-12)
            value = value * int(gain[c]) + int(bias[c])
            assert found[0, c, y, z] == min(max(shifted(value, 26), -128), 127)
    with pytest.raises(InputError, match=r"n\.groups = .* more than 2\^23 values"):
        Network("wide", TensorSpec((2, size, 257), 1.0, 0), (layer,)).maps  # noqa: B018
    with pytest.raises(InputError, match=r"n\.epsilon"):
        Network("wide", TensorSpec((2, 2, 1), 1.0, 0), (replace(layer, epsilon=2**38),)).maps  # noqa: B018


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_saturates_at_the_extremes(reverse):
    """No decay and the widest steps: the state reaches its clamp and comes back."""
    rng = np.random.default_rng(2)
    channels, states, tokens = 2, 64, 600
    x = rng.choice(np.array([-128, 127], np.int8), (1, channels, tokens, 1), p=[0.2, 0.8])
    x[:, :, 300:] = ~x[:, :, 300:]
    spec = TensorSpec((channels, tokens, 1), 1.0, -1)
    zero = np.zeros((channels, states), np.uint16)
    wide = DenseWeight(np.full((states, channels, 1, 1), 127, np.int8))
    q = network.Requantization(np.full(states, 65535, np.uint16), np.full(states, 16, np.uint8))
    net = Network(
        "scan",
        spec,
        (
            Conv("b", "input", wide, np.zeros(states, np.int32), requantization=q),
            Table("delta", "input", np.full(256, 127, np.int8), -128),
            Scan(
                "scan",
                ("input", "delta", "b", "b"),
                zero,
                np.full(256, 65535, np.uint16),
                np.full(channels, -(2**31), np.int32),
                1,
                65535,
                9,
                300,
                47,
                reverse,
            ),
        ),
    )
    tensors = run(net, x)
    layer = net["scan"]
    np.testing.assert_array_equal(passes.run_pass(net, layer, tensors), tensors["scan"])
    operands = [tensors[name][0].astype(int).astype(object) for name in layer.inputs]
    places = list(np.ndindex(channels, tokens, 1))
    expected = slow(layer, operands, [net.zero_point(name) for name in layer.inputs], places)
    assert tensors["scan"].ravel().tolist() == expected
    assert len(set(expected)) > 5


def test_tables():
    table = exponent_table(0.1)
    assert table[0] == 65535
    assert table[10] == round(65535 * exp(-1))
    assert (np.diff(table.astype(int)) <= 0).all()
    swish = activation_table(lambda x: x * min(max(x + 3, 0), 6) / 6, 1 / 16, -5, 1 / 20, 7)
    assert swish[-5 + 128] == 7
    assert swish[11 + 128] == 7 + round(20 * 4 / 6)
    assert activation_table(lambda x: sqrt(abs(x)) * 1e6, 1.0, 0, 1.0, 0)[0] == 127
    with pytest.raises(InputError, match="scale"):
        exponent_table(0.0)
    with pytest.raises(InputError, match="epsilon"):
        norm_constants(np.ones(9), np.zeros(9), 1.0, 1e-9, 1.0)
    with pytest.raises(InputError, match="larger output scale"):
        norm_constants(np.array([1e9]), np.zeros(1), 1e-5, 1.0, 1e-3)
