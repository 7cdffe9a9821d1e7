"""Scaled dot-product attention, masks before a softmax, rotary embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from algos.frontend.graph import Node, Value
from algos.frontend.rewrites.builder import VIEWS, Builder

ATEN = torch.ops.aten

MASKED = -1e4
"""A summand of logits from which on a key counts as left out; exp of it is 0 in every format."""


def masked_softmax(self: Tensor, dim: int, mask: Tensor) -> Tensor:
    """Softmax over the elements where the mask (bool, broadcasts) is true; the others get 0."""
    return self.masked_fill(~mask, float("-inf")).softmax(dim)


def attention(node: Node, build: Builder) -> Value | None:
    """Scaled dot-product attention as the products that it is."""
    if node.operation != "aten.scaled_dot_product_attention":
        return None
    query, key, value, mask = node["query"], node["key"], node["value"], node["attn_mask"]
    if mask is not None and not mask.constant:
        return None
    if node["enable_gqa"] and query.extent[-3] != key.extent[-3]:
        times = query.extent[-3] // key.extent[-3]
        key, value = (
            build(ATEN.repeat_interleave.self_int, one, times, len(one.extent) - 3) for one in (key, value)
        )
    scale = node["scale"] if node["scale"] is not None else query.extent[-1] ** -0.5
    logits = build(ATEN.matmul.default, query, build(ATEN.transpose.int, key, -2, -1))
    if scale != 1:
        logits = build(ATEN.mul.Scalar, logits, scale)
    kept = None
    if node["is_causal"]:
        kept = torch.ones(logits.extent[-2:], dtype=torch.bool).tril()
    if mask is not None:
        logits, kept = _added(build, logits, mask.data)
    weights = _softmax(build, logits, -1, kept)
    return build(ATEN.matmul.default, weights, value)


def _added(build: Builder, logits: Value, mask: Tensor) -> tuple[Value, Tensor | None]:
    """Logits with the finite part of a mask, and where the rest lets values count; None where everywhere."""
    if mask.dtype == torch.bool:
        return logits, None if bool(mask.all()) else mask
    kept = mask > MASKED
    finite = torch.where(kept, mask, 0.0)
    if bool(finite.any()):
        logits = build(ATEN.add.Tensor, logits, build.constant(finite))
    return logits, None if bool(kept.all()) else kept


def _softmax(build: Builder, logits: Value, dim: int, kept: Tensor | None) -> Value:
    if kept is None:
        return build(ATEN.softmax.int, logits, dim)
    return build(
        masked_softmax, operation="codeword.masked_softmax", self=logits, dim=dim, mask=build.constant(kept)
    )


def masked(node: Node, build: Builder) -> Value | None:
    """A softmax of logits plus a constant mask, or of logits filled with -inf."""
    if node.operation not in ("aten.softmax", "aten._softmax"):
        return None
    views: list[Node] = []
    logits = node["self"]
    while (
        (producer := logits.producer) is not None and producer.operation in VIEWS and len(logits.users) == 1
    ):
        views.append(producer)
        logits = producer.source
    if producer is None or len(logits.users) > 1:
        return None
    found = _mask_of(producer)
    if found is None:
        return None
    source, mask = found
    whole = mask.expand(logits.extent)
    inner, kept = (source, mask) if mask.dtype == torch.bool else _added(build, source, mask)
    if kept is None and mask.dtype != torch.bool:
        return None
    for one in reversed(views):
        inner = build(ATEN.reshape.default, inner, list(one.out.extent))
    whole = (whole if mask.dtype == torch.bool else whole > MASKED).reshape(node["self"].extent)
    return _softmax(build, inner, node["dim"], whole)


def _mask_of(node: Node) -> tuple[Value, Tensor] | None:
    """The logits, and the summand, or bool mask of what is kept, that a node applies to them."""
    arguments = node.arguments
    if node.operation in ("aten.add", "aten.add_") and isinstance(arguments["other"], Value):
        left, right = arguments["self"], arguments["other"]
        if left.constant:
            left, right = right, left
        if right.constant and left.extent == node.out.extent and bool((right.data <= MASKED).any()):
            return left, right.data
    if node.operation in ("aten.masked_fill", "aten.masked_fill_") and arguments["mask"].constant:
        return (arguments["self"], ~arguments["mask"].data) if _low(arguments["value"]) else None
    if node.operation == "aten.where" and arguments["condition"].constant:
        left, right, kept = arguments["self"], arguments["other"], arguments["condition"].data
        return (left, kept) if _low(right) else (right, ~kept) if _low(left) else None
    return None


def _low(value: Value | float) -> bool:
    """Whether a number or constant hides what it is put in the place of."""
    if isinstance(value, Value):
        return value.constant and float(value.data.max()) <= MASKED
    return float(value) <= MASKED


def turned(node: Node, build: Builder) -> Value | None:
    """Rotary embedding: elements of x elsewhere, some of them negated, times a constant: all at once, and the signs in
    the constant."""
    if node.operation != "aten.mul":
        return None
    for joined, factor in ((node["self"], node["other"]), (node["other"], node["self"])):
        if not isinstance(joined, Value) or not isinstance(factor, Value) or not factor.constant:
            continue
        x, between = _moved(joined)
        if x is not None and any(one.operation == "aten.neg" for one in between):
            known = {x: torch.arange(1.0, x.elements + 1).reshape(x.extent)}
            for one in between:
                known.update(zip(one.outputs, one.run(known), strict=True))
            found = known[joined]
            index = build.constant(found.abs().long() - 1)
            elsewhere = build(taken, operation="codeword.taken", self=x, index=index)
            return build(ATEN.mul.Tensor, elsewhere, build.constant(factor.data * found.sign()))
    return None


def taken(self: Tensor, index: Tensor) -> Tensor:
    """Elements by their numbers in row-major order."""
    return self.reshape(-1)[index]


MOVING = (
    *VIEWS,
    "aten.slice",
    "aten.select",
    "aten.cat",
    "aten.split",
    "aten.chunk",
    "aten.unbind",
    "aten.neg",
)


def _moved(value: Value) -> tuple[Value | None, list[Node]]:
    """The one value from which others come by movement and negation alone, and how, in execution order."""
    found: list[Node] = []
    roots: set[Value] = set()

    def visit(one: Value) -> None:
        node = one.producer
        if node is None or one.constant or node.operation not in MOVING:
            roots.add(one)
        elif node not in found:
            for operand in node.inputs:
                visit(operand)
            found.append(node)

    visit(value)
    alone = len(roots) == 1 and not next(iter(roots)).constant
    return (roots.pop() if alone else None), found
