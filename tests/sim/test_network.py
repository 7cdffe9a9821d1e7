"""The graph: what it refuses and what it derives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.errors import InputError
from sim.network import CodebookWeight, Conv, DenseWeight, Network, Requantization, TensorSpec
from tests.sim.cases import slow_decode
from tests.sim.networks import small_network


def codebook_weight(**changes):
    fields = dict(codebook=np.ones((5, 8), np.int8), assignments=np.zeros((2, 3, 1, 1), np.uint16),
                  mask_codes=np.zeros((2, 3, 1, 1, 1), np.uint16), keep=2, group=8)
    return CodebookWeight(**fields | changes)


@pytest.mark.parametrize(("changes", "text"), [
    ({"assignments": np.full((2, 3, 1, 1), 5, np.uint16)}, "assignments = 5: beyond the codebook of k = 5"),
    ({"mask_codes": np.full((2, 3, 1, 1, 1), 28, np.uint16)}, "mask code = 28: 2:8 has 28 legal"),
    ({"mask_codes": np.zeros((2, 3, 1, 1, 2), np.uint16)}, "mask_codes"),
    ({"group": 3}, "does not tile a codeword of d = 8"),
    ({"codebook": np.ones((5, 8), np.float32)}, "must be int8"),
])
def test_wrong_codebook_weights(changes, text):
    with pytest.raises(InputError, match=text):
        codebook_weight(**changes)


def test_decode_equals_a_record_by_record_decode():
    net = small_network(d=8, keep=2)
    for layer in net.layers:
        if isinstance(layer, Conv):
            np.testing.assert_array_equal(layer.weight.decode(), slow_decode(layer.weight))


def test_psum_overflow_is_refused():
    weight = DenseWeight(np.full((1, 1, 1, 1), 1, np.int8))
    Conv("edge", "input", weight, np.array([2**31 - 129], np.int32))
    with pytest.raises(InputError, match="32-bit psum would wrap"):
        Conv("edge", "input", weight, np.array([2**31 - 128], np.int32))


def test_graph_errors():
    net = small_network()
    with pytest.raises(InputError, match="no earlier layer"):
        replace(net, layers=net.layers[1:])
    with pytest.raises(InputError, match="used twice"):
        replace(net, layers=(*net.layers, net.layers[0]))
    with pytest.raises(InputError, match="the ifmap has 2 channels"):
        replace(net, input=TensorSpec((2, 6, 6)))
    with pytest.raises(InputError, match="use 'stem'"):
        net["sten"]


def test_shift_out_of_range():
    with pytest.raises(InputError, match="shift"):
        Requantization(np.ones(1, np.uint16), np.array([48], np.uint8))


def test_addition_rides_on_the_convolution_before_it():
    net = small_network()
    names = [(s.name, getattr(s, "residual", "")) for s in net.shapes]
    assert names == [("stem", ""), ("a", ""), ("b", "join"), ("pool", ""), ("fc", "")]


def test_an_addition_that_cannot_ride_is_a_pass():
    net = small_network()
    order = {layer.name: layer for layer in net.layers}
    reader = replace(order["a"], name="late", input="b")
    layers = (order["stem"], order["a"], order["b"], reader, order["join"])
    shapes = Network("passes", net.input, layers).shapes
    assert shapes[-1].kind == "add"
    assert shapes[-1].operands == 2
