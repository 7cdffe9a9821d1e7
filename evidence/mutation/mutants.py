"""All mutants of some components in one design, chosen by an input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rtl import verilog, yosys
from rtl.block import Block, module_name

SELECTOR = "mutant"
SELECTOR_BITS = 16
DESIGN = "mutated.v"


class Mutant(NamedTuple):
    """The changed module, and what the change is."""

    kind: str
    change: str


def build(top: Block, kinds: Sequence[str], scale: float, seed: int, directory: Path) -> list[Mutant]:
    """Writes `mutated.v`: the Verilog of `top` with changed gates in the modules `kinds`.

    Value n of the input `mutant` of `top` puts change n in, from 1 on; 0 is the unchanged design. Changes are
    inverted, stuck and swapped bits of the ports of gates, arithmetic units, multiplexers and registers;
    memories are registers with a decoder here. Of n possible changes of a module, those of bits that reach an
    output or a placed module, `scale` * sqrt(n) are drawn.
    """
    texts = verilog.hierarchy(top)
    for name, (_, text) in texts.items():
        (directory / f"{name}.v").write_text(text)
    targets = [module_name(kind) for kind in kinds]
    parameters = " ".join(
        f"-chparam {name} {8 * len(value)}'b{_bits(value)}" for name, value in top.verilog_parameters.items()
    )
    yosys.run(
        [
            *(f"read_verilog -defer {name}.v" for name in texts),
            f"hierarchy -top {module_name(top.kind)} {parameters}",
            "proc",
            "pmuxtree",
            "opt_expr",
            "opt_clean",
            "memory -nomap",
            *(f"memory_map {target}" for target in targets),
            "opt_clean",
            *(f"{command} {target}" for target in targets for command in ("opt -full", "pmuxtree")),
            "write_rtlil design.il",
            "write_json design.json",
            *(f"mutate -list {_ALL} -seed {seed} -o {target}.txt {target}" for target in targets),
        ],
        directory,
    )
    reach = Reach(json.loads((directory / "design.json").read_text())["modules"])
    chosen = [
        (kind, words) for kind in kinds for words in _draw(directory, module_name(kind), reach, scale, seed)
    ]
    yosys.run(
        [
            "read_rtlil design.il",
            *(
                " ".join([words[0], "-ctrl", SELECTOR, str(SELECTOR_BITS), str(n), *words[1:]])
                for n, (_, words) in enumerate(chosen, 1)
            ),
            "opt_clean",
            f"write_verilog -noattr {DESIGN}",
        ],
        directory,
    )
    return [Mutant(kind, _describe(words)) for kind, words in chosen]


def _bits(text: str) -> str:
    return "".join(f"{byte:08b}" for byte in text.encode())


class Reach:
    """Which bits reach an output of their module, or a placed one, in a design that Yosys wrote as JSON.

    What does not is logic that synthesis drops: the packet fields that a component does not read, the high
    bits of a sum.
    """

    def __init__(self, modules: Mapping[str, Any]) -> None:
        self._modules = modules
        self._live = cache(self._nets)

    def counts(self, module: str, name: str, port: str, bit: int) -> bool:
        """Whether a change of this bit at a cell of `module` can be seen."""
        cell = self._modules[module]["cells"][name]
        if cell["port_directions"][port] == "output":
            return cell["connections"][port][bit] in self._live(module)
        if cell["type"] in self._modules:
            return self._inside(cell["type"], port, bit)
        return any(net in self._live(module) for net in _influenced(cell, port, bit))

    def _inside(self, kind: str, port: str, bit: int) -> bool:
        """Whether a placed module reads this bit of an input."""
        return self._modules[kind]["ports"][port]["bits"][bit] in self._live(kind)

    def _nets(self, module: str) -> set[int | str]:
        """Nets of a module that count, from what leaves it backwards."""
        sources: dict[int | str, set[int | str]] = {}
        pending: list[int | str] = []
        for port in self._modules[module]["ports"].values():
            if port["direction"] == "output":
                pending += port["bits"]
        for cell in self._modules[module]["cells"].values():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    continue
                for bit, net in enumerate(bits):
                    if cell["type"] not in self._modules:
                        for changed in _influenced(cell, port, bit):
                            sources.setdefault(changed, set()).add(net)
                    elif self._inside(cell["type"], port, bit):
                        pending.append(net)
        live: set[int | str] = set()
        while pending:
            net = pending.pop()
            if net not in live:
                live.add(net)
                pending += sources.get(net, ())
        return live


def _influenced(cell: Mapping[str, Any], port: str, bit: int) -> list[int | str]:
    """Outputs that depend on a bit at an input of a gate."""
    connections = cell["connections"]
    if port == "D" and "Q" in connections:
        return connections["Q"][bit : bit + 1]
    if cell["type"] == "$mux" and port != "S":
        return connections["Y"][bit : bit + 1]
    if cell["type"] in ("$add", "$sub", "$mul"):
        return connections["Y"][bit:]
    return [
        net for name, bits in connections.items() if cell["port_directions"][name] == "output" for net in bits
    ]


def _draw(directory: Path, module: str, reach: Reach, scale: float, seed: int) -> list[list[str]]:
    candidates = []
    for line in (directory / f"{module}.txt").read_text().splitlines():
        words = line.split()
        option = dict(pairwise(words))
        if option["-port"].lstrip("\\") not in _LEFT_OUT and reach.counts(
            module, option["-cell"].lstrip("\\"), option["-port"].lstrip("\\"), int(option["-portbit"])
        ):
            candidates.append(words)
    count = min(len(candidates), round(scale * len(candidates) ** 0.5))
    drawn = np.random.default_rng(seed).choice(len(candidates), count, replace=False)
    return [candidates[n] for n in np.sort(drawn)]


_ALL = 1_000_000
"""Yosys' own choice of a number does not end for some modules."""
_LEFT_OUT = ("Q", "CLK", "clk")
"""A changed clock is no synchronous design; a changed Q of a register has no initial value."""


def _describe(words: Sequence[str]) -> str:
    option = dict(pairwise(words))
    name = option["-cell"].lstrip("\\")
    text = f"{option['-mode']} {name} {option['-port']}[{option['-portbit']}]"
    if "-ctrlbit" in option:
        text += f" by [{option['-ctrlbit']}]"
    if "-wire" in option:
        text += f" ({option['-wire']}[{option['-wirebit']}])"
    return text
