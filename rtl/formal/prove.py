"""Runs proofs: Verilog of a component, properties around it, and the false twin that must fail."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rtl import verilog, yosys
from rtl.block import Block, module_name
from rtl.constants import constants

PROPERTIES = Path(__file__).parent / "properties"
FALSE_TWIN = "FALSE_TWIN"
SECONDS = 120


@dataclass(frozen=True)
class Proof:
    """Properties of a component.

    Attributes:
        name: of the proof.
        block: makes the component.
        properties: a file and module of that name in `properties/`; with the macro FALSE_TWIN it states
            something false that only a proof which looks at the component can refute.
        defines: macros for it.
        checkers: further files.
        prepare: Yosys commands on the component before the properties meet it.
        engine: see `rtl.yosys.engines`.
        small: smaller values for constants of `rtl`, by name, wherever they are used; macros of the same name
            carry them to the properties.
        cycles: from power-up, of the engine "bounded".
        beside: further components, which the properties connect with it.
        fast: takes about a second.
    """

    name: str
    block: Callable[[], Block]
    properties: str
    defines: Mapping[str, int] = field(default_factory=dict)
    checkers: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    engine: str = "mixed"
    small: Mapping[str, int] = field(default_factory=dict)
    cycles: int = 0
    beside: tuple[Callable[[], Block], ...] = ()
    fast: bool = False


@dataclass(frozen=True)
class Result:
    """Outcome: `status` should be "proven" (or "bounded", where no more is tried), `twin` "refuted"."""

    name: str
    status: str
    twin: str
    seconds: float

    @property
    def holds(self) -> bool:
        return self.status in ("proven", "bounded") and self.twin == "refuted"


def expose(kind: str, *registers: str, memories: Mapping[str, int] | None = None) -> tuple[str, ...]:
    """Makes registers of a component outputs, for invariants that name them.

    `memories`: number of words by name; word n of memory M becomes the output `M[n]`.
    """
    module = module_name(kind)
    # Yosys would take brackets for a class of characters.
    words = [f"{memory}?{n}?" for memory, depth in (memories or {}).items() for n in range(depth)]
    as_registers = ("memory -nomap", "memory_map -formal") if words else ()
    return ("proc", f"flatten {module}", *as_registers,
            *(f"expose {module}/w:{name}" for name in (*registers, *words)))


def prove(proof: Proof) -> Result:
    """Tries the properties and their false twin, for all inputs and all time."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        with constants(proof.small):
            component = "\n".join(text for block in (proof.block, *proof.beside)
                                  for _, text in verilog.hierarchy(block()).values())
        (directory / "component.v").write_text(component)
        sources = ["component.v"]
        for name in (*proof.checkers, proof.properties):
            sources.append(f"{name}.sv")
            (directory / sources[-1]).write_text((PROPERTIES / sources[-1]).read_text())
        known = {**proof.small, **proof.defines}
        status, twin = (
            yosys.prove(sources, proof.properties, directory, SECONDS, defines, proof.prepare,
                        proof.engine, proof.cycles)
            for defines in (known, {**known, FALSE_TWIN: 1}))
    return Result(proof.name, status, twin, time.monotonic() - started)
