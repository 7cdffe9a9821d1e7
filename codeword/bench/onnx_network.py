"""A network of integers as ONNX, in float or quantized by ONNX Runtime: what its users would deploy."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from sim.errors import InputError
from sim.network import Add, AveragePool, Conv, Network, Pool

OPSET = 17


def onnx_network(network: Network, images: int | str = "n") -> ModelProto:
    """float32 [n, C, H, W] -> logits: the operators of `float_network`, with the same scales dropped.

    Args:
        images: n, or a name where it may be any.

    Raises:
        InputError: a layer of another kind than a ResNet's.
    """
    nodes: list[NodeProto] = []
    tensors: list[TensorProto] = []
    for layer in network.layers:
        made, constants = _nodes(layer)
        nodes += made
        tensors += constants
    shape: list[str | int | None] = [images, *network.input.shape]
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info(network.layers[-1].name, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, network.name, [source], [result], tensors)
    made_model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made_model)


def _nodes(layer: Any) -> tuple[list[NodeProto], list[TensorProto]]:
    """Operators of a layer, and their constants."""
    name, sources = layer.name, list(layer.inputs)
    if isinstance(layer, Conv):
        values = {
            f"{name}.weight": layer.weight.decode().astype(np.float32) / 1024,
            f"{name}.bias": layer.bias.astype(np.float32) / 2**20,
        }
        window = {
            "kernel_shape": layer.weight.shape[2:],
            "strides": layer.stride,
            "pads": (*layer.padding, *layer.padding),
            "dilations": layer.dilation,
            "group": layer.groups,
        }
        constants = [numpy_helper.from_array(value, what) for what, value in values.items()]
        rectified = layer.requantization is not None and layer.requantization.low == 0
        return _rectified("Conv", [*sources, *values], name, rectified, window), constants
    if isinstance(layer, Add):
        return _rectified("Add", sources, name, True, {}), []
    if isinstance(layer, Pool) and layer.mode == "max":
        window = {
            "kernel_shape": layer.kernel,
            "strides": layer.stride,
            "pads": (*layer.padding, *layer.padding),
        }
        return _rectified("MaxPool", sources, name, False, window), []
    if isinstance(layer, AveragePool):
        return _rectified("GlobalAveragePool", sources, name, False, {}), []
    raise InputError("layer", getattr(layer, "name", ""), "no float form here", "give a ResNet")


def _rectified(
    kind: str, sources: list[str], name: str, rectified: bool, window: Mapping[str, Any]
) -> list[NodeProto]:
    """An operator, and a ReLU behind it where there is one."""
    if not rectified:
        return [helper.make_node(kind, sources, [name], name, **window)]
    first = helper.make_node(kind, sources, [f"{name}.sum"], name, **window)
    return [first, helper.make_node("Relu", [f"{name}.sum"], [name], f"{name}.relu")]


def session(network: Network, threads: int, *, integers: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Inference by ONNX Runtime, float32 [n, C, H, W] -> logits; in INT8 quantized on random images."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.onnx"
        path.write_bytes(onnx_network(network).SerializeToString())
        if integers:
            path = _quantized(path, tuple(network.input.shape))
        made = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(images: np.ndarray) -> np.ndarray:
        found: np.ndarray = made.run(None, {"input": images})[0]
        return found

    return run


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Random images, one at a time."""

    def __init__(self, shape: tuple[int, ...], count: int = 4) -> None:
        rng = np.random.default_rng(0)
        self._left: Iterator[np.ndarray] = iter([rng.random((1, *shape), np.float32) for _ in range(count)])

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._left, None)
        return None if image is None else {"input": image}


def _quantized(path: Path, shape: tuple[int, ...]) -> Path:
    """INT8 weights a channel, UINT8 activations: what its kernels for AVX2 and AVX-512 VNNI want."""
    prepared, made = path.with_name("prepared.onnx"), path.with_name("int8.onnx")
    logging.disable(logging.WARNING)
    try:
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            made,
            _Samples(shape),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.disable(logging.NOTSET)
    return made
