"""Operators of other producers, spelled in ONNX's own, so that ONNX infers their shapes.

Sources: ContribOperators.md of ONNX Runtime (com.microsoft) and the operator pages of qonnx, which are
FINN's and Brevitas's, too. Quantizers are number formats, which are the accelerator's own: they become
Identity. What stays as it is has no shape or no meaning here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from sim.errors import InputError
from sim.importers.onnx_foreign_attention import ATTENTIONS
from sim.importers.onnx_load import PRODUCERS, Loaded
from sim.importers.onnx_spelling import Spelling

_WINDOW = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
"""Attributes of a convolution."""

_END = 2**63 - 1
"""As far as a map goes, to Slice."""

_PICKED: dict[str, tuple[str, tuple[int, ...]]] = {
    "BiasAdd": ("Sum", (0, 1, 2)),
    "BipolarQuant": ("Identity", (0,)),
    "DequantizeLinear": ("Identity", (0,)),
    "FloatQuant": ("Identity", (0,)),
    "GroupNorm": ("GroupNormalization", (0, 1, 2)),
    "IntQuant": ("Identity", (0,)),
    "MultiThreshold": ("Relu", (0,)),  # requantization by comparing: a clamp
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearConv": ("QLinearConv", tuple(range(9))),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearLeakyRelu": ("LeakyRelu", (0,)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearReduceMean": ("ReduceMean", (0,)),
    "QLinearSigmoid": ("Sigmoid", (0,)),
    "QLinearSoftmax": ("Softmax", (0,)),
    "QLinearWhere": ("Where", (0, 1, 4)),
    "Quant": ("Identity", (0,)),
    "QuantizeLinear": ("Identity", (0,)),
    "QuickGelu": ("Gelu", (0,)),
    "Gelu": ("Gelu", (0,)),
    "RotaryEmbedding": ("RotaryEmbedding", (0,)),
    "SimplifiedLayerNormalization": ("SimplifiedLayerNormalization", (0, 1)),
    "Trunc": ("Identity", (0,)),
    "XnorPopcountMatMul": ("MatMul", (0, 1)),
}
"""Operators that are one of ONNX's own on some of their inputs."""


def _activation(spelling: Spelling, tensor: str) -> None:
    spelling.end(tensor, str(spelling.attributes.get("activation", b"Identity"), "utf-8") or "Identity")


def _fused_convolution(spelling: Spelling) -> None:
    attributes = {name: value for name, value in spelling.attributes.items() if name in _WINDOW}
    tensor = spelling.say("Conv", [spelling.input(i) for i in range(3)], **attributes)
    if spelling.input(3):
        tensor = spelling.say("Add", [tensor, spelling.input(3)])
    _activation(spelling, tensor)


def _cropped_convolution(spelling: Spelling) -> None:
    """Negative padding, which ONNX no longer allows, takes rows and columns away."""
    pads = list(spelling.attributes.pop("pads"))
    axes = len(pads) // 2
    begin, end = ([min(0, n) for n in side] for side in (pads[:axes], pads[axes:]))
    limits = [-n for n in begin], [n or _END for n in end], list(range(2, 2 + axes))
    source = spelling.say("Slice", [spelling.input(0), *map(spelling.numbers, limits)])
    inputs, pads = [source, *spelling.node.input[1:]], [max(0, n) for n in pads]
    spelling.say("Conv", inputs, spelling.out, pads=pads, **spelling.attributes)
    spelling.nodes[-1].name = spelling.name


def _short_transform(spelling: Spelling) -> None:
    """STFT of a real signal [batch, samples] or [batch, samples, 1]: a convolution with the waves in the window.

    Its kernels are as long as the frame, its stride is the frame's step; cosines and sines are two rows a frequency.
    """
    step, length = spelling.value(1), spelling.value(3)
    window = spelling.loaded.weights.get(spelling.input(2)) or spelling.extent(spelling.input(2))
    frame = window[0] if window else length
    if step is None or frame is None:
        raise spelling.refusal(
            "the step and the length of its frames are no constants", "make them constants"
        )
    if (spelling.extent(spelling.input(0)) or [1])[2:] == [2]:
        raise spelling.refusal("its signal is complex", "give its parts to two transforms")
    bins = frame // 2 + 1 if spelling.attributes.get("onesided", 1) else frame
    line = spelling.say("Reshape", [spelling.input(0), spelling.numbers([0, 1, -1])])
    waves = spelling.say("Conv", [line, spelling.weight([2 * bins, 1, frame])], strides=[step])
    spelling.nodes[-1].name = spelling.name
    frames = spelling.say("Transpose", [waves], perm=[0, 2, 1])
    spelling.say("Reshape", [frames, spelling.numbers([0, 0, bins, 2])], spelling.out)


