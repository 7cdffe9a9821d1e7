"""Reports on networks that run on machines: what they cost joins the figures, and both make the text."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim.files import write_json, write_whole

Found = dict[str, Any]


def main(about: str, out: Path, price: Callable[[Found, Path], None], text: Callable[[Found], str]) -> None:
    """The command of such a report.

    Args:
        out: default of `--out`, the figures as JSON; the report lies beside it.
        price: adds what the networks of a folder, `--work`, cost; without one the figures stay.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--work", type=Path, help="folder of the networks of integers")
    parser.add_argument("--out", type=Path, default=out)
    options = parser.parse_args()
    found = json.loads(options.out.read_text())
    if options.work:
        price(found, options.work)
        write_json(options.out, found)
    write_whole(options.out.with_suffix(".md"), text(found))
