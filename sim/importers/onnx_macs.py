"""Multiply-accumulates of an ONNX graph: elements of each result times the length of its sums.

Reads the nodes as the file has them, those of other producers included, and shares nothing with the
import of shapes but the inferred sizes, so that each checks the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import onnx

from sim.errors import InputError


class _Sizes:
    """Sizes of a node's tensors and its attributes."""

    def __init__(self, node: onnx.NodeProto, extents: Mapping[str, Sequence[Any]]) -> None:
        self.node, self.extents = node, extents
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}

    def __getitem__(self, position: int) -> list[int]:
        """Of an input."""
        return list(self.extents[self.node.input[position]])

    def has(self, position: int) -> bool:
        return position < len(self.node.input) and bool(self.node.input[position])

    @property
    def results(self) -> int:
        return prod(self.extents[self.node.output[0]])


def _kernel(sizes: _Sizes) -> int:
    return sizes.results * prod(sizes[3 if sizes.node.op_type == "QLinearConv" else 1][1:])


def _rows(sizes: _Sizes) -> int:
    """The left operand's last axis is summed, or the one before where it is transposed."""
    left = sizes[0]
    return sizes.results * left[-2 if sizes.attributes.get("transA") else -1]


def _scattered(sizes: _Sizes) -> int:
    """Blocks that do not overlap take each element of the source once, others every tap, zero or not."""
    weight, get = sizes[1], sizes.attributes.get
    kernel = weight[2:]
    blocks = list(get("strides", [1] * len(kernel))) == kernel and max(get("dilations", [1])) == 1
    if blocks:
        return prod(sizes[0]) * prod(weight[1:])
    return sizes.results * weight[0] // get("group", 1) * prod(kernel)


def _summed_indices(sizes: _Sizes) -> int:
    terms, arrow, result = sizes.attributes["equation"].decode().replace(" ", "").partition("->")
    letters = terms.replace(",", "").replace(".", "")
    lengths: dict[str, int] = {}
    for position, term in enumerate(terms.split(",")):
        named = term.replace("...", "." * (len(sizes[position]) - len(term.replace("...", ""))))
        lengths.update(zip(named, sizes[position], strict=True))
    summed = [i for i in set(letters) if (i not in result if arrow else letters.count(i) > 1)]
    if not summed or "," not in terms:
        return 0
    return sizes.results * prod(lengths[index] for index in summed)


def _recurrent(sizes: _Sizes) -> int:
    """Every weight once a step and sequence."""
    return prod(sizes[0][:2]) * (prod(sizes[1]) + prod(sizes[2]))


