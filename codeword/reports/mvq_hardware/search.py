"""Which energies fit the published figures best."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import log

from codeword.reports.mvq_hardware.figures import outcome
from codeword.reports.mvq_hardware.machine import Energy, document, setup
from codeword.reports.mvq_hardware.published import cells
from codeword.reports.registry import Task


def run(task: Task) -> None:
    """Prints the ten best."""
    for loss, energy in every_energy()[:10]:
        print(f"{loss:.4f} {energy}")


def every_energy() -> list[tuple[float, Energy]]:
    """Mean |log(ours / published)| over Figures 15, 19 and 20 for every choice of machine.toml's `search`.

    Least first. The counts stay as they are, so a choice takes moments.
    """
    using, choices = setup(), document()["search"]
    found = []
    for values in product(*choices.values()):
        energy = replace(using.energy, **dict(zip(choices, values, strict=True)))
        figures = outcome(replace(using, energy=energy))
        off = [
            abs(log(cell.ours / cell.published))
            for key in ("figure15", "figure19", "figure20")
            for cell in cells(key, figures[key])
            if cell.ours
        ]
        found.append((sum(off) / len(off), energy))
    return sorted(found, key=lambda pair: pair[0])
