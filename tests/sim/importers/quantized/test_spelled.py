"""Integers written in other ways: QOperator of ONNX Runtime, Quant of QONNX, clips of Brevitas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from sim.importers.quantized import Lowered, lower, onnx_source
from sim.network import Network, run
from tests.sim.importers.quantized.definition import Model
from tests.sim.importers.quantized.test_lower import compared, conv, image

MICROSOFT, QONNX = "com.microsoft", "qonnx.custom_op.general"


def same(a: Network, b: Network) -> bool:
    """Whether two networks compute the same."""
    rng = np.random.default_rng(0)
    images = rng.integers(-128, 128, (2, *a.input.shape)).astype(np.int8)
    first, second = (run(net, images)[net.layers[-1].name] for net in (a, b))
    return np.array_equal(first, second)


def of_nodes(nodes: list[onnx.NodeProto], constants: dict[str, Any], path: Path) -> Lowered:
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "net",
        [tensor("x", onnx.TensorProto.FLOAT, [1, 3, 6, 6])],
        [tensor(nodes[-1].output[0], onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    graph.output[0].type.tensor_type.shape.dim.add().dim_value = 1
    opsets = [
        helper.make_opsetid(domain, version) for domain, version in (("", 21), (MICROSOFT, 1), (QONNX, 1))
    ]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path / "net.onnx")
    found = onnx_source.read(path / "net.onnx")
    assert found is not None
    return lower(found)


def constants(rng: np.random.Generator) -> dict[str, Any]:
    scales = rng.uniform(0.002, 0.004, 4).astype(np.float32)
    return {
        **{f"s{i}": np.float32(s) for i, s in enumerate((0.03, 0.05, 0.02, 0.01))},
        **{f"z{i}": np.uint8(z) for i, z in enumerate((128, 100, 0, 7))},
        "w": rng.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "ws": scales,
        "wz": np.zeros(4, np.int8),
        "b": rng.integers(-3000, 3000, 4).astype(np.int32),
        "bs": np.float32(0.03) * scales,
        "bz": np.zeros(4, np.int32),
        "m": rng.integers(-127, 128, (4, 5)).astype(np.int8),
        "ms": np.float32(0.003),
        "mz": np.int8(0),
    }


def test_operators_on_integers_are_those_between_quantizers(tmp_path: Path) -> None:
    given = constants(np.random.default_rng(3))
    node = helper.make_node

    def q(tensor: str, number: int, out: str) -> list[onnx.NodeProto]:
        inputs = [f"s{number}", f"z{number}"]
        return [
            node("QuantizeLinear", [tensor, *inputs], [f"{out}.q"]),
            node("DequantizeLinear", [f"{out}.q", *inputs], [out]),
        ]

    def w(name: str) -> onnx.NodeProto:
        return node("DequantizeLinear", [name, f"{name}s", f"{name}z"], [f"{name}.r"], axis=0)

    apart = [
        *q("x", 0, "a"),
        *(w(name) for name in "wbm"),
        node("Conv", ["a", "w.r", "b.r"], ["c"], pads=[1] * 4),
        *q("c", 1, "d"),
        node("Sigmoid", ["d"], ["e"]),
        *q("e", 3, "f"),
        node("Mul", ["d", "f"], ["g"]),
        *q("g", 2, "h"),
        node("GlobalAveragePool", ["h"], ["i"]),
        *q("i", 2, "j"),
        node("Flatten", ["j"], ["k"]),
        node("MatMul", ["k", "m.r"], ["l"]),
        *q("l", 1, "y"),
    ]
    whole = [
        node("QuantizeLinear", ["x", "s0", "z0"], ["a"]),
        node("QLinearConv", ["a", "s0", "z0", "w", "ws", "wz", "s1", "z1", "b"], ["d"], pads=[1] * 4),
        node("QLinearSigmoid", ["d", "s1", "z1", "s3", "z3"], ["f"], domain=MICROSOFT),
        node("QLinearMul", ["d", "s1", "z1", "f", "s3", "z3", "s2", "z2"], ["h"], domain=MICROSOFT),
        node("QLinearGlobalAveragePool", ["h", "s2", "z2", "s2", "z2"], ["j"], domain=MICROSOFT),
        node("Flatten", ["j"], ["k"]),
        node("QLinearMatMul", ["k", "s2", "z2", "m", "ms", "mz", "s1", "z1"], ["l"]),
        node("DequantizeLinear", ["l", "s1", "z1"], ["y"]),
    ]
    first, second = (of_nodes(nodes, given, tmp_path).network for nodes in (apart, whole))
    assert [layer.kind for layer in first.layers] == [layer.kind for layer in second.layers]
    assert same(first, second)


@pytest.mark.parametrize(("bits", "signed"), [(8, 1), (8, 0), (4, 1), (4, 0), (2, 1)])
def test_quant_of_qonnx(bits: int, signed: int, tmp_path: Path) -> None:
    """Real values after each quantizer, by QONNX's definition: (clip(round(x / s + z)) - z) s."""
    rng, node = np.random.default_rng(bits), helper.make_node
    scale = rng.uniform(0.01, 0.02, (4, 1, 1, 1)).astype(np.float32)
    weight = rng.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    given = {
        "w": weight,
        "ws": scale,
        "s": np.float32(0.03),
        "t": np.float32(4 / high),
        "z": np.float32(0),
        "four": np.float32(4),
        "bits": np.float32(bits),
        "eight": np.float32(8),
    }
    quant: dict[str, Any] = {"domain": QONNX, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [
        node("Quant", ["x", "s", "z", "eight"], ["a"], signed=1, **quant),
        node("Quant", ["w", "ws", "z", "four"], ["v"], signed=1, **quant | {"narrow": 1}),
        node("Conv", ["a", "v"], ["c"], pads=[1] * 4),
        node("Quant", ["c", "t", "z", "bits"], ["y"], signed=signed, **quant),
    ]
    found = of_nodes(nodes, given, tmp_path)
    image = rng.normal(size=(1, 3, 6, 6)).astype(np.float32)
    conv = Model([1, 3, 6, 6])
    x = np.clip(np.rint(image / np.float32(0.03)), -128, 127).astype(np.float32) * np.float32(0.03)
    w = np.clip(np.rint(weight / scale), -7, 7) * scale
    conv.node("Conv", ["x", conv.constant(w)], pads=[1] * 4)
    wanted = np.clip(np.rint(conv.run(x)["conv1"] / given["t"]), low, high)
    result = run(found.network, found.network.input.quantize(image))[found.network.layers[-1].name]
    q = found.network.metadata["output"]
    assert isinstance(q, dict)
    integers = result.astype(int) - q["zero_point"]
    assert np.abs(integers - wanted).max() <= 1
    assert (integers == wanted).mean() > 0.98
    assert found.network.layers[0].weight.decode().min() >= -7  # type: ignore[attr-defined]


def test_an_input_of_fewer_bits_is_clamped_by_a_table(tmp_path: Path) -> None:
    given = {"s": np.float32(0.25), "z": np.float32(0), "bits": np.float32(4)}
    quant = helper.make_node(
        "Quant", ["x", "s", "z", "bits"], ["y"], domain=QONNX, signed=1, rounding_mode="ROUND"
    )
    net = of_nodes([quant], given, tmp_path).network
    image = np.random.default_rng(0).normal(size=(1, 3, 6, 6)).astype(np.float32) * 3
    result = run(net, net.input.quantize(image))[net.layers[-1].name]
    assert np.array_equal(result, np.clip(np.rint(image / np.float32(0.25)), -8, 7))
    assert [layer.kind for layer in net.layers] == ["table"]


def test_clips_of_integers_are_fewer_bits(tmp_path: Path) -> None:
    model, x = image()
    y = conv(model, x, (4, 3, 1, 1), 0.031)
    given = [model.constant(0.2), model.constant(0, np.int8)]
    integers = model.node("QuantizeLinear", [y, *given])
    few = model.node("Clip", [integers, model.constant(-8, np.int8), model.constant(7, np.int8)])
    found = compared(model, model.node("DequantizeLinear", [few, *given]), tmp_path)
    layer = found.network.layers[0]
    assert (layer.requantization.low, layer.requantization.high) == (-8, 7)  # type: ignore[attr-defined]