def _attention(sizes: _Sizes) -> int:
    query, key, value = sizes[0], sizes[1], sizes[2]
    past = sizes[4][2] if sizes.has(4) else 0
    if len(query) == 4:
        return prod(query[:3]) * (key[2] + past) * (query[3] + value[3])
    heads, shared = sizes.attributes["q_num_heads"], sizes.attributes["kv_num_heads"]
    return prod(query[:2]) * (key[1] + past) * (query[2] + heads * value[2] // shared)


def _projected_attention(sizes: _Sizes) -> int:
    images, tokens, channels = sizes[0]
    columns = sizes[1][1]
    return images * tokens * (channels * columns + 2 * tokens * columns // 3)


def _heads_attention(sizes: _Sizes) -> int:
    """Of three sequences, or of one that packs all heads; each query meets the keys of a cache, too."""
    images, tokens, channels = sizes[0]
    grouped = sizes.node.op_type == "GroupQueryAttention"
    past = sizes[3 if grouped else 6][2] if sizes.has(3 if grouped else 6) else 0
    if not sizes.has(1):
        heads, shared = sizes.attributes["num_heads"], sizes.attributes["kv_num_heads"]
        return images * tokens * (tokens + past) * 2 * channels * heads // (heads + 2 * shared)
    wide = channels if grouped else sizes[2][2]
    return images * tokens * (sizes[1][1] + past) * (channels + wide)


def _block_quantized(sizes: _Sizes) -> int:
    return sizes.results * int(sizes.attributes["K"])


def _frames(sizes: _Sizes) -> int:
    """Each number of each frame is a sum over the frame's samples."""
    *_, bins, parts = sizes.extents[sizes.node.output[0]]
    frame = sizes[2][0] if sizes.has(2) else bins
    if not sizes.has(2) and sizes.attributes.get("onesided", 1):
        raise ValueError("its frames have no window to tell their length")
    return sizes.results * frame if parts == 2 else 0


_ONNX: dict[str, Callable[[_Sizes], int]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "QLinearConv"), _kernel),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul", "Gemm"), _rows),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
    "ConvTranspose": _scattered,
    "Einsum": _summed_indices,
    "Attention": _attention,
    "STFT": _frames,
}
_OTHERS: dict[str, Callable[[_Sizes], int]] = {
    **dict.fromkeys(("FusedConv", "NhwcConv", "NhwcFusedConv", "QLinearConv"), _kernel),
    **dict.fromkeys(("FusedMatMul", "FusedMatMulActivation", "TransposeMatMul", "FusedGemm", "QGemm"), _rows),
    **dict.fromkeys(("DynamicQuantizeMatMul", "MatMulIntegerToFloat", "XnorPopcountMatMul"), _rows),
    "DynamicQuantizeLSTM": _recurrent,
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4", "MatMulFpQ4"), _block_quantized),
    **dict.fromkeys(("Attention", "QAttention"), _projected_attention),
    **dict.fromkeys(("MultiHeadAttention", "GroupQueryAttention"), _heads_attention),
}
_SUMLESS = (
    *("QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearWhere", "BiasAdd", "BiasSoftmax"),
    *("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "RotaryEmbedding"),
    *("Quant", "IntQuant", "FloatQuant", "BipolarQuant", "Trunc", "MultiThreshold"),
    *("EmbedLayerNormalization", "GatherBlockQuantized"),
    *("QuantizeLinear", "DequantizeLinear", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax"),
)
"""Operators of other producers with several large operands, but without sums of their products."""
_UNCOUNTABLE = (
    *("DeformConv", "CausalConvWithState", "LinearAttention", "DFT", "Det", "AffineGrid"),
    *("If", "Loop", "Scan", "SequenceMap"),
)


def count(
    nodes: Iterable[onnx.NodeProto], extents: Mapping[str, Sequence[Any]], inputs: Iterable[str]
) -> int:
    """Multiply-accumulates of every node whose result depends on the network's inputs.

    Args:
        extents: sizes of the tensors by name.
        inputs: names of the network's inputs, without parameters.

    Raises:
        InputError: an operator that may multiply its operands in a way nobody told this count, or whose
            sizes do not fit.
    """
    reached, total = set(inputs), 0
    for node in nodes:
        if node.op_type in ("Shape", "Size") or reached.isdisjoint(node.input):
            continue
        reached.update(node.output)
        own = node.domain in ("", "ai.onnx")
        rule = (_ONNX if own else _OTHERS).get(node.op_type)
        if rule is not None:
            total += _counted(rule, node, extents)
        elif node.op_type in _UNCOUNTABLE or not (own or _harmless(node, extents)):
            raise InputError(
                f"node {node.name or node.output[0]}",
                node.op_type,
                "may multiply its operands, so that nobody can count the network's MACs",
                "replace it by operators of ONNX",
            )
    return total


def _counted(
    rule: Callable[[_Sizes], int], node: onnx.NodeProto, extents: Mapping[str, Sequence[Any]]
) -> int:
    try:
        return rule(_Sizes(node, extents))
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(
            f"node {node.name or node.output[0]}",
            node.op_type,
            f"its sizes or attributes do not fit: {error}",
            "export the network again",
        ) from None


def _harmless(node: onnx.NodeProto, extents: Mapping[str, Sequence[Any]]) -> bool:
    """Whether there is nothing to multiply: at most one operand has two or more dimensions."""
    if node.op_type in _SUMLESS or node.op_type.lower().startswith("fake"):
        return True
    ranks = [len(extents.get(name, "??")) for name in node.input if name]
    return sum(rank > 1 for rank in ranks) < 2
