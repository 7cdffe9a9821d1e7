"""Operators of other producers, spelled in ONNX's own, so that ONNX infers their shapes.

Sources: ContribOperators.md of ONNX Runtime (com.microsoft) and the operator pages of qonnx, which are
FINN's and Brevitas's, too. Quantizers are number formats, which are the accelerator's own: they become
Identity. What stays as it is has no shape or no meaning here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx
from onnx import helper

from sim.errors import InputError
from sim.importers.onnx_load import PRODUCERS, Loaded

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


class _Spelling:
    """One node in other words.

    Attributes:
        nodes: the words so far.
    """

    def __init__(self, node: onnx.NodeProto, loaded: Loaded) -> None:
        self.node, self.loaded = node, loaded
        self.nodes: list[onnx.NodeProto] = []
        self.attributes: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.name = node.name or node.output[0]
        self.out = node.output[0]

    def input(self, position: int) -> str:
        """Name of an input, "" where it is left out."""
        return self.node.input[position] if position < len(self.node.input) else ""

    def say(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """A node; the first is named like the original. Gives its result."""
        number = len(self.nodes)
        name = self.name if not number else f"{self.name}.{operator.lower()}"
        output = output or f"{self.out}/{number}"
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(helper.make_node(operator, inputs, [output], name=name, **attributes))
        return output

    def weight(self, extent: list[int]) -> str:
        """A parameter of which only the shape is known."""
        name = f"{self.out}/weight"
        value = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, extent)
        self.loaded.model.graph.input.append(value)
        self.loaded.weights[name] = extent
        return name

    def numbers(self, values: list[int]) -> str:
        """A constant, such as the shape that Reshape reads."""
        name = f"{self.out}/{len(self.nodes)}/numbers"
        self.loaded.model.graph.initializer.append(
            helper.make_tensor(name, onnx.TensorProto.INT64, [len(values)], values)
        )
        return name

    def end(self, tensor: str, then: str = "Identity", **attributes: Any) -> None:
        """The last word, which gives the original's first output."""
        self.say(then, [tensor], self.out, **attributes)


def _activation(spelling: _Spelling, tensor: str) -> None:
    spelling.end(tensor, str(spelling.attributes.get("activation", b"Identity"), "utf-8") or "Identity")


def _fused_convolution(spelling: _Spelling) -> None:
    own = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    attributes = {name: value for name, value in spelling.attributes.items() if name in own}
    tensor = spelling.say("Conv", [spelling.input(i) for i in range(3)], **attributes)
    if spelling.input(3):
        tensor = spelling.say("Add", [tensor, spelling.input(3)])
    _activation(spelling, tensor)


def _fused_product(spelling: _Spelling) -> None:
    get = spelling.attributes.get
    if get("transBatchA") or get("transBatchB"):
        raise _refusal(spelling, "transposes its batch", "export without the fusion of transposes")
    left, right = spelling.input(0), spelling.input(1)
    words = _Words(spelling)
    if get("transA"):
        left = words.turned(left)
    if get("transB"):
        right = words.turned(right)
    product = spelling.say("MatMul", [left, right])
    spelling.nodes[-1].name = spelling.name
    _activation(spelling, product)  # alpha is a factor of the whole, which requantization contains


class _Words:
    """Phrases of several spellings."""

    def __init__(self, spelling: _Spelling) -> None:
        self.say, self.numbers = spelling.say, spelling.numbers

    def turned(self, tensor: str) -> str:
        """The last two axes exchanged, whatever the rank."""
        return self.say("Einsum", [tensor], equation="...ij->...ji")

    def heads(self, tensor: str, heads: int) -> str:
        """[B, tokens, heads * size] -> [B, heads, tokens, size]."""
        parts = self.say("Reshape", [tensor, self.numbers([0, 0, heads, -1])])
        return self.say("Transpose", [parts], perm=[0, 2, 1, 3])

    def attention(self, query: str, key: str, value: str, heads: int, mask: str) -> str:
        """softmax(query key^T + mask) value of [B, tokens, heads * size] each."""
        query, key, value = (self.heads(tensor, heads) for tensor in (query, key, value))
        scores = self.say("MatMul", [query, self.say("Transpose", [key], perm=[0, 1, 3, 2])])
        if mask:
            scores = self.say("Add", [scores, mask])
        mixed = self.say("MatMul", [self.say("Softmax", [scores], axis=-1), value])
        mixed = self.say("Transpose", [mixed], perm=[0, 2, 1, 3])
        return self.say("Reshape", [mixed, self.numbers([0, 0, -1])])


