"""Networks as `quantize_static` of ONNX Runtime writes them, against ONNX Runtime, where that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from sim.importers.quantized import Lowered, lower, onnx_source
from sim.network import run, run_layer

pytest.importorskip("onnxruntime")

SIZE = 16
IMAGES = 4


class Float:
    """A float network by hand."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)
        self.nodes: list[onnx.NodeProto] = []
        self.values: list[onnx.TensorProto] = []

    def constant(self, array: Any) -> str:
        name = f"c{len(self.values)}"
        self.values.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{operator}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def conv(self, x: str, k: int, c: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> str:
        weight = self.rng.normal(0, (2 / (c * kernel**2)) ** 0.5, (k, c, kernel, kernel)).astype(np.float32)
        bias = self.rng.normal(0, 0.1, k).astype(np.float32)
        inputs = [x, self.constant(weight), self.constant(bias)]
        return self.node("Conv", inputs, pads=[kernel // 2] * 4, strides=[stride] * 2, group=groups)

    def linear(self, x: str, f: int) -> str:
        weight = self.rng.normal(0, f**-0.5, (10, f)).astype(np.float32)
        flat = self.node("Flatten", [self.node("GlobalAveragePool", [x])])
        bias = self.rng.normal(0, 0.1, 10).astype(np.float32)
        return self.node("Gemm", [flat, self.constant(weight), self.constant(bias)], transB=1)

    def clip(self, x: str) -> str:
        return self.node("Clip", [x, self.constant(np.float32(0)), self.constant(np.float32(6))])

    def save(self, path: Path, output: str) -> Path:
        tensor = helper.make_tensor_value_info
        graph = helper.make_graph(
            self.nodes,
            "net",
            [tensor("x", onnx.TensorProto.FLOAT, [1, 3, SIZE, SIZE])],
            [tensor(output, onnx.TensorProto.FLOAT, [1, 10])],
            self.values,
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        return path


def resnet8(path: Path) -> Path:
    """Three blocks of 16, 32 and 64 channels, as MLPerf Tiny's."""
    net = Float()
    x = net.node("Relu", [net.conv("x", 16, 3)])
    for c, k in ((16, 16), (16, 32), (32, 64)):
        stride = 1 if c == k else 2
        y = net.conv(net.node("Relu", [net.conv(x, k, c, stride=stride)]), k, k)
        beside = x if c == k else net.conv(x, k, c, 1, stride)
        x = net.node("Relu", [net.node("Add", [y, beside])])
    return net.save(path, net.linear(x, 64))


def mobilenet(path: Path) -> Path:
    """Inverted residuals: depth-wise convolutions and clips at 6."""
    net = Float()
    x = net.clip(net.conv("x", 16, 3, stride=2))
    for stride in (1, 2, 1):
        y = net.clip(net.conv(x, 64, 16, 1))
        y = net.conv(net.clip(net.conv(y, 64, 1, 3, stride, groups=64)), 16, 64, 1)
        x = net.node("Add", [x, y]) if stride == 1 else y
    return net.save(path, net.linear(net.clip(net.conv(x, 32, 16, 1)), 32))


def _images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, 3, SIZE, SIZE)).astype(np.float32)


def _quantized(model: Path, options: dict[str, Any]) -> Path:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images: Iterator[np.ndarray] = iter(_images(8, 1))

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.images, None)
            return None if image is None else {"x": image[None]}

    path = model.with_name("quantized.onnx")
    kinds = {name: getattr(quantization.QuantType, kind) for name, kind in options["types"].items()}
    form = getattr(quantization.QuantFormat, options["format"])
    quantization.quantize_static(
        model, path, Reader(), quant_format=form, per_channel=options["per_channel"], **kinds
    )
    return path


def _session(path: Path, outputs: list[str]) -> Any:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    model = onnx.load(path)
    given = {value.name for value in model.graph.output}
    model.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in outputs if name not in given
    )
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


VARIANTS = [
    {"format": form, "per_channel": channels, "types": {"activation_type": kind, "weight_type": "QInt8"}}
    for form, channels, kind in (
        ("QDQ", False, "QUInt8"),
        ("QDQ", True, "QInt8"),
        ("QOperator", True, "QUInt8"),
    )
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", VARIANTS, ids=lambda o: f"{o['format']}-{o['types']['activation_type']}")
@pytest.mark.parametrize("network", [resnet8, mobilenet])
def test_integers_are_those_of_onnxruntime(network: Any, options: dict[str, Any], tmp_path: Path) -> None:
    path = _quantized(network(tmp_path / "net.onnx"), options)
    apart, logits = _compared(path)
    assert apart["values"] <= 2e-4 * apart["of"]
    assert np.abs(logits).max() < 1.01
    moved = tmp_path / "aligned.onnx"
    assert onnx_source.align(path, moved) >= 17
    apart, logits = _compared(moved)
    assert apart["values"] <= 2e-5 * apart["of"]
    assert np.abs(logits).max() < 0.01


def _compared(path: Path) -> tuple[dict[str, int], np.ndarray]:
    """What `_layer_by_layer` finds, and the difference of the logits in steps."""
    graph = onnx_source.read(path)
    assert graph is not None
    found = lower(graph)
    session = _session(path, list(found.tensors))
    names = [value.name for value in session.get_outputs()]
    images = _images(IMAGES, 7)
    results = [dict(zip(names, session.run(None, {"x": image[None]}), strict=True)) for image in images]
    theirs = {
        inside: np.concatenate([_stored(result[outside]) for result in results])
        for outside, inside in found.tensors.items()
    }
    q = found.network.metadata["output"]
    assert isinstance(q, dict)
    logits = np.concatenate([result[graph.outputs[0]] for result in results])
    ours = run(found.network, found.network.input.quantize(images))[found.network.layers[-1].name]
    steps = (ours.reshape(IMAGES, -1).astype(np.float32) - q["zero_point"]) - logits / np.float32(q["scale"])
    return _layer_by_layer(found, theirs), steps


def _stored(values: np.ndarray) -> np.ndarray:
    return (values.astype(np.int64) - (128 if values.dtype == np.uint8 else 0)).astype(np.int8)


def _layer_by_layer(found: Lowered, theirs: dict[str, np.ndarray]) -> dict[str, int]:
    """Each layer on the integers of ONNX Runtime: how many values are a step beside; never more than one."""
    net, counted = found.network, {one.layer: one for one in found.comparisons}
    tensors = {
        name: values.reshape(-1, *net.maps[name]) for name, values in theirs.items() if name in net.maps
    }
    total = {"values": 0, "of": 0}
    for layer in net.layers:
        mine = run_layer(net, layer, tensors)
        given = tensors.setdefault(layer.name, mine)
        apart = np.abs(mine.astype(int) - given)
        assert apart.max() <= 1, layer.name
        if counted[layer.name].apart == 0:
            assert not apart.any(), layer.name
        total["values"] += int((apart > 0).sum())
        total["of"] += apart.size
    return total
