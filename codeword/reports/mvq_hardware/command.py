"""`make reproduce-hardware`: the published hardware figures of MVQ, SSVQ and VQ4ALL beside ours.

Writes reports/mvq_reproduction.md and .json from the closed form; the same numbers every time. With
`--sensitivity` it also makes every variant of the machine anew (minutes) and keeps what they show in
reports/mvq_sensitivity.json, which the report reads.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from codeword.reports.mvq_hardware import report, sensitivity
from codeword.reports.mvq_hardware.machine import setup
from sim.files import write_whole

REPORTS = Path("reports")


def main() -> None:
    """Computes, writes, and fails if a cell is far off without a reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensitivity", action="store_true", help="make the variants of the machine anew")
    parser.add_argument("--search", action="store_true", help="only print the energies that fit best")
    options = parser.parse_args()
    if options.search:
        for loss, energy in sensitivity.search()[:10]:
            print(f"{loss:.4f} {energy}")
        return
    kept = REPORTS / "mvq_sensitivity.json"
    found = report.compute(setup())
    _write(REPORTS / "mvq_reproduction.json", found)
    if options.sensitivity:
        _write(kept, sensitivity.everything(lambda line: print(line, file=sys.stderr, flush=True)))
    text = report.render(found, json.loads(kept.read_text()))
    write_whole(REPORTS / "mvq_reproduction.md", text)
    print(text.split("\n## ")[0])
    missing = report.unexplained(found)
    for cell in missing:
        print(f"off without a reason: {cell}")
    sys.exit(bool(missing))


def _write(path: Path, found: Any) -> None:
    write_whole(path, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
