"""`python -m evidence.mutation`: the mutation scores of all components, as a table or as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from evidence.mutation.components import SUITES
from evidence.mutation.measure import measure, row, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m evidence.mutation", description="Mutation scores.")
    kinds = sorted({kind for suite in SUITES for kind in suite.kinds})
    parser.add_argument(
        "components",
        nargs="*",
        choices=[[], *kinds],
        metavar="component",
        help=f"all, or some of {', '.join(kinds)}",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="mutants for the square root of possible ones"
    )
    parser.add_argument("--seed", type=int, default=1, help="choice of the mutants")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    scores = []
    for suite in SUITES:
        if not options.components or set(suite.kinds) & set(options.components):
            for score in measure(suite, options.scale, options.seed, options.components):
                scores.append(score)
                print(row(score), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps([asdict(score) | {"score": score.score} for score in scores], indent=2))
    else:
        print(table(scores))
        for score in scores:
            for change in score.survivors:
                print(f"{score.component}: {change}")
    return int(any(score.survivors for score in scores))


if __name__ == "__main__":
    sys.exit(main())
