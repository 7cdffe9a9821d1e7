"""Constant memories of an export: words in files that `$readmemh` reads, in place of a line each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from rtl import verilog
from rtl.block import module_name
from rtl.weights.mask_decoder import MaskDecoder
from sim.accelerator import Accelerator

_LINES = re.compile(r"^  initial begin\n((?:    \w+\[\d+\] = \d+'h[0-9a-f]+;\n)+)  end\n", re.M)
_WORD = re.compile(r"    (\w+)\[(\d+)\] = (\d+)'h([0-9a-f]+);")
_READ = re.compile(r'^  initial \$readmemh\("(\w+\.hex)", (\w+), 0, \d+\);\n', re.M)
LEAST = 32
"""Words that are worth a file."""


def apart(sources: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Verilog by file name without its tables, and these by file name."""
    files: dict[str, str] = {}
    texts: dict[str, str] = {}
    for file, text in sources.items():
        texts[file] = text
        for found in _LINES.finditer(text):
            words = _WORD.findall(found[1])
            memory = words[0][0]
            in_order = [int(place) for _, place, _, _ in words] == list(range(len(words)))
            if len(words) < LEAST or not in_order or {name for name, *_ in words} != {memory}:
                continue
            name = f"{file.removesuffix('.v')}_{memory}.hex"
            files[name] = "".join(f"{digits}\n" for *_, digits in words)
            # Which word comes first in `memory [31:0]` depends on the year of the standard, unless it is said.
            read = f'  initial $readmemh("{name}", {memory}, 0, {len(words) - 1});\n'
            texts[file] = texts[file].replace(found[0], read)
    return texts, files


def files(accelerator: Accelerator) -> dict[str, str]:
    """The tables of an accelerator's export, by file name, for whoever runs its Verilog from another directory."""
    if not accelerator.weights.masks:
        return {}
    block = MaskDecoder(keep=accelerator.keep, group=accelerator.group)
    return apart({f"{module_name(block.kind)}.v": verilog.hierarchy(block)[block.kind][1]})[1]


def together(text: str, directory: Path) -> str:
    """A module with the tables that it reads from files beside it in itself; one that is missing stays out."""

    def inlined(found: re.Match[str]) -> str:
        path = directory / found[1]
        if not path.is_file():
            return found[0]
        words = path.read_text(encoding="utf-8").split()
        lines = "".join(f"    {found[2]}[{n}] = {4 * len(word)}'h{word};\n" for n, word in enumerate(words))
        return f"  initial begin\n{lines}  end\n"

    return _READ.sub(inlined, text)
