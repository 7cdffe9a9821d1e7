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
    memories are registers with a decoder here. At a placed module only bits count that it reads, or that are
    read of it. Of n possible changes of a module `scale` * sqrt(n) are drawn.
    """
    texts = verilog.hierarchy(top)
    for name, (_, text) in texts.items():
        (directory / f"{name}.v").write_text(text)
    targets = [module_name(kind) for kind in kinds]
    parameters = " ".join(f"-chparam {name} {8 * len(value)}'b{_bits(value)}"
                          for name, value in top.verilog_parameters.items())
    yosys.run([
        *(f"read_verilog -defer {name}.v" for name in texts),
        f"hierarchy -top {module_name(top.kind)} {parameters}",
        "proc", "pmuxtree", "opt_expr", "opt_clean", "memory -nomap",
        *(f"memory_map {target}" for target in targets), "opt_clean",
        *(f"{command} {target}" for target in targets for command in ("opt -full", "pmuxtree")),
        "write_rtlil design.il", "write_json design.json",
        *(f"mutate -list {_ALL} -seed {seed} -o {target}.txt {target}" for target in targets),
    ], directory)
    reading = Reading(json.loads((directory / "design.json").read_text())["modules"])
    chosen = [(kind, words) for kind in kinds
              for words in _draw(directory, module_name(kind), reading, scale, seed)]
    yosys.run([
        "read_rtlil design.il",
        *(" ".join([words[0], "-ctrl", SELECTOR, str(SELECTOR_BITS), str(n), *words[1:]])
          for n, (_, words) in enumerate(chosen, 1)),
        "opt_clean", f"write_verilog -noattr {DESIGN}",
    ], directory)
    return [Mutant(kind, _describe(words)) for kind, words in chosen]


def _bits(text: str) -> str:
    return "".join(f"{byte:08b}" for byte in text.encode())


class Reading:
    """Which bits at ports the logic behind them reads, in a design that Yosys wrote as JSON."""

    def __init__(self, modules: Mapping[str, Any]) -> None:
        self.modules = modules
        self.read = cache(self._read)

    def _read(self, module: str) -> set[int | str]:
        """Nets of a module that a cell reads or that leave it."""
        nets: set[int | str] = set()
        for port in self.modules[module]["ports"].values():
            if port["direction"] != "input":
                nets |= set(port["bits"])
        for cell in self.modules[module]["cells"].values():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "input":
                    nets |= {net for n, net in enumerate(bits) if self._inside(cell["type"], port, n)}
        return nets

    def _inside(self, kind: str, port: str, bit: int) -> bool:
        """Whether a cell reads this bit of an input."""
        return kind not in self.modules or self.modules[kind]["ports"][port]["bits"][bit] in self.read(kind)

    def counts(self, module: str, name: str, port: str, bit: int) -> bool:
        """Whether anything reads this bit at a cell of `module`."""
        cell = self.modules[module]["cells"][name]
        if cell["type"] not in self.modules:
            return True
        if cell["port_directions"][port] == "input":
            return self._inside(cell["type"], port, bit)
        return cell["connections"][port][bit] in self.read(module)


def _draw(directory: Path, module: str, reading: Reading, scale: float, seed: int) -> list[list[str]]:
    candidates = []
    for line in (directory / f"{module}.txt").read_text().splitlines():
        words = line.split()
        option = dict(pairwise(words))
        if option["-port"].lstrip("\\") not in _LEFT_OUT and reading.counts(
                module, option["-cell"].lstrip("\\"), option["-port"].lstrip("\\"), int(option["-portbit"])):
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
