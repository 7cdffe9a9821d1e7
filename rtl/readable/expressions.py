"""Verilog expressions as trees, with the width of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby

_TOKEN = re.compile(
    r"\s*(?P<token>\$(?:un)?signed\b|\\\S+ |\d+'s?[hbd][0-9a-fA-FxXzZ?_]+|\d+|[A-Za-z_][\w$]*"
    r"|<<<|>>>|==|!=|<=|>=|<<|>>|&&|\|\||~\^|[-+*&|^~!<>?:(){}\[\],])"
)
RINGS = frozenset(("+", "-", "*", "&", "|", "^", "~^"))
"""Binary operators whose low bits depend on the low bits of their operands alone."""
COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))
_SHIFTS = frozenset(("<<", ">>", "<<<", ">>>"))
_REDUCTIONS = frozenset(("&", "|", "^", "~^"))
_MIXED = frozenset(("+", "&", "|", "^"))
"""Operators that need no brackets among themselves, where all operands are of one width."""
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


@dataclass(frozen=True)
class Node:
    """An expression.

    Attributes:
        kind: "name", "constant", "join", "call", "index", "choice", "unary" or "binary".
        width: bits of its value where nothing around it is wider.
        text: name, digits, or operator.
        bits: of a name, the part that is taken: highest and lowest; None for all.
        wraps: it has no digits to widen or an operand with a sign: its value depends on what is around it.
    """

    kind: str
    width: int
    text: str = ""
    args: tuple[Node, ...] = ()
    bits: tuple[int, int] | None = None
    wraps: bool = False

    @property
    def primary(self) -> bool:
        return self.kind not in ("choice", "unary", "binary")

    def names(self) -> Iterator[Node]:
        """Every use of a signal below."""
        if self.kind in ("name", "index"):
            yield self
        for arg in self.args:
            yield from arg.names()

    def renamed(self, names: Mapping[str, str]) -> Node:
        """The same with other names of signals and functions."""
        args = tuple(arg.renamed(names) for arg in self.args)
        text = names.get(self.text, self.text) if self.kind in ("name", "index", "call") else self.text
        return replace(self, text=text, args=args)

    def mapped(self, change: Callable[[Node, int], Node], around: int = 0) -> Node:
        """The same tree with each use of a signal changed.

        Args:
            change: of a use and the bits in which its place evaluates it.
            around: bits of the place of this node, if more than its own.
        """
        wide = max(around, self.width)
        if self.kind == "name":
            return change(self, wide)
        inner = [arg.width for arg in self.args]
        if self.kind == "binary" and self.text in COMPARISONS:
            inner = [max(inner)] * 2
        elif self.kind == "binary" and self.text in _SHIFTS:
            inner[0] = wide
        elif self.kind == "choice":
            inner[1:] = [wide] * 2
        elif (self.kind == "binary" and self.text in RINGS) or (
            self.kind == "unary" and self.text in ("~", "-")
        ):
            inner = [wide] * len(inner)
        args = tuple(arg.mapped(change, width) for arg, width in zip(self.args, inner, strict=True))
        return self if args == self.args else replace(self, args=args)

    @property
    def closed(self) -> bool:
        """Whether its value does not depend on the bits of its place."""
        if self.kind in ("binary", "unary"):
            return self.text in COMPARISONS | {"&&", "||", "!"} or (
                self.kind == "unary" and self.text in _REDUCTIONS
            )
        return self.kind != "choice"

    def __str__(self) -> str:
        match self.kind:
            case "name":
                return _sliced(self)
            case "constant":
                return f"{self.width}'h{self.text}"
            case "join":
                runs = [(str(piece), len([*same])) for piece, same in groupby(self.args)]
                parts = [f"{{{count}{{{piece}}}}}" if count > 1 else piece for piece, count in runs]
                return parts[0] if len(parts) == 1 and parts[0][0] == "{" else f"{{ {', '.join(parts)} }}"
            case "call":
                return f"{self.text}({', '.join(map(str, self.args))})"
            case "index":
                return f"{self.text}[{self.args[0]}]"
            case "unary":
                return f"{self.text}{_enclosed(self.args[0])}"
            case "choice":
                condition, yes, no = self.args
                rest = str(no) if no.kind == "choice" else _enclosed(no)
                return f"{_enclosed(condition)} ? {_enclosed(yes)} : {rest}"
        left, right = self.args
        sides = [
            str(side)
            if self.text in _MIXED and (side.kind, side.text) == ("binary", self.text)
            else _enclosed(side)
            for side in (left, right)
        ]
        return f"{sides[0]} {self.text} {sides[1]}"


def _sliced(node: Node) -> str:
    if node.bits is None:
        return node.text
    high, low = node.bits
    return f"{node.text}[{high}]" if high == low else f"{node.text}[{high}:{low}]"


def _enclosed(node: Node) -> str:
    bare = node.primary or (node.kind == "unary" and node.text in ("~", "!"))
    return str(node) if bare else f"({node})"


def constant(value: int, width: int) -> Node:
    return Node("constant", width, f"{value:x}")


def value_of(node: Node) -> int | None:
    """Of a constant without unknown bits; None for anything else."""
    return int(node.text, 16) if node.kind == "constant" and "x" not in node.text else None


def part(node: Node, high: int, low: int) -> Node | None:
    """Bits of a name, a constant or a concatenation; None where they cannot be named."""
    if high - low + 1 == node.width:
        return node
    width = high - low + 1
    if node.kind == "name":
        base = node.bits[1] if node.bits else 0
        return replace(node, width=width, bits=(base + high, base + low))
    value = value_of(node)
    if value is not None:
        return constant(value >> low & (1 << width) - 1, width)
    if node.kind != "join":
        return None
    found: list[Node] = []
    at = node.width
    for arg in node.args:
        at -= arg.width
        top, bottom = min(high - at, arg.width - 1), max(low - at, 0)
        if top >= bottom:
            piece = part(arg, top, bottom)
            if piece is None:
                return None
            found.append(piece)
    return join(*found)


def join(*parts: Node) -> Node:
    """Concatenation, highest first."""
    flat: list[Node] = []
    for piece in (inner for one in parts for inner in (one.args if one.kind == "join" else (one,))):
        below, above = value_of(piece), value_of(flat[-1]) if flat else None
        if below is None or above is None:
            flat.append(piece)
        else:
            flat[-1] = constant(above << piece.width | below, flat[-1].width + piece.width)
    return flat[0] if len(flat) == 1 else Node("join", sum(piece.width for piece in flat), args=tuple(flat))


def fitted(node: Node, width: int) -> Node | None:
    """An unsigned value in `width` bits, zeros above or cut; None where it cannot be written so."""
    if node.width == width:
        return None if node.wraps else node
    if node.wraps:
        return None
    if node.width > width:
        return part(node, width - 1, 0)
    value = value_of(node)
    if value is not None:
        return constant(value, width)
    return join(constant(0, width - node.width), node)


class Reader:
    """Reads expressions of a module.

    Args:
        widths: bits by name of every signal.
        functions: bits of the result by name.
        memories: bits of a word by name.
    """

    def __init__(
        self, widths: Mapping[str, int], functions: Mapping[str, int], memories: Mapping[str, int]
    ) -> None:
        self._widths, self._functions, self._memories = widths, functions, memories
        self._tokens: list[str] = []

    def read(self, text: str) -> Node | None:
        """The tree; None for what it does not know."""
        self._tokens = _TOKEN.findall(text)
        if "".join(self._tokens).replace(" ", "") != text.replace(" ", ""):
            return None
        self._tokens.reverse()
        try:
            node = self._expression()
        except (IndexError, KeyError, ValueError):
            return None
        return None if self._tokens else node

    def _next(self, expected: str = "") -> str:
        token = self._tokens.pop()
        if expected and token != expected:
            raise ValueError(token)
        return token

    def _peek(self) -> str:
        return self._tokens[-1] if self._tokens else ""

    def _expression(self) -> Node:
        left = self._primary()
        token = self._peek()
        if token == "?":
            self._next()
            yes = self._primary()
            self._next(":")
            no = self._primary()
            return Node("choice", max(yes.width, no.width), args=(left, yes, no), wraps=yes.wraps or no.wraps)
        if token in RINGS | COMPARISONS | _SHIFTS | {"&&", "||"}:
            self._next()
            return binary(token, left, self._primary())
        return left

    def _primary(self) -> Node:
        token = self._next()
        if token in ("~", "-", "!", "&", "|", "^", "~^"):
            inner = self._primary()
            reduces = token == "!" or token in _REDUCTIONS
            return Node(
                "unary", 1 if reduces else inner.width, token, (inner,), wraps=inner.wraps and not reduces
            )
        if token == "{":
            return self._concatenation()
        if token[0].isdigit():
            size, digits = token.split("'")
            if digits[0] == "d":  # Yosys writes integers so
                digits = f"h{int(digits[1:]):x}"
            if digits[0] != "h":
                raise ValueError(token)
            return Node("constant", int(size), digits[1:].lstrip("0") or "0")
        if token in ("$signed", "$unsigned"):
            self._next("(")
            inner = self._expression()
            self._next(")")
            return Node("call", inner.width, token, (inner,), wraps=token == "$signed")
        return self._signal(token.strip() + (" " if token[0] == "\\" else ""))

    def _concatenation(self) -> Node:
        parts = [self._expression()]
        if self._peek() == "{":
            raise ValueError("repetition")
        while self._next() == ",":
            parts.append(self._expression())
        return join(*parts)

    def _signal(self, name: str) -> Node:
        token = self._peek()
        if token == "(":
            self._next()
            args = [self._expression()]
            while self._next() == ",":
                args.append(self._expression())
            return Node("call", self._functions[name], name, tuple(args))
        if token != "[":
            return Node("name", self._widths[name], name)
        self._next()
        if not self._peek().isdigit():
            place = self._expression()
            self._next("]")
            return Node("index", self._memories.get(name, 1), name, (place,))
        high = low = int(self._next())
        if self._next() == ":":
            low = int(self._next())
            self._next("]")
        if name in self._memories:
            raise ValueError(name)
        return Node("name", high - low + 1, name, bits=(high, low))


def binary(operator: str, left: Node, right: Node) -> Node:
    if operator in COMPARISONS or operator in ("&&", "||"):
        return Node("binary", 1, operator, (left, right))
    if operator in _SHIFTS:
        return Node("binary", left.width, operator, (left, right), wraps=left.wraps or operator == ">>>")
    return Node(
        "binary", max(left.width, right.width), operator, (left, right), wraps=left.wraps or right.wraps
    )


def polished(node: Node) -> Node:
    """Without a negation of a comparison or of another negation."""
    node = replace(node, args=tuple(map(polished, node.args)))
    if (node.kind, node.text) == ("unary", "~"):
        inner = node.args[0]
        if (inner.kind, inner.text) == ("unary", "~"):
            return inner.args[0]
        if inner.kind == "binary" and inner.text in _OPPOSITE:
            return replace(inner, text=_OPPOSITE[inner.text])
    return node


def calls(node: Node) -> Iterator[str]:
    """Functions that an expression calls."""
    if node.kind == "call" and not node.text.startswith("$"):
        yield node.text
    for arg in node.args:
        yield from calls(arg)
