"""`python -m evidence.formal`: all proofs, each with its false twin, as a table."""

from __future__ import annotations

import argparse
import sys

from evidence.formal.proofs import PROOFS
from evidence.formal.prove import prove


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m evidence.formal", description="Proofs of the components."
    )
    parser.add_argument("names", nargs="*", help="parts of names of proofs; all if none is given")
    names = parser.parse_args().names
    print("| proof | property | false twin | s |\n|---|---|---|---|")
    holds = True
    for proof in PROOFS:
        if not names or any(name in proof.name for name in names):
            result = prove(proof)
            holds &= result.holds
            print(f"| {result.name} | {result.status} | {result.twin} | {result.seconds:.1f} |", flush=True)
    return int(not holds)


if __name__ == "__main__":
    sys.exit(main())
