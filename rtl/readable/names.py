"""Names for the wires that remain: of the register they feed, the port they drive, or what they compute."""

from __future__ import annotations

import re
from collections.abc import Callable

from rtl.readable.expressions import Node, calls, value_of
from rtl.readable.module import NAMELESS, Body, rename

_OPERATORS = {
    "+": "plus",
    "-": "minus",
    "*": "times",
    "&": "and",
    "|": "or",
    "^": "xor",
    "~^": "xnor",
    "==": "is",
    "!=": "is_not",
    "<": "below",
    "<=": "to",
    ">": "above",
    ">=": "from",
    "<<": "up",
    ">>": "down",
    ">>>": "down",
    "&&": "and",
    "||": "or",
}
_UNARY = {"~": "not", "!": "no", "-": "minus", "|": "any", "&": "all", "^": "parity", "~^": "even"}
_NEXT = re.compile(r"(\S+) +<= ([^;]*);")
_CONDITION = re.compile(r"if \((_\d+_)\) (\S+)")
_READ = re.compile(r"(_\d+_) <= (\w+)\[")
_INSTANCE = re.compile(r"  \w+ (?:#\(.*?\) )?(\S+) +\(")
_CONNECTION = re.compile(r"\.\\?(\w+) ?\(.*?(_\d+_)")
LONGEST = 36
"""Characters of a name that says what a wire holds."""
SHORT = 24
"""The same where a wire has but one reader, whose name does otherwise."""


def name_all(body: Body) -> None:
    """Gives every nameless signal a name, and plain ones to escaped names."""
    rename(body, plain_names(body))
    _name_aliases(body)
    rename(body, _found(body))


def plain_names(body: Body) -> dict[str, str]:
    """`\\fetch.valid `, `\\origin$19 `: a dot divides words; a number tells a register from the port it feeds."""
    names, taken = {}, {*body.signals}
    for name, signal in body.signals.items():
        if name[0] != "\\" or signal.direction:
            continue
        # Amaranth does not name the write port of a memory.
        plain = name[1:].strip().replace("$signature__", "write.")
        base, _, number = plain.partition("$")
        suffix = "_now" if number and signal.register else f"_{number}" if number else ""
        # What is escaped without need is a keyword.
        wanted = f"{base}_" if plain.isidentifier() else base + suffix
        names[name] = _free(re.sub(r"\W", "_", wanted), taken)
        taken.add(names[name])
    return names


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}_{number}", number + 1
    return name


def _name_aliases(body: Body) -> None:
    """`assign named = _12_` gives `_12_` that name."""
    names: dict[str, str] = {}
    registers = {name for name, signal in body.signals.items() if signal.register}
    for item in list(body.assignments):
        target, value = item.target, item.value
        whole = target.kind == value.kind == "name" and target.bits is None and value.bits is None
        same = whole and body.signals[target.text].width == body.signals[value.text].width
        if (
            same
            and NAMELESS.fullmatch(value.text)
            and value.text not in names
            and value.text not in registers
        ):
            names[value.text] = target.text
            body.items.remove(item)
    rename(body, names)


def _found(body: Body) -> dict[str, str]:
    """A name for each nameless signal and function."""
    wanted: dict[str, tuple[str, str]] = {}
    for item in body.items:
        if isinstance(item, str):
            for name, of, suffix in _from_text(item):
                wanted.setdefault(name, (of, suffix))
    readers: dict[str, list[str]] = {}
    values: dict[str, Node] = {}
    for assignment in body.assignments:
        target = (assignment.target.args or (assignment.target,))[0].text
        values[target] = assignment.value
        for name in (*(use.text for use in assignment.value.names()), *calls(assignment.value)):
            readers.setdefault(name, []).append(target)
    names: dict[str, str] = {}
    taken = {*body.signals}

    def name_of(old: str) -> str:
        if not NAMELESS.fullmatch(old):
            return _base(old)
        if old not in names:
            names[old] = ""  # its reader may be read by it in turn
            names[old] = _free(choose(old), taken)
            taken.add(names[old])
        return names[old] or "value"

    def choose(old: str) -> str:
        said = _said(values[old], name_of) if old in values else ""
        users = readers.get(old, [])
        if old in wanted:
            of, suffix = wanted[old]
            return f"{name_of(of)}_{suffix}"
        if said and len(said) <= LONGEST and (len(users) != 1 or len(said) <= SHORT):
            return said if said[0].isalpha() else f"value_{said}"
        return f"{name_of(users[0])}_part" if users else "value"

    for name in [*body.signals, *wanted, *readers]:
        if NAMELESS.fullmatch(name):
            name_of(name)
    return names


def _from_text(text: str) -> list[tuple[str, str, str]]:
    """What a process or an instance says of nameless signals: each one, of what it is what."""
    found = [
        (name, register.partition("[")[0], "next")
        for register, value in _NEXT.findall(text)
        for name in NAMELESS.findall(value)
    ]
    found += [(name, memory, "read") for name, memory in _READ.findall(text)]
    found += [(name, register.partition("[")[0], "changes") for name, register in _CONDITION.findall(text)]
    instance = _INSTANCE.match(text)
    if instance:
        found += [(name, instance[1].strip(), port) for port, name in _CONNECTION.findall(text)]
    return [one for one in found if NAMELESS.fullmatch(one[0])]


def _base(register: str) -> str:
    return re.sub(r"\W", "_", register.partition("[")[0].strip("\\ "))


def _said(node: Node, name_of: Callable[[str], str]) -> str:
    """An expression in words."""

    def said(inner: Node) -> str:
        return _said(inner, name_of)

    match node.kind:
        case "name":
            base = name_of(node.text)
            if node.bits is None:
                return base
            high, low = node.bits
            return f"{base}_{high}" if high == low else f"{base}_{high}_{low}"
        case "constant":
            value = value_of(node)
            return "unknown" if value is None else str(value)
        case "index":
            return f"{name_of(node.text)}_at_{said(node.args[0])}"
        case "call":
            return said(node.args[-1])
        case "join":
            kept = [arg for arg in node.args if arg.kind != "constant"] or [*node.args]
            return said(kept[0]) if len(kept) == 1 else "_with_".join(map(said, kept))
        case "choice":
            kept = [arm for arm in node.args[1:] if arm.kind != "constant"]
            return "_or_".join(map(said, kept or node.args[1:]))
        case "unary":
            return f"{_UNARY[node.text]}_{said(node.args[0])}"
    return f"_{_OPERATORS[node.text]}_".join(map(said, node.args))
