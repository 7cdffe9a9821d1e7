"""What each ONNX operator is to the hardware."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, prod

from sim.errors import InputError
from sim.importers.onnx_graph import Node
from sim.importers.steps import Form, Step, Tensor, arithmetic, convolution, pointwise, product, view, work

SAME = (
    "Identity",
    "Dropout",
    "Cast",
    "CastLike",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
)
"""Operators whose first result is their first input: the number format is the accelerator's own."""

HIDDEN = {
    "ConvTranspose": "export it as Resize and Conv",
    "DeformConv": "replace it by a Conv",
    "Einsum": "write it as MatMul and Transpose",
    "LSTM": "unroll it into MatMul and element-wise operators",
    "GRU": "unroll it into MatMul and element-wise operators",
    "RNN": "unroll it into MatMul and element-wise operators",
    "Attention": "export with an opset below 23, which spells it as MatMul and Softmax",
    "If": "simplify the network with onnxsim, which decides constant conditions",
    "Loop": "export the network unrolled",
    "Scan": "export the network unrolled",
}
"""Operators with products inside: what to do instead."""

_CLAMPS = ("Relu", "Clip")
_TABLES = (
    "Abs",
    "Ceil",
    "Celu",
    "Cos",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "Reciprocal",
    "Round",
    "Selu",
    "Sigmoid",
    "Sign",
    "Sin",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tanh",
    "ThresholdedRelu",
)
_VIEWS = (
    "Reshape",
    "Transpose",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Slice",
    "Split",
    "Expand",
    "Tile",
    "Gather",
    "DepthToSpace",
    "SpaceToDepth",
)
_ARITHMETIC = {
    "Add": "add",
    "Sum": "add",
    "Sub": "subtract",
    "Mul": "multiply",
    "Div": "divide",
    "Max": "compare",
    "Min": "compare",
}
_REDUCTIONS = (
    "GlobalAveragePool",
    "GlobalMaxPool",
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceL1",
    "ReduceL2",
    "ReduceSumSquare",
)
_NORMALIZATIONS = {
    "Softmax": "softmax",
    "LogSoftmax": "softmax",
    "LayerNormalization": "layernorm",
    "InstanceNormalization": "layernorm",
    "GroupNormalization": "layernorm",
    "RMSNormalization": "rmsnorm",
    "SimplifiedLayerNormalization": "rmsnorm",
    "RotaryEmbedding": "rotate",
}
_UPSAMPLING = {"nearest": 1, "linear": 4, "cubic": 16}  # elements a result is made of


def _convolution(node: Node) -> list[Step]:
    source, weight = node.input(0), node.input(3 if node.operator == "QLinearConv" else 1)
    if not weight.constant:
        raise InputError(
            f"node {node.name}",
            weight.name,
            "the weights are computed by the network",
            "make them an initializer",
        )
    axes = len(weight.extent) - 2
    get = node.attributes.get
    stride, dilation = get("strides", [1] * axes), get("dilations", [1] * axes)
    pads = get("pads", [0] * 2 * axes)
    begin, end = pads[:axes], pads[axes:]
    automatic = get("auto_pad", b"NOTSET").decode()
    if automatic.startswith("SAME"):
        reach = [(k - 1) * d + 1 for k, d in zip(weight.extent[2:], dilation, strict=True)]
        total = [
            max(0, (ceil(n / s) - 1) * s + r - n)
            for n, s, r in zip(source.extent[2:], stride, reach, strict=True)
        ]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        begin, end = (less, more) if automatic == "SAME_UPPER" else (more, less)
    return [
        convolution(
            node.name,
            source,
            weight.extent,
            node.outputs[0],
            stride=stride,
            dilation=dilation,
            begin=begin,
            end=end,
            groups=get("group", 1),
        )
    ]


def _product(node: Node) -> list[Step]:
    left, right = node.input(0), node.input(3 if node.operator == "QLinearMatMul" else 1)
    a, b = left.extent, right.extent
    return [
        product(
            node.name,
            Tensor(left.name, (1,) * (2 - len(a)) + a, left.constant),
            Tensor(right.name, (*b, 1) if len(b) == 1 else b, right.constant),
            node.outputs[0],
        )
    ]


