"""The power intent of an export, a sketch in UPF (IEEE 1801-2015): core and memories, and where clocks stop."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from rtl import verilog
from rtl.block import module_name
from rtl.clocking import ClockGate

_INSTANCE = re.compile(r"^  (\w+) (?:#\(.*?\) )?\\?(\S+) +\($", re.M)
_MEMORIES = tuple(module_name(kind) for kind in ("sram_", "rom_bank"))
"""Beginnings of the names of modules that macros replace; a FIFO in SRAM holds one."""
_UPF = """\
# Power intent of {top}, a sketch: domains, supplies and states. A flow adds switches and their control.
upf_version 2.1
set_design_top {top}

create_supply_port VDD -direction in
create_supply_port VDD_MEM -direction in
create_supply_port VSS -direction in
create_supply_net VDD
create_supply_net VDD_MEM
create_supply_net VSS
connect_supply_net VDD -ports VDD
connect_supply_net VDD_MEM -ports VDD_MEM
connect_supply_net VSS -ports VSS
create_supply_set core -function {{power VDD}} -function {{ground VSS}}
create_supply_set memory -function {{power VDD_MEM}} -function {{ground VSS}}

create_power_domain PD_CORE -include_scope -supply {{primary core}}
create_power_domain PD_MEMORY -elements {{
{memories}
}} -supply {{primary memory}}

# A memory keeps its words while the core is off: its enables are 0 then. Nothing in it needs to be kept
# between runs, so that both may be off.
set_isolation core_off -domain PD_MEMORY -isolation_supply_set memory -applies_to inputs -clamp_value 0
set_isolation_control core_off -domain PD_MEMORY -isolation_signal rst -isolation_sense high -location self

add_power_state core -state on {{-supply_expr {{power == FULL_ON && ground == FULL_ON}}}}
add_power_state core -state off {{-supply_expr {{power == OFF}} -simstate CORRUPT}}
add_power_state memory -state on {{-supply_expr {{power == FULL_ON && ground == FULL_ON}}}}
add_power_state memory -state off {{-supply_expr {{power == OFF}} -simstate CORRUPT}}

# UPF does not say where clocks stop. {clocks}
"""
_GATED = "These gates do ({gate}), which `scan_enable` opens:"
_UNGATED = "None does: registers have enables."


def power_intent(sources: Mapping[str, str]) -> str:
    """UPF for Verilog by file name, the top module first."""
    found = dict(_instances(sources, verilog.TOP))
    gate = module_name(ClockGate.kind)
    memories = [path for path, module in found.items() if module.startswith(_MEMORIES)]
    inner = [path for path in memories if not any(path.startswith(f"{other}/") for other in memories)]
    gates = sorted({re.sub(r"\d+", "*", path) for path, module in found.items() if module == gate})
    text = _UPF.format(
        top=verilog.TOP,
        memories="\n".join(f"  {path}" for path in inner),
        clocks=_GATED.format(gate=gate) if gates else _UNGATED,
    )
    return text + "".join(f"#   {path}\n" for path in gates)


def _instances(sources: Mapping[str, str], module: str, above: str = "") -> Iterator[tuple[str, str]]:
    """Path below `module` and module of every instance; paths that instances of one kind share come once."""
    for inside, name in _INSTANCE.findall(sources.get(f"{module}.v", "")):
        yield f"{above}{name}", inside
        yield from _instances(sources, inside, f"{above}{name}/")
