"""Verilog of the core: one readable module for each kind of component, one file each."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from functools import cache
from pathlib import Path

from amaranth.back import rtlil

from rtl import yosys
from rtl.block import Block, collect, module_name
from rtl.core import Core
from sim.accelerator import Accelerator
from sim.errors import InputError

TOP = module_name(Core.kind)

_WAIVERS = (
    ("PROCASSINIT", "a register's initial value is its reset value"),
    ("WIDTHEXPAND", "narrower operands extend by the rules of Verilog"),
    ("WIDTHTRUNC", "`!` of a vector asks whether it is zero"),
    ("UNUSEDSIGNAL", "instances leave outputs open; sums drop the carry where they wrap"),
    ("CASEOVERLAP", "selectors of a decoded case are one-hot"),
)


def export(accelerator: Accelerator, directory: str | Path) -> list[Path]:
    """Writes the Verilog of an accelerator's core and `lint.vlt` for Verilator.

    The files appear together: a run that fails leaves the last export as it was.

    Returns:
        The Verilog files, top module first.

    Raises:
        InputError: the directory holds files that are not an export's.
    """
    directory = Path(directory)
    _check_target(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    texts = modules(accelerator)
    staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        for name, text in texts.items():
            (staging / f"{name}.v").write_text(text)
        (staging / "lint.vlt").write_text(_lint())
        staging.chmod(0o755)
        if directory.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
            directory.rename(old / "old")
            staging.rename(directory)
            shutil.rmtree(old)
        else:
            staging.rename(directory)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return [directory / f"{name}.v" for name in texts]


def _check_target(directory: Path) -> None:
    """An export replaces its directory; it must not take other files with it."""
    if not directory.exists():
        return
    strange = [path.name for path in directory.iterdir()
               if path.name != "lint.vlt" and path.suffix != ".v"] if directory.is_dir() else ["."]
    if strange:
        raise InputError("directory", str(directory), f"holds {strange[0]!r}, which is no export's",
                         "give a new or empty directory")


@cache
def modules(accelerator: Accelerator) -> dict[str, str]:
    """Verilog text by module name, top module first."""
    return {module_name(kind): _header(block, accelerator) + text
            for kind, (block, text) in hierarchy(Core(accelerator=accelerator)).items()}


def hierarchy(top: Block) -> dict[str, tuple[Block, str]]:
    """One block of each kind below `top`, by kind, with its Verilog; `top` first."""
    blocks: dict[str, Block] = {}
    intermediate: dict[str, str] = {}
    with collect() as found:
        pending = [top]
        while pending:
            block = pending.pop(0)
            for port in block.signature.members:
                getattr(block, port).name = port
            blocks[block.kind] = block
            intermediate[block.kind] = rtlil.convert(block, name=module_name(block.kind),
                                                     emit_src=False)
            pending = [new for kind, new in found.items() if kind not in blocks]
    texts = _verilog(intermediate)
    return {kind: (block, texts[kind]) for kind, block in blocks.items()}


def _verilog(intermediate: dict[str, str]) -> dict[str, str]:
    """Verilog text of RTLIL modules by kind."""
    with tempfile.TemporaryDirectory() as scratch:
        for kind, text in intermediate.items():
            Path(scratch, f"{kind}.il").write_text(text)
        passes = ["proc", "opt_expr", "opt_clean", "opt_dff", "memory_collect", "opt_clean -purge"]
        script = [*(f"read_rtlil {kind}.il" for kind in intermediate), *passes]
        for kind in intermediate:
            script += [f"select {module_name(kind)}", f"write_verilog -noattr -selected {kind}.v",
                       "select -clear"]
        yosys.run(script, Path(scratch))
        return {kind: _tidy(Path(scratch, f"{kind}.v").read_text()) for kind in intermediate}


def _tidy(text: str) -> str:
    """Drops the generator's banner and the second declaration of each port."""
    lines = text.splitlines()
    lines = lines[next(n for n, line in enumerate(lines) if line.startswith("module ")):]
    kept, port = [], ""
    for line in lines:
        words = line.split()
        if words[:1] == ["wire"] and words[1:] == port.split()[1:]:
            continue
        port = line if words[:1] in (["input"], ["output"]) else ""
        kept.append(line)
    return "\n".join(kept).rstrip() + "\n"


def _header(block: Block, acc: Accelerator) -> str:
    tile = f"tiles {acc.tile_rows} x {acc.tile_columns}"
    if acc.sparse_tile:
        tile += f" with {acc.multipliers_per_codeword} multipliers a row"
    weights = {
        "dense": "dense INT8",
        "codebook": f"codebook k = {acc.codebook_entries}, d = {acc.codeword_length}",
        "masked": f"codebook k = {acc.codebook_entries}, d = {acc.codeword_length}, "
                  f"mask {acc.keep}:{acc.group}",
    }[acc.loader]
    configuration = (
        f"Configuration: {acc.name}, {acc.rows} x {acc.columns}, {tile}, {weights}, "
        f"WRF {acc.wrf_depth}, PRF {acc.prf_depth}, weight port {acc.weight_port_bits} bits.")
    contract = inspect.cleandoc(type(block).__doc__ or "").splitlines()
    lines = [f"{module_name(block.kind)}: {contract[0]}", *contract[1:], "", configuration]
    return "".join(f"// {line}".rstrip() + "\n" for line in lines) + "\n"


def _lint() -> str:
    lines = ["`verilator_config"]
    for rule, reason in _WAIVERS:
        lines += [f"// {reason}", f"lint_off -rule {rule}"]
    return "\n".join(lines) + "\n"