def _channels_last_convolution(spelling: Spelling) -> None:
    """NhwcConv and NhwcFusedConv: maps [N, H, W, C] and weights [K, kh, kw, C]."""
    source, weight = (spelling.say("Transpose", [spelling.input(i)], perm=[0, 3, 1, 2]) for i in range(2))
    attributes = {name: value for name, value in spelling.attributes.items() if name in _WINDOW}
    tensor = spelling.say("Conv", [source, weight, spelling.input(2)], **attributes)
    spelling.nodes[-1].name = spelling.name
    tensor = spelling.say("Transpose", [tensor], perm=[0, 2, 3, 1])
    if spelling.input(3):
        tensor = spelling.say("Add", [tensor, spelling.input(3)])
    _activation(spelling, tensor)


def _fused_product(spelling: Spelling) -> None:
    get = spelling.attributes.get
    if get("transBatchA") or get("transBatchB"):
        raise spelling.refusal("transposes its batch", "export without the fusion of transposes")
    left, right = spelling.input(0), spelling.input(1)
    if get("transA"):
        left = spelling.turned(left)
    if get("transB"):
        right = spelling.turned(right)
    product = spelling.say("MatMul", [left, right])
    spelling.nodes[-1].name = spelling.name
    _activation(spelling, product)  # alpha is a factor of the whole, which requantization contains


def _fused_gemm(spelling: Spelling) -> None:
    turns = {name: spelling.attributes.get(name, 0) for name in ("transA", "transB")}
    tensor = spelling.say("Gemm", [spelling.input(i) for i in range(3)], **turns)
    _activation(spelling, tensor)


def _quantized_gemm(spelling: Spelling) -> None:
    turns = {name: spelling.attributes.get(name, 0) for name in ("transA", "transB")}
    tensor = spelling.say("Gemm", [spelling.input(i) for i in (0, 3, 6)], **turns)
    _typed(spelling, tensor, quantized=bool(spelling.input(7)))


def _typed(spelling: Spelling, tensor: str, *, quantized: bool) -> None:
    """A float result of integers needs its type, a quantized one has its input's."""
    if quantized:
        spelling.end(tensor)
    else:
        spelling.end(tensor, "Cast", to=onnx.TensorProto.FLOAT)


def _small_bits(spelling: Spelling) -> None:
    """MatMulNBits and its like: weights [N, blocks, bytes] stand for [K, N]."""
    extent = [spelling.attributes[name] for name in ("K", "N")]
    tensor = spelling.say("MatMul", [spelling.input(0), spelling.weight(extent)])
    _plus(spelling, tensor, spelling.input(5))


def _plus(spelling: Spelling, tensor: str, bias: str) -> None:
    if bias:
        tensor = spelling.say("Add", [tensor, bias])
    spelling.end(tensor)


def _dynamic_product(spelling: Spelling) -> None:
    tensor = spelling.say("MatMul", [spelling.input(0), spelling.input(1)])
    _plus(spelling, tensor, spelling.input(4))


def _dynamic_recurrence(spelling: Spelling) -> None:
    """DynamicQuantizeLSTM: an LSTM whose weights [directions, inputs, gates * hidden] lie the other way round."""
    weights = []
    for position in (1, 2):
        directions, rows, columns = spelling.loaded.weights[spelling.input(position)]
        weights.append(spelling.weight([directions, columns, rows], f"weight{position}"))
    others = [spelling.input(position) for position in range(3, 8)]
    spelling.say("LSTM", [spelling.input(0), *weights, *others], **spelling.attributes)
    spelling.nodes[-1].output[:] = spelling.node.output


def _integer_product(spelling: Spelling) -> None:
    tensor = spelling.say("MatMul", [spelling.input(0), spelling.input(1)])
    tensor = spelling.say("Cast", [tensor], to=onnx.TensorProto.FLOAT)
    _plus(spelling, tensor, spelling.input(6))


def _bias_gelu(spelling: Spelling) -> None:
    tensor = spelling.input(0)
    if spelling.input(1):
        tensor = spelling.say("Add", [tensor, spelling.input(1)])
    spelling.end(tensor, "Gelu")


def _bias_softmax(spelling: Spelling) -> None:
    spelling.end(spelling.say("Add", [spelling.input(0), spelling.input(1)]), "Softmax")


def _skip_normalization(spelling: Spelling) -> None:
    """LayerNormalization(input + bias + skip); the sum is the fourth output."""
    rms = "Simplified" in spelling.node.op_type
    tensors = [spelling.input(i) for i in (0, 3 if rms else 4, 1)]
    total = spelling.node.output[3] if len(spelling.node.output) > 3 else ""
    total = spelling.say("Sum", [tensor for tensor in tensors if tensor], total)
    spelling.nodes[-1].name = f"{spelling.name}.add"
    operator = "SimplifiedLayerNormalization" if rms else "LayerNormalization"
    spelling.say(operator, [total, spelling.input(2)], spelling.out)
    spelling.nodes[-1].name = spelling.name


