"""All mutants of some components in one design, chosen by an input."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

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
    memories are registers with a decoder here. Of n possible changes of a module `scale` * sqrt(n) are drawn.
    """
    texts = verilog.hierarchy(top)
    for name, (_, text) in texts.items():
        (directory / f"{name}.v").write_text(text)
    targets = [module_name(kind) for kind in kinds]
    yosys.run([
        *(f"read_verilog {name}.v" for name in texts), f"hierarchy -top {module_name(top.kind)}",
        "proc", "pmuxtree", "opt_expr", "opt_clean", "memory -nomap",
        *(f"memory_map {target}" for target in targets), "opt_clean",
        *(f"{command} {target}" for target in targets for command in ("opt -full", "pmuxtree")),
        "write_rtlil design.il",
        *(f"mutate -list {_ALL} -seed {seed} -o {target}.txt {target}" for target in targets),
    ], directory)
    chosen = [(kind, words) for kind in kinds
              for words in _draw(directory / f"{module_name(kind)}.txt", scale, seed)]
    yosys.run([
        "read_rtlil design.il",
        *(" ".join([words[0], "-ctrl", SELECTOR, str(SELECTOR_BITS), str(n), *words[1:]])
          for n, (_, words) in enumerate(chosen, 1)),
        "opt_clean", f"write_verilog -noattr {DESIGN}",
    ], directory)
    return [Mutant(kind, _describe(words)) for kind, words in chosen]


def _draw(listed: Path, scale: float, seed: int) -> list[list[str]]:
    candidates = [line.split() for line in listed.read_text().splitlines()]
    candidates = [words for words in candidates if words[words.index("-port") + 1] not in _LEFT_OUT]
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
