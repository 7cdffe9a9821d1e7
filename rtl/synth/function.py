"""Boolean expressions of Liberty files: `function`, `next_state`, `when` and their kin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from sim.errors import InputError

_TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z_][\w.]*(?:\[\d+\])?)|(?P<symbol>[01!'^*&+|()]))")
_ATOM = re.compile(r"[\w(!]")


@dataclass(frozen=True)
class Expression:
    """An expression over pins.

    Attributes:
        operator: "pin", "0", "1", "!", "^", "&" or "|".
        pin: of operator "pin".
        operands: one of "!", two of the others.
    """

    operator: str
    pin: str = ""
    operands: tuple[Expression, ...] = ()

    @cached_property
    def pins(self) -> tuple[str, ...]:
        """Pins in order of appearance, each once."""
        if self.operator == "pin":
            return (self.pin,)
        return tuple(dict.fromkeys(pin for operand in self.operands for pin in operand.pins))

    def evaluate(self, values: Mapping[str, Any], ones: Any = 1) -> Any:
        """The value for given pins.

        Args:
            values: integers or integer arrays; each bit is a case of its own.
            ones: all bits that count, 1 for single bits.
        """
        match self.operator:
            case "pin":
                return values[self.pin]
            case "0":
                return ones ^ ones
            case "1":
                return ones
        found = [operand.evaluate(values, ones) for operand in self.operands]
        match self.operator:
            case "!":
                return found[0] ^ ones
            case "^":
                return found[0] ^ found[1]
            case "&":
                return found[0] & found[1]
        return found[0] | found[1]

    def truth(self, pins: tuple[str, ...]) -> tuple[int, ...]:
        """Values for all combinations of `pins`, the last one changing fastest."""
        return tuple(
            self.evaluate(dict(zip(pins, bits, strict=True))) for bits in product((0, 1), repeat=len(pins))
        )

    def verilog(self) -> str:
        """The same expression in Verilog."""
        match self.operator:
            case "pin":
                return self.pin
            case "0" | "1":
                return f"1'b{self.operator}"
            case "!":
                return f"~{self.operands[0].verilog()}"
        left, right = (operand.verilog() for operand in self.operands)
        return f"({left} {self.operator} {right})"


def parse(text: str) -> Expression:
    """Reads an expression; `'` and `!` bind tightest, then `^`, then `*`, `&` and blanks, then `+` and `|`.

    Raises:
        InputError: it is not one.
    """
    parser = _Parser(text)
    found = parser.sums()
    if parser.rest():
        raise parser.error()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def rest(self) -> str:
        return self.text[self.at :].lstrip()

    def error(self) -> InputError:
        return InputError(
            "function",
            self.text,
            f"cannot be read from {self.rest()[:10]!r} on",
            "write it with pins, 0, 1, ! ' ^ * & + | and parentheses",
        )

    def take(self, symbols: str) -> bool:
        rest = self.rest()
        if not rest or rest[0] not in symbols:
            return False
        self.at = len(self.text) - len(rest) + 1
        return True

    def sums(self) -> Expression:
        found = self.products()
        while self.take("+|"):
            found = Expression("|", operands=(found, self.products()))
        return found

    def products(self) -> Expression:
        found = self.differences()
        while self.take("*&") or _ATOM.match(self.rest()):
            found = Expression("&", operands=(found, self.differences()))
        return found

    def differences(self) -> Expression:
        found = self.inversions()
        while self.take("^"):
            found = Expression("^", operands=(found, self.inversions()))
        return found

    def inversions(self) -> Expression:
        if self.take("!"):
            return Expression("!", operands=(self.inversions(),))
        found = self.atom()
        while self.take("'"):
            found = Expression("!", operands=(found,))
        return found

    def atom(self) -> Expression:
        if self.take("("):
            found = self.sums()
            if not self.take(")"):
                raise self.error()
            return found
        match = _TOKEN.match(self.text, self.at)
        if match is None or (match["symbol"] or "0") not in "01":
            raise self.error()
        self.at = match.end()
        return Expression("pin", pin=match["name"]) if match["name"] else Expression(match["symbol"])
