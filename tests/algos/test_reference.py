"""The integer reference against plain loops, and against the functional model of sim."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algos import reference
from algos.data.fashion_mnist import Images
from sim.network import (
    Add,
    AveragePool,
    CodebookWeight,
    Conv,
    DenseWeight,
    Network,
    Requantization,
    TensorSpec,
)
from sim.network import run as sim_run
from sim.network.integer import square_root
from tests.sim.network.kinds import every_layer
from tests.sim.network.networks import random_images

MASKS = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]  # 2:4, in the order of their codes


def network(seed: int = 0) -> Network:
    """Zero points, strides, padding, an asymmetric kernel, a masked layer, an addition."""
    rng = np.random.default_rng(seed)

    def int8(*shape: int) -> np.ndarray:
        return rng.integers(-128, 128, shape).astype(np.int8)

    def bias(k: int) -> np.ndarray:
        return rng.integers(-3000, 3000, k).astype(np.int32)

    def requantization(k: int, z: int, low: int) -> Requantization:
        return Requantization(
            rng.integers(1, 65536, k).astype(np.uint16), rng.integers(20, 26, k).astype(np.uint8), z, low
        )

    masked = CodebookWeight(
        int8(3, 4),
        rng.integers(0, 3, (1, 4, 3, 2)).astype(np.uint16),
        rng.integers(0, 6, (1, 4, 3, 2, 1)).astype(np.uint16),
        2,
        4,
    )
    return Network(
        "loops",
        TensorSpec((2, 5, 6), 1 / 255, -128),
        (
            Conv(
                "a", "input", DenseWeight(int8(4, 2, 3, 3)), bias(4), (1, 2), (1, 1), requantization(4, 5, 5)
            ),
            Conv("b", "a", masked, bias(4), (1, 1), (1, 0), requantization(4, -7, -128)),
            Conv(
                "c", "a", DenseWeight(int8(4, 4, 1, 2)), bias(4), (1, 1), (0, 0), requantization(4, 0, -128)
            ),
            Add("d", ("b", "c"), (300, 40_000), 15, 3, -100, 90),
            AveragePool("e", "d", 6554, 16, -2, -128, 127),
            Conv("f", "e", DenseWeight(int8(3, 4, 1, 1)), bias(3)),
        ),
    )


def floor_shift(value: int, shift: int) -> int:
    return (2 * value + 2**shift) // 2 ** (shift + 1)


def loops(net: Network, image: np.ndarray) -> dict[str, np.ndarray]:
    """One image, one Python integer at a time."""
    out, zeros = {"input": image}, {"input": net.input.zero_point}
    for layer in net.layers:
        if isinstance(layer, Conv):
            out[layer.name] = conv_loops(layer, out[layer.input], zeros[layer.input])
        elif isinstance(layer, Add):
            a, b = (out[n].astype(object) - zeros[n] for n in layer.inputs)
            total = a * layer.multipliers[0] + b * layer.multipliers[1]
            out[layer.name] = np.array(
                [
                    min(max(floor_shift(v, layer.shift) + layer.zero_point, layer.low), layer.high)
                    for v in total.ravel()
                ]
            ).reshape(total.shape)
        else:
            x = out[layer.input].astype(object) - zeros[layer.input]
            out[layer.name] = np.array(
                [
                    min(
                        max(
                            floor_shift(plane.sum() * layer.multiplier, layer.shift) + layer.zero_point,
                            layer.low,
                        ),
                        layer.high,
                    )
                    for plane in x
                ]
            )[:, None, None]
        zeros[layer.name] = layer.zero_point
    return out


def weight_loops(weight: DenseWeight | CodebookWeight) -> np.ndarray:
    if isinstance(weight, DenseWeight):
        return weight.values
    groups, c, ky, kx = weight.assignments.shape
    full = np.zeros((groups * 4, c, ky, kx), int)
    for g, i, y, x in np.ndindex(groups, c, ky, kx):
        assert weight.mask_codes is not None
        for lane in MASKS[weight.mask_codes[g, i, y, x, 0]]:
            full[4 * g + lane, i, y, x] = weight.codebook[weight.assignments[g, i, y, x], lane]
    return full


def conv_loops(layer: Conv, x: np.ndarray, zero: int) -> np.ndarray:
    weight = weight_loops(layer.weight)
    outputs, channels, ky, kx = weight.shape
    (sy, sx), (py, px) = layer.stride, layer.padding
    h, w = x.shape[1:]
    result = np.zeros((outputs, (h + 2 * py - ky) // sy + 1, (w + 2 * px - kx) // sx + 1), int)
    for k, oy, ox in np.ndindex(*result.shape):
        acc = int(layer.bias[k])
        for c, dy, dx in np.ndindex(channels, ky, kx):
            yy, xx = oy * sy + dy - py, ox * sx + dx - px
            inside = 0 <= yy < h and 0 <= xx < w
            acc += int(weight[k, c, dy, dx]) * (int(x[c, yy, xx]) if inside else zero)
        q = layer.requantization
        if q is not None:
            acc = floor_shift(acc * int(q.multiplier[k]), int(q.shift[k])) + q.zero_point
            acc = min(max(acc, q.low), q.high)
        result[k, oy, ox] = acc
    return result


@pytest.mark.parametrize("seed", range(4))
def test_reference_equals_loops(seed: int) -> None:
    net = network(seed)
    image = np.random.default_rng(seed + 100).integers(-128, 128, (2, 5, 6))
    expected = loops(net, image)
    found = reference.run(net, torch.from_numpy(image)[None])
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name][0], tensor, err_msg=name)
    assert len(np.unique(expected["d"])) > 10  # not saturated away


@pytest.mark.parametrize("seed", range(4))
def test_reference_equals_functional_model(seed: int) -> None:
    net = network(seed)
    batch = np.random.default_rng(seed).integers(-128, 128, (3, 2, 5, 6)).astype(np.int8)
    found, expected = reference.run(net, torch.from_numpy(batch).long()), sim_run(net, batch)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.tuples(st.integers(3, 9), st.integers(3, 9)), st.sampled_from([1, 2, 4]))
def test_every_kind_of_layer_equals_the_functional_model(
    seed: int, size: tuple[int, int], heads: int
) -> None:
    net = every_layer(seed, size, heads)
    images = random_images(net, seed)
    found, expected = reference.run(net, torch.from_numpy(images).long()), sim_run(net, images)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor, err_msg=name)


@pytest.mark.parametrize("root", [1, 2**15, 2**31 - 1])
def test_roots_are_exact_around_squares(root: int) -> None:
    values = torch.tensor([root**2 - 1, root**2, root**2 + 1])
    assert reference._root(values).tolist() == [root - 1, root, root]
    assert square_root(values.numpy()).tolist() == [root - 1, root, root]


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 2), (2, 1), (1, 1), (-1, 0), (-2, -1), (-3, -1), (1000, 127), (-1000, -128)]
)
def test_halves_round_up_and_extremes_clamp(value: int, expected: int) -> None:
    q = Requantization(np.ones(1, np.uint16), np.ones(1, np.uint8))
    assert int(reference._shifted(torch.tensor([value]), torch.tensor([1]), q)) == expected


@pytest.mark.parametrize("channels", [113, 114, 600])
def test_extreme_sums_are_exact(channels: int) -> None:
    """Around the point where float32 sums would stop to be exact (1024 products of 2^14)."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-128, -119, (1, channels, 3, 3)).astype(np.int8)
    image = rng.integers(-128, -119, (channels, 3, 3))
    net = Network(
        "sum",
        TensorSpec((channels, 3, 3)),
        (Conv("a", "input", DenseWeight(weight), np.array([7], np.int32)),),
    )
    assert int(reference.run(net, torch.from_numpy(image)[None])["a"]) == int((weight * image).sum()) + 7


def test_pixels_are_shifted_by_the_zero_point_and_answers_counted() -> None:
    weight = np.array([1, -1], np.int8).reshape(2, 1, 1, 1)
    net = Network(
        "sign",
        TensorSpec((1, 1, 1), 1 / 255, -128),
        (Conv("a", "input", DenseWeight(weight), np.zeros(2, np.int32)),),
    )
    pixels = torch.tensor([0, 127, 129, 255], dtype=torch.uint8).reshape(4, 1, 1, 1)
    assert reference.logits(net, pixels)[:, 0].tolist() == [-128, -1, 1, 127]
    assert reference.accuracy(net, Images(pixels, torch.tensor([1, 1, 0, 1]))) == 0.75
