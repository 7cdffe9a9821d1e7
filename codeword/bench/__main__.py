"""`python -m codeword.bench`."""

from __future__ import annotations

import argparse
import json
import sys
import time

import numba

from codeword import rendering
from codeword.bench import check, suite


def main() -> int:
    """Status 1 where `--check` finds a ratio out of its bound, 2 where it cannot look."""
    parser = argparse.ArgumentParser(
        prog="python -m codeword.bench", description="Benchmarks of this machine."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout and nothing else")
    parser.add_argument("--once", action="store_true", help="only run ResNet-18 once; JSON")
    parser.add_argument("--check", action="store_true", help="fail where a ratio is out of its bound")
    parser.add_argument("--threads", type=int, default=1, help="of Numba and of PyTorch")
    options = parser.parse_args()
    numba.set_num_threads(options.threads)
    if options.check:
        return checked(options.threads)
    if options.once:
        print(json.dumps(suite.once()))
    else:
        suite.full(options.threads, options.json)
    return 0


def checked(threads: int) -> int:
    """Measures in processor seconds; prints the ratios and what is out of its bound."""
    if not suite.TORCH:
        print("--check needs PyTorch to compare with: install the extra algos", file=sys.stderr)
        return 2
    figures = suite.measured(suite.Stopwatch(time.process_time, repeats=3))
    rendering.show(suite.table(figures, threads))
    failures = check.failures(figures)
    for line in failures:
        print(line, file=sys.stderr)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
