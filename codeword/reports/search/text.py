"""The page."""

from __future__ import annotations

from typing import Any

import numpy as np

from codeword.reports.registry import Task
from codeword.reports.search.measure import SEARCHES, SHARES
from sim.files import write_whole

_NAMES = {"random": "random", "nsga2": "NSGA-II"}


def run(task: Task) -> None:
    """Writes the text beside the figures."""
    figures = task.figures()
    write_whole(task.out.with_suffix(".md"), "\n".join(_lines(figures)) + "\n")


def _lines(figures: dict[str, Any]) -> list[str]:
    designs, front, best = figures["designs"], figures["front"], figures["hypervolume"]
    seeds = len({one["seed"] for one in figures["searches"]})
    lines = [
        "# Searching instead of trying all",
        "",
        f"Made by `codeword report search`: {designs:,} designs of {len(figures['fields'])} fields on "
        f"{', '.join(figures['networks'])} (geometric means), judged by {', '.join(figures['objectives'])}; "
        f"of {figures['feasible']:,} all three are known (`mvq40` has no area for other register files), {front} are "
        "on the front; a search does not know that before it has tried. The whole space was tried first "
        "(`--search exhaustive`), then each search with shares of as many evaluations, "
        f"{seeds} seeds each. *Hypervolume*: what a search's designs dominate, of what the whole space dominates, "
        "every objective divided by its largest value in the space. *Front*: of the designs of the true front, "
        "those that the search tried. Mean, and the least and the most of the seeds.",
        "",
        "| search | evaluations | of the space | hypervolume | front |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in SEARCHES:
        for number, share in enumerate(SHARES):
            runs = [one for one in figures["searches"] if one["search"] == name][number :: len(SHARES)]
            volumes = [one["hypervolume"] / best for one in runs]
            found = [one["front"] / front for one in runs]
            lines.append(
                f"| {_NAMES[name]} | {runs[0]['evaluations']:,} | {share:.0%} | {_spread(volumes, 2)} | "
                f"{_spread(found, 0)} |"
            )
    refused = [f"- {count:,} designs: {reason}" for reason, count in figures["refused"].items()]
    varied = [f"| `{name}` | {', '.join(map(str, values))} |" for name, values in figures["fields"].items()]
    return [
        *lines,
        "",
        "## The space",
        "",
        "| field | values |",
        "| --- | --- |",
        *varied,
        *(["", "Refused:", "", *refused] if refused else []),
    ]


def _spread(values: list[float], digits: int) -> str:
    mean, low, high = (f"{100 * v:.{digits}f}" for v in (np.mean(values), min(values), max(values)))
    return f"{mean} % ({low} to {high})"