def _gemm(node: Node) -> list[Step]:
    def turned(tensor: Tensor, attribute: str) -> Tensor:
        extent = tensor.extent[::-1] if node.attributes.get(attribute) else tensor.extent
        return Tensor(tensor.name, extent, tensor.constant)

    left, right, out = turned(node.input(0), "transA"), turned(node.input(1), "transB"), node.outputs[0]
    added = node.inputs[2] if len(node.inputs) > 2 else None
    if added is None or added.constant:
        return [product(node.name, left, right, out)]
    inner = Tensor(f"{out.name}/product", out.extent)
    return [product(node.name, left, right, inner), arithmetic(f"{node.name}.add", "add", inner, added, out)]


def _arithmetic(node: Node) -> list[Step]:
    """Two operands at a time."""
    out, operation = node.outputs[0], _ARITHMETIC[node.operator]
    left, *rest = [tensor for tensor in node.inputs if tensor is not None]
    if not rest:
        return [view(node.name, left, out)]
    steps = []
    for number, right in enumerate(rest, 1):
        result = (
            out
            if number == len(rest)
            else Tensor(f"{out.name}/{number}", out.extent, left.constant and right.constant)
        )
        if not result.constant:
            steps.append(arithmetic(node.name, operation, left, right, result))
        left = result
    return steps


def _power(node: Node) -> list[Step]:
    if not node.input(1).constant:
        raise InputError(
            f"node {node.name}",
            node.operator,
            "the exponent is computed by the network",
            "make it an initializer",
        )
    return [pointwise(node.name, Form.TABLE, node.input(0), node.outputs[0])]


def _clamp(node: Node) -> list[Step]:
    return [pointwise(node.name, Form.CLAMP, node.input(0), node.outputs[0])]


def _negation(node: Node) -> list[Step]:
    return [pointwise(node.name, Form.SCALE, node.input(0), node.outputs[0])]


def _table(node: Node) -> list[Step]:
    return [pointwise(node.name, Form.TABLE, node.input(0), node.outputs[0])]


def _slopes(node: Node) -> list[Step]:
    """PRelu: a table where all channels share it, else a product an element."""
    if node.input(1).elements == 1:
        return _table(node)
    return [work(node.name, "multiply", [node.input(0)], node.outputs[0])]


def _affine(node: Node) -> list[Step]:
    return [pointwise(node.name, Form.AFFINE, node.input(0), node.outputs[0])]


def _views(node: Node) -> list[Step]:
    return [view(node.name, node.input(0), out) for out in node.outputs]


def _window(node: Node) -> list[Step]:
    out = node.outputs[0]
    elements = out.elements * prod(node.attributes["kernel_shape"])
    return [work(node.name, "pool", [node.input(0)], out, elements)]


def _reduction(node: Node) -> list[Step]:
    source = node.input(0)
    return [work(node.name, "pool", [source], node.outputs[0], source.elements)]


def _concat(node: Node) -> list[Step]:
    return [work(node.name, "concat", node.active, node.outputs[0])]


def _upsample(node: Node) -> list[Step]:
    out, mode = node.outputs[0], node.attributes.get("mode", b"nearest").decode()
    return [work(node.name, "upsample", [node.input(0)], out, out.elements * _UPSAMPLING[mode])]


def _normalization(node: Node) -> list[Step]:
    return [work(node.name, _NORMALIZATIONS[node.operator], [node.input(0)], node.outputs[0])]


OPERATORS: dict[str, Callable[[Node], list[Step]]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), _convolution),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _product),
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    **dict.fromkeys(_CLAMPS, _clamp),
    **dict.fromkeys(_TABLES, _table),
    **dict.fromkeys(_VIEWS, _views),
    **dict.fromkeys(("MaxPool", "AveragePool", "LpPool"), _window),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    **dict.fromkeys(("Concat", "Pad"), _concat),  # padding is copying next to constants
    **dict.fromkeys(("Resize", "Upsample"), _upsample),
    **dict.fromkeys(_NORMALIZATIONS, _normalization),
    "Gemm": _gemm,
    "Neg": _negation,
    "Pow": _power,
    "PRelu": _slopes,
    "BatchNormalization": _affine,
}
"""Steps of a node, by operator."""
