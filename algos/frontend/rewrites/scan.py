"""Selective scans that a loop over tokens spells out, as in `transformers`."""

from __future__ import annotations

import torch

from algos.frontend.graph import Node, Value
from algos.frontend.operators.scan import token_by_token
from algos.frontend.rewrites.builder import VIEWS, Builder

ATEN = torch.ops.aten


def scanned(node: Node, build: Builder) -> Value | None:
    """Stacked products state C, where state = decay[token] state + step[token] with decay = exp(delta A) and
    step = delta B x; all [1, channels, tokens, states]. The scan has no skip."""
    if node.operation != "aten.stack" or node["dim"] % 3 != 2 or len(node.out.extent) != 3:
        return None
    product = _through(node["tensors"][-1]).producer
    if product is None or product.operation not in ("aten.matmul", "aten.bmm"):
        return None
    state, outward = (_through(value) for value in list(product.arguments.values())[:2])
    last = _token(outward)
    chain = _recurrence(state)
    if last is None or chain is None or len(node["tensors"]) != chain[0]:
        return None
    _, decay, step = chain
    exponent = decay.producer
    if exponent is None or exponent.operation != "aten.exp":
        return None
    factors = _factors(exponent["self"])
    rate = [value for value in factors if value.constant]
    delta = [value for value in factors if not value.constant]
    steps = _factors(step)
    if len(rate) != 1 or len(delta) != 1 or len(steps) != 3:
        return None
    _, channels, tokens, states = step.extent
    inward = [value for value in steps if value.extent == (1, 1, tokens, states)]
    inner = [value for value in steps if value.extent == (1, channels, tokens, 1)]
    x = [value for value in inner if _root(value) is not _root(delta[0])]
    if len(inward) != 1 or len(x) != 1 or last.extent != (1, tokens, states):
        return None

    def along(value: Value) -> Value:
        return build(ATEN.transpose.int, build(ATEN.reshape.default, value, [1, channels, tokens]), 1, 2)

    found = build(
        token_by_token,
        operation="codeword.selective_scan",
        x=along(x[0]),
        delta=along(delta[0]),
        a=build.constant(rate[0].data.expand(1, channels, 1, states).reshape(channels, states)),
        b=build(ATEN.reshape.default, inward[0], [1, tokens, states]),
        c=last,
        skip=build.constant(torch.zeros(channels)),
        reverse=False,
    )
    return build(ATEN.transpose.int, found, 1, 2)


def _through(value: Value) -> Value:
    """What views and selections of a whole axis show."""
    while (node := value.producer) is not None and not value.constant:
        whole = node.operation in ("aten.slice", "aten.select") and node.out.elements == node.source.elements
        if node.operation not in VIEWS and not whole:
            break
        value = node.source
    return value


def _root(value: Value) -> Value:
    return _through(value)


def _token(value: Value) -> Value | None:
    """The tensor [1, tokens, n] of which a value is one token."""
    node = value.producer
    if node is None or node.operation != "aten.select":
        return None
    source = _through(node["self"])
    return source if len(source.extent) == 3 and node["dim"] == 1 else None


def _recurrence(state: Value) -> tuple[int, Value, Value] | None:
    """How many times state = decay[:, :, t] state + step[:, :, t], with decay and step of all tokens."""
    found: set[tuple[Value, Value]] = set()
    count = 0
    while not state.constant:
        added = state.producer
        if added is None or added.operation != "aten.add":
            return None
        grown, step = added["self"].producer, _selected(added["other"])
        if grown is None or grown.operation != "aten.mul" or step is None:
            return None
        decay = _selected(grown["self"])
        if decay is None:
            return None
        found.add((decay, step))
        state, count = grown["other"], count + 1
    if len(found) != 1:
        return None
    ((decay, step),) = found
    return count, decay, step


def _selected(value: Value) -> Value | None:
    """The tensor of four axes whose third one a selection leaves out."""
    node = value.producer
    if node is None or node.operation != "aten.select" or node["dim"] != 2:
        return None
    source = node["self"]
    while source.producer is not None and source.producer.operation == "aten.slice":
        if source.producer.out.extent != source.producer["self"].extent:
            return None
        source = source.producer["self"]
    return source if len(source.extent) == 4 else None


def _factors(value: Value) -> list[Value]:
    """Of a product, however it is bracketed."""
    node = value.producer
    if value.constant or node is None or node.operation != "aten.mul":
        return [value]
    return [factor for operand in (node["self"], node["other"]) for factor in _factors(operand)]
