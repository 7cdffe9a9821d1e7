"""The graph: what it refuses and what it derives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sim.errors import InputError
from sim.network import CodebookWeight, Conv, DenseWeight, MatMul, Network, Requantization, TensorSpec
from sim.shapes import ConvShape, PassShape
from tests.sim.network.kinds import WORK, every_layer
from tests.sim.network.networks import small_network
from tests.sim.systolic.cases import slow_decode


def codebook_weight(**changes):
    fields = dict(
        codebook=np.ones((5, 8), np.int8),
        assignments=np.zeros((2, 3, 1, 1), np.uint16),
        mask_codes=np.zeros((2, 3, 1, 1, 1), np.uint16),
        keep=2,
        group=8,
    )
    return CodebookWeight(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"assignments": np.full((2, 3, 1, 1), 5, np.uint16)},
            "assignments = 5: beyond the codebook of k = 5",
        ),
        ({"mask_codes": np.full((2, 3, 1, 1, 1), 28, np.uint16)}, "mask code = 28: 2:8 has 28 legal"),
        ({"mask_codes": np.zeros((2, 3, 1, 1, 2), np.uint16)}, "mask_codes"),
        ({"group": 3}, "does not tile a codeword of d = 8"),
        ({"codebook": np.ones((5, 64), np.int8), "keep": 1, "group": 64}, "mask = '1:64': has more masks"),
        ({"codebook": np.ones((5, 32), np.int8), "keep": 16, "group": 32}, "mask = '16:32': has more masks"),
        ({"codebook": np.ones((5, 8), np.float32)}, "must be int8"),
        ({"codebook": np.ones(8, np.int8)}, r"must be \[k, d\]"),
        ({"signs": np.zeros((2, 3, 1, 1), np.uint16)}, "signs or masks"),
        ({"signs": np.zeros((2, 3, 1, 1), np.int16), "mask_codes": None}, "signs = .*must be uint16"),
        ({"signs": np.full((2, 3, 1, 1), 256, np.uint16), "mask_codes": None}, "beyond d = 8"),
    ],
)
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


def test_shapes_of_every_kind():
    net = every_layer(0)
    shapes = {shape.name: shape for shape in net.shapes}
    for name, shape in shapes.items():
        c, h, w = net.maps[name]
        assert shape.results == c * h * w
        assert shape.ofmap_bytes == h * w * -(-c // (2 if name == "fc" else 8)) * 8
        if isinstance(shape, ConvShape):
            assert (shape.outputs, shape.out_h, shape.out_w) == (c, h, w)
    convolution, product = shapes["depthwise"], shapes["scores"]
    assert (convolution.groups, convolution.dilation) == (4, net["depthwise"].dilation)
    tokens, keys = net.maps["q"][1], net.maps["keys"][1]
    assert product == ConvShape(
        "scores", 8, 2 * keys, size=(tokens, 1), groups=2, dynamic=True, chained=False
    )
    assert product.macs == 8 * keys * tokens
    assert shapes["mixed"] == ConvShape("mixed", 2 * keys, 8, size=(tokens, 1), groups=2, dynamic=True)
    kinds = {name: s.kind for name, s in shapes.items() if isinstance(s, PassShape)}
    assert kinds == WORK
    assert shapes["scaled"].ifmap_bytes == shapes["scaled"].elements + 8
    assert shapes["scan"].elements == 8 * 3 * tokens
    assert shapes["scan"].ifmap_bytes == 2 * (8 + 8) * tokens  # 3 states lie in a word
    assert shapes["max"].elements == shapes["max"].results * 6


def test_chained_shapes_read_what_the_shape_before_them_wrote():
    net = every_layer(0)
    apart = [shape.name for shape in net.shapes if not shape.chained]
    # `norm` reads a reshape, which moves nothing, of what `standard` wrote just before it
    assert apart == [
        "average",
        "both",
        "scaled",
        "gated",
        "place",
        "placed",
        "k",
        "v",
        "keys",
        "values",
        "scores",
        "delta",
        "inward",
        "outward",
        "scan",
    ]
    assert all(shape.chained for shape in small_network().shapes)


def test_an_addition_that_rides_is_what_its_convolution_wrote():
    net = small_network()
    late = [replace(net["a"], name="late", input=source) for source in ("join", "stem")]
    for layer, chained in zip(late, (True, False), strict=True):
        assert Network("ride", net.input, (*net.layers[:4], layer)).shapes[-1].chained is chained


def test_a_table_rides_on_requantization_and_sets_the_zero_point():
    weight = DenseWeight(np.ones((1, 1, 1, 1), np.int8))
    q = Requantization(
        np.ones(1, np.uint16),
        np.ones(1, np.uint8),
        5,
        table=np.arange(-128, 128).astype(np.int8)[::-1].copy(),
        table_zero_point=-9,
    )
    assert Conv("c", "input", weight, np.zeros(1, np.int32), requantization=q).zero_point == -9
    with pytest.raises(InputError, match="table"):
        replace(q, table=np.zeros(256, np.uint8))


def test_logits_are_not_read():
    net = small_network()
    raw = replace(net["a"], name="raw", requantization=None)
    layers = (net["stem"], raw, replace(net["pool"], input="raw"))
    with pytest.raises(InputError, match=r"pool\.input = 'raw'.*int32"):
        replace(net, layers=layers)


def test_products_that_may_overflow_are_refused():
    product = MatMul("p", ("input", "input"), 1, True, 1, 1)
    with pytest.raises(InputError, match="overflow the 32-bit psum"):
        Network("big", TensorSpec((33026, 1, 1)), (product,))