def _fused_gemm(spelling: _Spelling) -> None:
    turns = {name: spelling.attributes.get(name, 0) for name in ("transA", "transB")}
    tensor = spelling.say("Gemm", [spelling.input(i) for i in range(3)], **turns)
    _activation(spelling, tensor)


def _quantized_gemm(spelling: _Spelling) -> None:
    turns = {name: spelling.attributes.get(name, 0) for name in ("transA", "transB")}
    tensor = spelling.say("Gemm", [spelling.input(i) for i in (0, 3, 6)], **turns)
    _typed(spelling, tensor, quantized=bool(spelling.input(7)))


def _typed(spelling: _Spelling, tensor: str, *, quantized: bool) -> None:
    """A float result of integers needs its type, a quantized one has its input's."""
    if quantized:
        spelling.end(tensor)
    else:
        spelling.end(tensor, "Cast", to=onnx.TensorProto.FLOAT)


def _small_bits(spelling: _Spelling) -> None:
    """MatMulNBits and its like: weights [N, blocks, bytes] stand for [K, N]."""
    extent = [spelling.attributes[name] for name in ("K", "N")]
    tensor = spelling.say("MatMul", [spelling.input(0), spelling.weight(extent)])
    _plus(spelling, tensor, spelling.input(5))


def _plus(spelling: _Spelling, tensor: str, bias: str) -> None:
    if bias:
        tensor = spelling.say("Add", [tensor, bias])
    spelling.end(tensor)


def _dynamic_product(spelling: _Spelling) -> None:
    tensor = spelling.say("MatMul", [spelling.input(0), spelling.input(1)])
    _plus(spelling, tensor, spelling.input(4))


def _integer_product(spelling: _Spelling) -> None:
    tensor = spelling.say("MatMul", [spelling.input(0), spelling.input(1)])
    tensor = spelling.say("Cast", [tensor], to=onnx.TensorProto.FLOAT)
    _plus(spelling, tensor, spelling.input(6))


def _attention(spelling: _Spelling) -> None:
    """Attention and QAttention: one input, projected by one weight [H, 3 * size]."""
    quantized = spelling.node.op_type == "QAttention"
    _no_cache(spelling, (8,) if quantized else (4,))
    if "qkv_hidden_sizes" in spelling.attributes:
        raise _refusal(spelling, "has sizes of its own for keys and values", "export without this fusion")
    bias, mask = (spelling.input(4), "") if quantized else (spelling.input(2), spelling.input(5))
    tensor = spelling.say("MatMul", [spelling.input(0), spelling.input(1)])
    if quantized:
        tensor = spelling.say("Cast", [tensor], to=onnx.TensorProto.FLOAT)
    if bias:
        tensor = spelling.say("Add", [tensor, bias])
    parts = [f"{spelling.out}/{letter}" for letter in "qkv"]
    words = _Words(spelling)
    packed = words.say("Reshape", [tensor, words.numbers([0, 0, 3, -1])])
    for number, part in enumerate(parts):
        spelling.say("Gather", [packed, _scalar(spelling, number)], part, axis=2)
    query, key, value = parts
    spelling.end(words.attention(query, key, value, spelling.attributes["num_heads"], mask))


def _scalar(spelling: _Spelling, number: int) -> str:
    name = f"{spelling.out}/{number}/scalar"
    tensor = helper.make_tensor(name, onnx.TensorProto.INT64, [], [number])
    spelling.loaded.model.graph.initializer.append(tensor)
    return name


