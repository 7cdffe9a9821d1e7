"""What the runs of `codeword.reports.comparison.train` cost on their machines.

Reads the finished runs of the work folder, keeps them with their cost in reports/accuracy_vs_cost.json, and
writes the report and its picture from that file; without a work folder, from that file as it is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from codeword.reports import machines
from codeword.reports.comparison import report
from sim.errors import InputError
from sim.files import write_json, write_whole

NETWORKS = ("resnet8", "resnet20", "deit", "vim")
"""In the order of the report."""


def collect(work: Path) -> list[report.Run]:
    """The finished runs, those of the first seed with their cost.

    Raises:
        InputError: none is finished.
    """
    runs = []
    for path in sorted(work.glob("*.json")):
        run = json.loads(path.read_text())
        network = path.with_suffix(".safetensors")
        if run["seed"] == 0 and "cost" not in run:
            run["cost"] = machines.cost(network, run["method"])
            write_json(path, run)
        runs.append(run)
    if not runs:
        raise InputError(
            "--work",
            str(work),
            "holds no finished run",
            "run python -m codeword.reports.comparison.train first",
        )
    return sorted(runs, key=lambda run: (NETWORKS.index(run["network"]), _place(run["method"]), run["seed"]))


def settings(runs: list[report.Run]) -> dict[str, int | None]:
    """What the runs say of their trainings: epochs and images, ViM-VQ's images, updates between freezings."""

    def first(method: str) -> report.Run:
        return next((run for run in runs if machines.family(run["method"]) == method), {})

    trained = next(run for run in runs if machines.family(run["method"]) not in ("float", "vim-vq"))
    freezing = first("ssvq").get("config", {}).get("freezing") or {}
    return {
        "epochs": trained["epochs"],
        "images": trained["images"],
        "unlabelled": first("vim-vq").get("images"),
        "interval": freezing.get("interval"),
    }


def _place(method: str) -> tuple[int, str]:
    return list(machines.FAMILIES).index(machines.family(method)), method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder of the runs")
    parser.add_argument("--out", type=Path, default=Path("reports/accuracy_vs_cost.json"))
    options = parser.parse_args()
    if options.work:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, collect(options.work))
    runs = json.loads(options.out.read_text())
    found = report.rows(runs)
    report.picture(found, options.out.with_suffix(".png"))
    write_whole(options.out.with_suffix(".md"), report.text(found, settings(runs)))


if __name__ == "__main__":
    main()