def _packed_rows(spelling: Spelling) -> None:
    """GatherBlockQuantized: rows of a table, in which a byte may hold several numbers."""
    graph, name = spelling.loaded.model.graph, spelling.input(0)
    extent = list(spelling.loaded.weights[name])
    kinds = {v.name: v.type.tensor_type.elem_type for v in graph.input}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    if kinds[name] == onnx.TensorProto.UINT8:
        extent[-1] *= 8 // spelling.attributes.get("bits", 4)
    axis = spelling.attributes.get("gather_axis", 0)
    spelling.say("Gather", [spelling.weight(extent), spelling.input(1)], spelling.out, axis=axis)


def _embedding(spelling: Spelling) -> None:
    """EmbedLayerNormalization: the sum of a word's, its position's and its segment's vector."""
    tables = [(2, 0), (3, 0), *([(4, 1)] if spelling.input(4) else [])]
    rows = [spelling.say("Gather", [spelling.input(t), spelling.input(i)]) for t, i in tables]
    total = spelling.say("Sum", rows)
    spelling.say("LayerNormalization", [total, spelling.input(5), spelling.input(6)], spelling.out)


def _quantized_average(spelling: Spelling) -> None:
    """QuantAvgPool2d of qonnx."""
    if spelling.attributes.get("data_layout", b"NCHW") != b"NCHW":
        raise spelling.refusal("keeps channels last", "export with channels first")
    kernel, stride = ([spelling.attributes[name]] * 2 for name in ("kernel", "stride"))
    spelling.say("AveragePool", [spelling.input(0)], spelling.out, kernel_shape=kernel, strides=stride)


def _quantized_concat(spelling: Spelling) -> None:
    axis = spelling.attributes["axis"]
    spelling.say("Concat", list(spelling.node.input[2::3]), spelling.out, axis=axis)


def _picked(spelling: Spelling) -> None:
    operator, positions = _PICKED[spelling.node.op_type]
    inputs = [spelling.input(position) for position in positions]
    attributes = dict(spelling.attributes) if operator != "Identity" else {}
    if attributes.pop("channels_last", 0) and operator != "GroupNormalization":
        raise spelling.refusal("keeps channels last", "export with channels first")
    attributes.pop("opset", None)
    spelling.say(operator, inputs, spelling.out, **attributes)


_RULES: Mapping[str, Callable[[Spelling], None]] = {
    **dict.fromkeys(_PICKED, _picked),
    "FusedConv": _fused_convolution,
    "FusedGemm": _fused_gemm,
    **dict.fromkeys(("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation"), _fused_product),
    **dict.fromkeys(("NhwcConv", "NhwcFusedConv"), _channels_last_convolution),
    "QGemm": _quantized_gemm,
    "GatherBlockQuantized": _packed_rows,
    "EmbedLayerNormalization": _embedding,
    "QuantAvgPool2d": _quantized_average,
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4", "MatMulFpQ4"), _small_bits),
    "DynamicQuantizeMatMul": _dynamic_product,
    "DynamicQuantizeLSTM": _dynamic_recurrence,
    "MatMulIntegerToFloat": _integer_product,
    **ATTENTIONS,
    **dict.fromkeys(("BiasGelu", "FastGelu"), _bias_gelu),
    "BiasSoftmax": _bias_softmax,
    **dict.fromkeys(("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"), _skip_normalization),
    "QLinearConcat": _quantized_concat,
}


def respell(loaded: Loaded) -> list[InputError]:
    """Spells the operators of known producers in ONNX's own, in place; what cannot be, stays.

    Returns:
        Why single nodes stay.
    """
    graph, errors = loaded.model.graph, []
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        rule = _rule(node)
        if rule is None:
            nodes.append(node)
            continue
        spelling = Spelling(node, loaded)
        try:
            rule(spelling)
        except InputError as error:
            errors.append(error)
            nodes.append(node)
        except (KeyError, ValueError, IndexError, TypeError, ZeroDivisionError) as error:
            problem = f"its attributes or inputs do not fit: {error}"
            errors.append(spelling.refusal(problem, "export the network again"))
            nodes.append(node)
        else:
            nodes += spelling.nodes
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return errors


def _rule(node: onnx.NodeProto) -> Callable[[Spelling], None] | None:
    if node.op_type == "Conv" and any(
        a.name == "pads" and min(a.ints, default=0) < 0 for a in node.attribute
    ):
        return _cropped_convolution
    if node.op_type == "STFT" and not node.domain:
        return _short_transform
    if node.op_type.lower().replace("_", "").startswith("fakequant"):  # of any producer
        return lambda spelling: spelling.end(spelling.input(0))
    return _RULES.get(node.op_type) if node.domain.startswith(PRODUCERS) else None
