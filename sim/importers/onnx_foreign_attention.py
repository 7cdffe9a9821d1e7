"""Attention of ONNX Runtime, spelled in ONNX's own operators.

A mask that hides whole keys costs nothing: softmax leaves them out as it reads. Rotary embedding is a
pass over queries and keys.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx

from sim.importers.onnx_spelling import Spelling

_FIX = "export without this fusion"


def _heads(spelling: Spelling, tensor: str, heads: int) -> str:
    """[B, tokens, heads * size] -> [B, heads, tokens, size]."""
    parts = spelling.say("Reshape", [tensor, spelling.numbers([0, 0, heads, -1])])
    return spelling.say("Transpose", [parts], perm=[0, 2, 1, 3])


def _mixed(spelling: Spelling, query: str, key: str, value: str, mask: str = "", shared: int = 0) -> str:
    """softmax(query key^T + mask) value of [B, heads, tokens, size] each, as [B, tokens, channels].

    Of `shared` heads of keys and values each serves several of queries, whose tokens lie in a row.
    """
    rows = spelling.say("Reshape", [query, spelling.numbers([0, shared, -1, 0])]) if shared else query
    scores = spelling.say("MatMul", [rows, spelling.say("Transpose", [key], perm=[0, 1, 3, 2])])
    if mask:
        scores = spelling.say("Add", [scores, mask])
    mixed = spelling.say("MatMul", [spelling.say("Softmax", [scores], axis=-1), value])
    if shared:
        heads = spelling.attributes["num_heads"]
        mixed = spelling.say("Reshape", [mixed, spelling.numbers([0, heads, -1, 0])])
    mixed = spelling.say("Transpose", [mixed], perm=[0, 2, 1, 3])
    return spelling.say("Reshape", [mixed, spelling.numbers([0, 0, -1])])


def _after(spelling: Spelling, past: str, tensor: str, output: int) -> str:
    """Keys or values after those of earlier tokens, which is also an output."""
    if not past:
        return tensor
    given = spelling.node.output[output] if output < len(spelling.node.output) else ""
    return spelling.say("Concat", [past, tensor], given, axis=2)


def _attention(spelling: Spelling) -> None:
    """Attention and QAttention: one input, projected by one weight [H, 3 * size]."""
    quantized = spelling.node.op_type == "QAttention"
    if spelling.input(8 if quantized else 4):
        raise spelling.refusal("reads keys and values of earlier tokens in one tensor", _FIX)
    if "qkv_hidden_sizes" in spelling.attributes:
        raise spelling.refusal("has sizes of its own for keys and values", _FIX)
    bias, mask = (spelling.input(4), "") if quantized else (spelling.input(2), spelling.input(5))
    tensor = spelling.say("MatMul", [spelling.input(0), spelling.input(1)])
    if quantized:
        tensor = spelling.say("Cast", [tensor], to=onnx.TensorProto.FLOAT)
    if bias:
        tensor = spelling.say("Add", [tensor, bias])
    packed = spelling.say("Reshape", [tensor, spelling.numbers([0, 0, 3, -1])])
    query, key, value = (_slice(spelling, packed, i, i + 1) for i in range(3))
    heads = spelling.attributes["num_heads"]
    merged = spelling.numbers([0, 0, -1])
    flat = (spelling.say("Reshape", [part, merged]) for part in (query, key, value))
    query, key, value = (_heads(spelling, part, heads) for part in flat)
    spelling.end(_mixed(spelling, query, key, value, mask))


def _slice(spelling: Spelling, tensor: str, begin: int, end: int) -> str:
    """Some of the parts along axis 2."""
    return spelling.say("Slice", [tensor, *(spelling.numbers([number]) for number in (begin, end, 2))])


def _heads_attention(spelling: Spelling) -> None:
    """MultiHeadAttention of three sequences [B, tokens, heads * size]; biases are those of projections."""
    query, key, value = (spelling.input(i) for i in range(3))
    if not key or not value:
        raise spelling.refusal("packs queries, keys and values", _FIX)
    heads = spelling.attributes["num_heads"]
    query, key, value = (_heads(spelling, tensor, heads) for tensor in (query, key, value))
    key = _after(spelling, spelling.input(6), key, 1)
    value = _after(spelling, spelling.input(7), value, 2)
    spelling.end(_mixed(spelling, query, key, value, spelling.input(5)))


def _grouped_attention(spelling: Spelling) -> None:
    """GroupQueryAttention: of three sequences, or one that holds all of them, after a cache."""
    heads, shared = (spelling.attributes[name] for name in ("num_heads", "kv_num_heads"))
    query, key, value = (spelling.input(i) for i in range(3))
    if key and value:
        counts = (heads, shared, shared)
        parts = [_heads(spelling, t, n) for t, n in zip((query, key, value), counts, strict=True)]
    else:
        packed = spelling.say("Reshape", [query, spelling.numbers([0, 0, heads + 2 * shared, -1])])
        limits = (0, heads, heads + shared, heads + 2 * shared)
        slices = [_slice(spelling, packed, limits[i], limits[i + 1]) for i in range(3)]
        parts = [spelling.say("Transpose", [part], perm=[0, 2, 1, 3]) for part in slices]
    query, key, value = parts
    if spelling.attributes.get("do_rotary"):
        query, key = (spelling.say("RotaryEmbedding", [tensor]) for tensor in (query, key))
    key = _after(spelling, spelling.input(3), key, 1)
    value = _after(spelling, spelling.input(4), value, 2)
    spelling.end(_mixed(spelling, query, key, value, shared=shared))


ATTENTIONS: dict[str, Callable[[Spelling], None]] = {
    **dict.fromkeys(("Attention", "QAttention"), _attention),
    "MultiHeadAttention": _heads_attention,
    "GroupQueryAttention": _grouped_attention,
}
"""How each operator is spelled."""
