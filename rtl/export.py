"""A directory for hardware people: Verilog, memory contents, FuseSoC core, IP-XACT, registers, constraints, waivers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from rtl import ipxact, owned, tables, upf, verilog, zynq
from rtl.bus import register_map, register_text
from rtl.control.counters import COUNTERS
from rtl.synth import timing
from rtl.waivers import waivers
from rtl.weights import rom
from sim.accelerator import Accelerator
from sim.errors import InputError


def export(
    accelerator: Accelerator,
    directory: str | Path,
    *,
    codebook: np.ndarray | None = None,
    force: bool = False,
) -> list[Path]:
    """Writes everything that a synthesis or simulation flow needs of an accelerator.

    Other files of the directory stay as they are (`rtl.owned`): a run that fails leaves the last export.

    Args:
        codebook: contents of the codebook ROM, int8 [k, d]; a machine with one needs them.
        force: replace files that were edited since the last export.

    Returns:
        The Verilog files, top module first.

    Raises:
        InputError: a file of the user is in the way, or the RTL does not have the machine.
    """
    texts = files(accelerator, codebook)
    owned.write(directory, texts, machine=accelerator.model_dump(mode="json"), force=force)
    return [Path(directory) / f"{name}.v" for name in verilog.modules(accelerator)]


def files(accelerator: Accelerator, codebook: np.ndarray | None = None) -> dict[str, str]:
    """Text of every file of an export by name, Verilog first and the top module first of all.

    Raises:
        InputError: a ROM without contents, or contents for a machine without one.
    """
    has_rom = accelerator.weights.universal
    if has_rom and codebook is None:
        raise InputError(
            "codebook", None, "the ROM needs its contents", "give a network with a universal codebook"
        )
    if codebook is not None and not has_rom:
        raise InputError(
            "codebook",
            list(codebook.shape),
            f"{accelerator.name} has no codebook ROM",
            "leave the network out, or choose a rom machine",
        )
    sources, contents = tables.apart(
        {f"{name}.v": text for name, text in verilog.modules(accelerator).items()}
    )
    contents |= rom.init_files(accelerator, codebook) if has_rom else {}
    registers = register_map.register_map(accelerator, COUNTERS)
    return (
        sources
        | contents
        | {
            "lint.vlt": waivers(sources),
            "registers.md": register_text.markdown(registers),
            "codeword_registers.h": register_text.header(registers),
            "codeword.core": _fusesoc(accelerator, list(sources), list(contents)),
            "codeword.xml": ipxact.component(
                accelerator.name, sources, registers, accelerator.address_bits, contents
            ),
            **zynq.files(sources),
            "codeword.upf": upf.power_intent(sources),
            "codeword.sdc": _constraints(accelerator, sources[f"{verilog.TOP}.v"]),
        }
    )


def _constraints(accelerator: Accelerator, top: str) -> str:
    inputs = [port.name for port in verilog.ports(top) if port.direction == "input"]
    period_ns = f"{1e9 / accelerator.clock_hz:.4f}"
    return timing.SDC.format(period_ns=period_ns, inputs=" ".join(port for port in inputs if port != "clk"))


def _fusesoc(accelerator: Accelerator, sources: list[str], contents: list[str]) -> str:
    """FuseSoC description (CAPI2): simulation, lint and synthesis take the same files."""
    sets: dict[str, object] = {
        "rtl": {"files": sources, "file_type": "verilogSource"},
        "lint": {"files": ["lint.vlt"], "file_type": "vlt"},
        "firmware": {"files": [{"codeword_registers.h": {"is_include_file": True}}], "file_type": "cSource"},
    }
    if contents:
        sets["contents"] = {"files": [{name: {"copyto": name}} for name in contents], "file_type": "user"}
    main = ["rtl", *(["contents"] if contents else [])]
    core = {
        "name": f"codeword::{accelerator.name.replace('.', '_')}:0.1.0",
        "description": f"Accelerator {accelerator.name}, {accelerator.rows} x {accelerator.columns}",
        "filesets": sets,
        "targets": {
            "default": {"filesets": main, "toplevel": verilog.TOP},
            "lint": {
                "filesets": [*main, "lint"],
                "toplevel": verilog.TOP,
                "default_tool": "verilator",
                "tools": {"verilator": {"mode": "lint-only", "verilator_options": ["-Wall"]}},
            },
        },
    }
    return "CAPI=2:\n" + yaml.safe_dump(core, sort_keys=False)
