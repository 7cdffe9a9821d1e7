"""What a graph contains that cannot be imported: all of it at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import onnx

from sim.errors import InputError
from sim.importers.onnx_graph import Graph, operator
from sim.importers.unknown import hidden_products, refuse, unsupported

HIDDEN = {
    "AffineGrid": "export the grid as a constant",
    "CausalConvWithState": "write it as Concat and Conv",
    "DeformConv": "replace it by a Conv",
    "Det": "leave it out of the network",
    "DFT": "leave the transform out of the network",
    "If": "export one of its branches: no layer shapes follow from what data decide",
    "LinearAttention": "write it as MatMul and element-wise operators",
    "Loop": "give it a constant number of turns, or export the network unrolled",
    "Scan": "export the network unrolled",
    "SequenceMap": "export the network unrolled",
    "STFT": "give its frames a constant step and a window, or leave the transform out of the network",
}
"""ONNX's own operators with products inside: what to do instead."""

HOST = (
    *("Compress", "NonMaxSuppression", "NonZero", "Unique"),
    *("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceInsert", "SplitToSequence"),
    *("ImageDecoder", "RegexFullMatch", "StringNormalizer", "StringSplit", "TfIdfVectorizer"),
)
"""Operators whose results are as many as the data say, or no numbers: work of a host."""

_PRODUCTS = re.compile(
    r"attention|bilinear|cdist|conv|einsum|(?<![a-z])f?ft|gemm|gru|inverse|(?<!ize)linear|lstm|mat_?mul|moe|rnn",
    re.IGNORECASE,
)
"""Names that people give to operators that multiply."""

_SHOWN = 5  # nodes of one operator that a message names


def refuse_unknown(graph: Graph, known: Collection[str], vector_operators: Collection[str]) -> None:
    """Refuses a graph with operators that are not supported, naming all of them.

    Raises:
        InputError: there is at least one.
    """
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.active():
        if operator(node) not in known:
            found.setdefault(operator(node), []).append(node)
    reasons = {error.field: error for error in graph.misspelled}
    errors = []
    for kind, nodes in found.items():
        first = nodes[0].name or nodes[0].output[0]
        own = reasons.get(f"node {first}")
        if own is not None:
            errors.append(_of(nodes, own))
        elif kind in HIDDEN:
            fixes = dict.fromkeys(map(graph.deciding, nodes)) if kind == "If" else [HIDDEN[kind]]
            errors.append(_of(nodes, hidden_products(first, kind, "; ".join(fixes))))
        elif kind in HOST:
            errors.append(_of(nodes, _host(first, kind)))
        elif any(multiplies(graph, node) for node in nodes):
            fix = "replace it by operators of ONNX, such as MatMul or Conv"
            errors.append(_of(nodes, hidden_products(first, kind, fix)))
        elif kind not in vector_operators:
            errors.append(_of(nodes, unsupported(first, kind)))
    refuse(errors)


def _host(node: str, kind: str) -> InputError:
    problem = "the size or type of its result depends on the data: work of a host processor"
    fix = "end the network before it with onnx.utils.extract_model"
    return InputError(f"node {node}", kind, problem, fix)


def _of(nodes: Sequence[onnx.NodeProto], error: InputError) -> InputError:
    """An error about all nodes of a kind."""
    names = [node.name or node.output[0] for node in nodes]
    if len(names) == 1:
        return error
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return InputError(f"nodes {', '.join(names[:_SHOWN])}{more}", error.value, error.problem, error.fix)


def multiplies(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether an operator of another producer must be presumed to multiply.

    So it must be if its name says so, or if it has two or more operands that are matrices, in
    attributes, too; an operand of unknown shape may be one.
    """
    if node.domain in ("", "ai.onnx"):
        return False
    if _PRODUCTS.search(node.op_type):
        return True
    operands = [graph.extents.get(name) for name in node.input if name]
    inside = [a for a in node.attribute if len(a.t.dims) > 1 or len(a.floats) > _FACTORS]
    return sum(extent is None or len(extent) > 1 for extent in operands) + len(inside) > 1


_FACTORS = 16  # numbers in one attribute above which it is presumed to be a matrix
