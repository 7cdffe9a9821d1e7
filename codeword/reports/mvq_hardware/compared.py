"""Every published cell beside ours, and those that are far off without a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from codeword.reports.mvq_hardware import figures, ssvq, universal
from codeword.reports.mvq_hardware.figures import Runs
from codeword.reports.mvq_hardware.machine import Setup
from codeword.reports.mvq_hardware.published import Cell, cells
from codeword.reports.mvq_hardware.reasons import LIMIT, reasons
from codeword.reports.mvq_hardware.words import digit, digits

TITLES = {
    "claims": "The abstract's claims",
    "table7": "Table 7, areas",
    "table9": "Table 9, MVQ",
    "table9alexnet": "Table 9, AlexNet",
    "normalised": "Table 9, comparators at 40 nm",
    "figure15": "Figure 15, data-access energy",
    "figure17": "Figure 17, speed",
    "figure19": "Figure 19, TOPS/W",
    "figure20": "Figure 20, gain in TOPS/W",
    "ews": "EWS over WS",
    "macs": "Tables 3 to 6, MACs of dense networks",
    "pruned": "Tables 3 to 6, MACs of pruned networks",
    "ratios": "Tables 3 to 6, compression ratios",
}


def compute(using: Setup) -> dict[str, Any]:
    """Our side of everything, as plain numbers of six digits: what the golden file holds."""
    runs = Runs(using)
    found: dict[str, Any] = {key: digits(rows) for key, rows in figures.all_tables(runs).items()}
    found["figure15 over WS"] = digits(figures.data_access(runs, base="ws"))
    found["figure14"] = digits(figures.shares(runs))
    found["ews by network"] = {
        what: digits(rows) for what, rows in figures.ews_over_ws_by_network(runs).items()
    }
    found["ssvq"] = {size: [digit(value) for value in values] for size, values in ssvq.sweep(using).items()}
    found["ssvq traffic"] = ssvq.traffic(using)
    found["universal"] = {network: asdict(universal.traffic(network)) for network in universal.NETWORKS}
    found["universal accesses"] = {
        network: {family: asdict(access) for family, access in universal.accesses(network, using).items()}
        for network in using.networks
    }
    return found


def all_cells(found: Mapping[str, Any]) -> dict[str, list[Cell]]:
    """Every cell, by table."""
    return {key: cells(key, found[key]) for key in TITLES}


def unexplained(found: Mapping[str, Any]) -> list[Cell]:
    """Cells off by more than LIMIT without a reason."""
    known = {(reason.table, reason.row, column) for reason in reasons() for column in reason.columns}
    return [
        cell
        for these in all_cells(found).values()
        for cell in these
        if cell.deviation is not None
        and abs(cell.deviation) > LIMIT
        and (cell.table, cell.row, cell.column) not in known
    ]
