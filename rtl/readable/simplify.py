"""Fewer wires: explicit widths, results that are used once in the place of their use, no unused carries."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from rtl.readable.expressions import (
    COMPARISONS,
    RINGS,
    Node,
    binary,
    constant,
    fitted,
    join,
    part,
    polished,
    value_of,
)
from rtl.readable.module import NAMELESS, Assignment, Body, rename, words

LONGEST = 72
"""Characters of an expression that moves into another."""
SHORT = 30
"""The same of one that is used in several places."""
_NAMED = 8
"""Characters that the name of a nameless wire will have beyond those of its number, about."""
_MERGED = 4
"""Bits of a concatenation whose reduction becomes an operator between them."""


def simplify(body: Body) -> None:
    """Rewrites the assignments of a module; every named signal keeps its value in every cycle."""
    for assignment in body.assignments:
        _widen(assignment)
    _drop_carries(body)
    _narrow(body)
    for assignment in body.assignments:
        _widen(assignment)
    _share(body)
    _move(body)


def _widen(assignment: Assignment) -> None:
    value = normal(assignment.value, assignment.target.width)
    assignment.exact = value is not None
    if value is not None:
        assignment.value = value


def normal(node: Node, width: int) -> Node | None:
    """The same value in `width` bits with operands as wide as their operator; None where a sign needs extension."""
    if node.wraps:
        return None
    if node.kind == "unary":
        return _normal_unary(node, width)
    if node.kind == "choice":
        arms = [fitted(arm, width) for arm in node.args[1:]]
        if node.args[0].width > 1 or None in arms:
            return None
        return _chosen(node.args[0], *arms)  # type: ignore[arg-type]
    if node.kind != "binary":
        return fitted(node, width)
    left, right = node.args
    few = left.kind == "join" and len(left.args) == left.width <= _MERGED
    if node.text == "!=" and value_of(right) == 0 and few:
        return _normal_unary(Node("unary", 1, "|", (left,)), width)
    if node.text in COMPARISONS:
        if not (left.wraps or right.wraps):
            wide = max(left.width, right.width)
            wide_left, wide_right = fitted(left, wide), fitted(right, wide)
            if wide_left is None or wide_right is None:
                return None
            node = binary(node.text, wide_left, wide_right)
        return fitted(node, width)
    if node.text in RINGS:
        fit_left, fit_right = fitted(left, width), fitted(right, width)
        return None if fit_left is None or fit_right is None else binary(node.text, fit_left, fit_right)
    if node.text == "<<" or (node.text == ">>" and left.width <= width):
        shifted = fitted(left, width)
        return None if shifted is None else binary(node.text, shifted, right)
    return fitted(node, width)


def _chosen(condition: Node, yes: Node, no: Node) -> Node:
    """A choice, or gates where it is of single bits of which one is constant."""
    if yes.width == 1:
        inverse = Node("unary", 1, "~", (condition,))
        match value_of(yes), value_of(no):
            case 1, 0:
                return condition
            case 0, 1:
                return inverse
            case 0, None if no.kind != "constant":
                return binary("&", inverse, no)
            case 1, None if no.kind != "constant":
                return binary("|", condition, no)
            case None, 0 if yes.kind != "constant":
                return binary("&", condition, yes)
            case None, 1 if yes.kind != "constant":
                return binary("|", inverse, yes)
    return Node("choice", yes.width, args=(condition, yes, no))


def _normal_unary(node: Node, width: int) -> Node | None:
    inner = node.args[0]
    if node.text == "!":
        test = binary("==", inner, constant(0, inner.width))
        return fitted(replace(node, text="~") if inner.width == 1 else test, width)
    if node.text in ("~", "-"):
        fit = fitted(inner, width)
        return None if fit is None else replace(node, width=width, args=(fit,))
    few = inner.kind == "join" and len(inner.args) == inner.width <= _MERGED
    if few and node.text in ("|", "&"):
        result = inner.args[0]
        for bit in inner.args[1:]:
            result = binary(node.text, result, bit)
        return fitted(result, width)
    return fitted(node, width)


def uses(body: Body) -> tuple[dict[str, list[Node]], Counter[str]]:
    """Of nameless wires: uses in assignments, and how often in other text."""
    found: dict[str, list[Node]] = {}
    text: Counter[str] = Counter()
    for item in body.items:
        if isinstance(item, str):
            text.update(word for word in words(item) if NAMELESS.fullmatch(word))
            continue
        for node in item.value.names():
            if NAMELESS.fullmatch(node.text):
                found.setdefault(node.text, []).append(node)
    return found, text


def _drop_carries(body: Body) -> None:
    """`{ carry, sum } = a + b` is `sum = a + b` where nobody reads the carry, whose wire holds the sum as well."""
    found, text = uses(body)
    for item in body.assignments:
        target, value = item.target, item.value
        if target.kind != "join" or value.kind not in ("binary", "choice", "unary"):
            continue
        if not (value.text in RINGS or value.kind == "choice" or value.text in ("~", "-")):
            continue
        above, *below = target.args
        unread = NAMELESS.fullmatch(above.text) and above.text not in found and not text[above.text]
        if not unread or above.bits is None or above.bits[0] < target.width - 1:
            continue
        low = join(*below)
        item.target = low
        cut = [part(arg, low.width - 1, 0) if arg.width > low.width else arg for arg in _operands(value)]
        if None not in cut:
            item.value = _with_operands(value, cut)  # type: ignore[arg-type]
        body.items = [
            other
            for other in body.items
            if isinstance(other, str) or other.target.kind != "name" or other.target.text != above.text
        ]


def _operands(value: Node) -> tuple[Node, ...]:
    return value.args[1:] if value.kind == "choice" else value.args


def _with_operands(value: Node, operands: list[Node]) -> Node:
    if value.kind == "binary":
        return binary(value.text, *operands)
    args = (value.args[0], *operands) if value.kind == "choice" else tuple(operands)
    return replace(value, width=max(arg.width for arg in operands), args=args)


def _narrow(body: Body) -> None:
    """A wire whose upper bits nobody reads loses them."""
    found, text = uses(body)
    sliced = _slices_in_text(body)
    defined = {
        item.target.text: item
        for item in body.assignments
        if item.target.kind == "name" and item.target.bits is None
    }
    narrower: dict[str, int] = {}
    for name, item in defined.items():
        nodes = found.get(name, [])
        if not NAMELESS.fullmatch(name) or text[name] != len(sliced.get(name, [])):
            continue
        tops = {node.bits for node in nodes} | set(sliced.get(name, []))
        bits = next(iter(tops)) if len(tops) == 1 else None
        ring = item.value.text in RINGS or item.value.kind == "choice" or item.value.text in ("~", "-")
        if bits is None or bits[1] or not ring or item.value.wraps or not item.exact:
            continue
        cut = [part(arg, bits[0], 0) for arg in _operands(item.value)]
        if None in cut:
            continue
        item.value = _with_operands(item.value, cut)  # type: ignore[arg-type]
        item.target = replace(item.target, width=bits[0] + 1)
        body.signals[name].width = narrower[name] = bits[0] + 1
    for item in body.assignments:
        item.value = item.value.mapped(
            lambda node, _: replace(node, bits=None) if node.text in narrower else node
        )
    body.map_text(lambda line: _SLICED.sub(lambda m: m[1] if m[1] in narrower else m[0], line))


_SLICED = re.compile(r"\b(_\d+_)\[(\d+)(?::(\d+))?\]")


def _slices_in_text(body: Body) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for item in body.items:
        if isinstance(item, str):
            for name, high, low in _SLICED.findall(item):
                found.setdefault(name, []).append((int(high), int(low or high)))
    return found


def _share(body: Body) -> None:
    """Two wires of the same value are one."""
    while True:
        first: dict[tuple[str, int], str] = {}
        same: dict[str, str] = {}
        for item in list(body.assignments):
            name = item.target.text
            if (
                item.target.kind != "name"
                or item.target.bits
                or not NAMELESS.fullmatch(name)
                or not item.exact
            ):
                continue
            key = str(item.value), item.target.width
            if key in first:
                same[name] = first[key]
                body.items.remove(item)
            else:
                first[key] = name
        if not same:
            return
        rename(body, same)


def _move(body: Body) -> None:
    """Puts values in the place of nameless wires."""
    found, text = uses(body)
    processes = Counter(
        name
        for item in body.items
        if isinstance(item, str)
        for pattern in _PLACES
        for name in pattern.findall(item)
    )
    values = {
        item.target.text: item
        for item in body.assignments
        if item.target.kind == "name"
        and item.target.bits is None
        and item.exact
        and NAMELESS.fullmatch(item.target.text)
    }
    widened = _widened(body)
    done: dict[str, Node] = {}

    def full(name: str) -> Node:
        """Value of a nameless wire with others moved into it."""
        if name not in done:
            done[name] = values[name].value
            done[name] = polished(expanded(values[name].value))
        return done[name]

    def moves(name: str) -> bool:
        if name not in values or text[name] > processes[name]:
            return False
        value, nodes = full(name), found.get(name, [])
        if value.kind == "name" or value_of(value) is not None:
            return True
        if any(node.bits for node in nodes) or (name in widened and not value.closed):
            return False
        nameless = sum(bool(NAMELESS.fullmatch(use.text)) for use in value.names())
        return len(str(value)) + _NAMED * nameless <= (LONGEST if len(nodes) + text[name] == 1 else SHORT)

    def expanded(node: Node) -> Node:
        return node.mapped(lambda use, _: _moved(use, full(use.text)) if moves(use.text) else use)

    for item in body.assignments:
        if item.target.text not in values:
            item.value = polished(expanded(item.value))
    for name, item in values.items():
        item.value = full(name)
    gone = {name for name in values if moves(name)}
    for pattern in _PLACES:
        body.map_text(
            lambda line, pattern=pattern: pattern.sub(  # type: ignore[misc]
                lambda m: m[0].replace(m[1], str(full(m[1]))) if m[1] in gone else m[0], line
            )
        )
    body.items = [item for item in body.items if isinstance(item, str) or item.target.text not in gone]


def _widened(body: Body) -> set[str]:
    """Signals with a use that its place extends: an operator put there would see wider operands."""
    found: set[str] = set()

    def note(use: Node, wide: int) -> Node:
        if use.width < wide:
            found.add(use.text)
        return use

    for item in body.assignments:
        item.value.mapped(note, item.target.width)
    return found


_PLACES = (re.compile(r"\bif \((_\d+_)\)"), re.compile(r"<= (_\d+_);"))
"""Where a process takes a value as a whole."""


def _moved(use: Node, value: Node) -> Node:
    if use.bits is None:
        return value
    piece = part(value, *use.bits)
    return use if piece is None else piece
