"""Runs proofs: Verilog of a component, properties around it, and the false twins that must fail."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evidence.constants import constants
from rtl import verilog, yosys
from rtl.block import Block, module_name
from sim.errors import InputError

PROPERTIES = Path(__file__).parent / "properties"
SECONDS = 120
TWIN_CYCLES = 20
"""Of twins of proofs by induction: that engine looks for counterexamples in three cycles only, when no packet
of the command port is complete yet."""


@dataclass(frozen=True)
class Proof:
    """Properties of a component.

    Attributes:
        name: of the proof.
        block: makes the component.
        properties: a file and module of that name in `properties/`; with the macro FALSE_<FILE> it states
            something false that only a proof which looks at the component can refute.
        defines: macros for it.
        checkers: further files; they may have mistakes of their own.
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
    """Outcome: `status` should be "proven" (or "bounded", where no more is tried), `twin` "refuted".

    `twin` names the mistakes that were not refuted, if there are any.
    """

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
    return (
        "proc",
        f"flatten {module}",
        *as_registers,
        *(f"expose {module}/w:{name}" for name in (*registers, *words)),
    )


def _texts(proof: Proof) -> dict[str, str]:
    """The files of a proof by name: the component, checkers, properties."""
    with constants(proof.small):
        component = "\n".join(
            text for block in (proof.block, *proof.beside) for _, text in verilog.hierarchy(block()).values()
        )
    names = [f"{name}.sv" for name in (*proof.checkers, proof.properties)]
    return {"component.v": component} | {name: (PROPERTIES / name).read_text() for name in names}


@contextmanager
def _written(texts: Mapping[str, str]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as scratch:
        for name, text in texts.items():
            (Path(scratch) / name).write_text(text)
        yield Path(scratch)


def connect(proof: Proof) -> None:
    """Reads the files of a proof and connects them; it proves nothing.

    Raises:
        RuntimeError: the properties name a port or a register that the component has not.
    """
    texts = _texts(proof)
    with _written(texts) as directory:
        defines = {**proof.small, **proof.defines}
        yosys.run(yosys.connected(texts, proof.properties, defines, proof.prepare), directory)


def prove(proof: Proof) -> Result:
    """Tries the properties for all inputs and all time, and the false twin of each mistake alone.

    Raises:
        InputError: no file of the proof states a mistake.
    """
    started = time.monotonic()
    texts = _texts(proof)
    mistakes = sorted(set(re.findall(r"`ifdef (FALSE_\w+)", "".join(texts.values()))))
    if not mistakes:
        raise InputError("proof", proof.name, "has no false twin", "guard a mistake with `ifdef FALSE_<FILE>")
    with _written(texts) as directory:

        def attempt(macros: Mapping[str, int], engine: str, cycles: int) -> str:
            return yosys.prove(
                texts,
                proof.properties,
                directory,
                SECONDS,
                {**proof.small, **proof.defines, **macros},
                proof.prepare,
                engine,
                cycles,
            )

        status = attempt({}, proof.engine, proof.cycles)
        search = ("bounded", TWIN_CYCLES) if proof.engine == "induction" else (proof.engine, proof.cycles)
        twins = {mistake: attempt({mistake: 1}, *search) for mistake in mistakes}
    missed = ", ".join(f"{mistake} {found}" for mistake, found in twins.items() if found != "refuted")
    return Result(proof.name, status, missed or "refuted", time.monotonic() - started)