def _heads_attention(spelling: _Spelling) -> None:
    """MultiHeadAttention of three sequences [B, tokens, heads * size]."""
    query, key, value = (spelling.input(i) for i in range(3))
    _no_cache(spelling, (3, 6, 7))
    if not key or not value:
        raise _refusal(spelling, "packs queries, keys and values", "export without this fusion")
    words = _Words(spelling)
    heads = spelling.attributes["num_heads"]
    spelling.end(words.attention(query, key, value, heads, spelling.input(5)))


def _no_cache(spelling: _Spelling, positions: tuple[int, ...]) -> None:
    for position in positions:
        if spelling.input(position):
            raise _refusal(
                spelling,
                f"reads {spelling.input(position)} (input {position}), which is not supported",
                "export without this fusion, or without a cache of keys and values",
            )


def _bias_gelu(spelling: _Spelling) -> None:
    tensor = spelling.input(0)
    if spelling.input(1):
        tensor = spelling.say("Add", [tensor, spelling.input(1)])
    spelling.end(tensor, "Gelu")


def _bias_softmax(spelling: _Spelling) -> None:
    spelling.end(spelling.say("Add", [spelling.input(0), spelling.input(1)]), "Softmax")


def _skip_normalization(spelling: _Spelling) -> None:
    """LayerNormalization(input + bias + skip); the sum is the fourth output."""
    rms = "Simplified" in spelling.node.op_type
    tensors = [spelling.input(i) for i in (0, 3 if rms else 4, 1)]
    total = spelling.node.output[3] if len(spelling.node.output) > 3 else ""
    total = spelling.say("Sum", [tensor for tensor in tensors if tensor], total)
    spelling.nodes[-1].name = f"{spelling.name}.add"
    operator = "SimplifiedLayerNormalization" if rms else "LayerNormalization"
    spelling.say(operator, [total, spelling.input(2)], spelling.out)
    spelling.nodes[-1].name = spelling.name


def _quantized_concat(spelling: _Spelling) -> None:
    axis = spelling.attributes["axis"]
    spelling.say("Concat", list(spelling.node.input[2::3]), spelling.out, axis=axis)


def _picked(spelling: _Spelling) -> None:
    operator, positions = _PICKED[spelling.node.op_type]
    inputs = [spelling.input(position) for position in positions]
    attributes = dict(spelling.attributes) if operator != "Identity" else {}
    if attributes.pop("channels_last", 0):
        raise _refusal(spelling, "keeps channels last", "export with channels first")
    attributes.pop("opset", None)
    spelling.say(operator, inputs, spelling.out, **attributes)


def _refusal(spelling: _Spelling, problem: str, fix: str) -> InputError:
    return InputError(f"node {spelling.name}", spelling.node.op_type, problem, fix)


_RULES: Mapping[str, Callable[[_Spelling], None]] = {
    **dict.fromkeys(_PICKED, _picked),
    "FusedConv": _fused_convolution,
    "FusedGemm": _fused_gemm,
    **dict.fromkeys(("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation"), _fused_product),
    "QGemm": _quantized_gemm,
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4", "MatMulFpQ4"), _small_bits),
    "DynamicQuantizeMatMul": _dynamic_product,
    "MatMulIntegerToFloat": _integer_product,
    **dict.fromkeys(("Attention", "QAttention"), _attention),
    "MultiHeadAttention": _heads_attention,
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
        spelling = _Spelling(node, loaded)
        try:
            rule(spelling)
        except InputError as error:
            errors.append(error)
            nodes.append(node)
        except KeyError as error:
            errors.append(_refusal(spelling, f"lacks the attribute {error}", "export the network again"))
            nodes.append(node)
        else:
            nodes += spelling.nodes
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return errors


def _rule(node: onnx.NodeProto) -> Callable[[_Spelling], None] | None:
    if node.op_type.lower().replace("_", "").startswith("fakequant"):  # of any producer
        return lambda spelling: spelling.end(spelling.input(0))
    return _RULES.get(node.op_type) if node.domain.startswith(PRODUCERS) else None
