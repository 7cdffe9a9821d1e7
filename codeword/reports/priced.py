"""Reports on networks that run on machines: what they cost joins the figures, and both make the text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from codeword.reports.machines import TECHNOLOGIES
from codeword.reports.registry import Task
from sim.files import write_json, write_whole

Found = dict[str, Any]
COST_COLUMNS = (
    "machine",
    "cycles",
    *(f"{what}, {technology}" for technology in TECHNOLOGIES for what in ("energy", "area")),
    "every tensor",
    "a layer on the RTL",
)
PRICES = (
    "Cycles and accesses are *counted* by the cycle engine on one image; energies and areas of `mvq40` "
    "follow from the 40 nm *tables* of MVQ with its MAC *assumed* at 0.23 pJ, those of `sg13g2` from our own "
    "RTL at 130 nm, *measured* but for its SRAM. These figures are older than clock gates, the codebook in SRAM and "
    "the storer of nine stages: today's take a little more cycles and far less energy at 130 nm (technologies.md)."
)
"""Where the cost columns come from, for the reports that have them."""


def write(task: Task, price: Callable[[Found, Path], None], text: Callable[[Found], str]) -> None:
    """The text of such a report, beside its figures.

    Args:
        price: adds what the networks of a folder cost.
    """
    found = task.figures()
    if task.priced:
        price(found, task.work)
        write_json(task.out, found)
    write_whole(task.out.with_suffix(".md"), text(found))


def cost_cells(cost: dict[str, Any]) -> list[str]:
    """What `machines.cost` found, for COST_COLUMNS."""
    prices = [cost["prices"][technology] for technology in TECHNOLOGIES]
    return [
        cost["accelerator"],
        f"{cost['cycles']:,}",
        *(
            _unit(price[what], unit)
            for price in prices
            for what, unit in (("energy_uj", "uJ"), ("area_mm2", "mm2"))
        ),
        "exact" if cost["bit_exact"] else "DIFFERENT",
        on_rtl(cost),
    ]


def on_rtl(cost: dict[str, Any]) -> str:
    """The layer that `machines.cost` ran on the RTL, in words."""
    model, rtl = cost["verify_cycles"]
    equal = "equal" if cost["verify_mismatches"] == 0 and model == rtl else "DIFFERENT"
    return f"{cost['verified_words']:,} words and {rtl:,} cycles {equal}"


def _unit(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"
