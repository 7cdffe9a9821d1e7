"""`python -m tests.golden` (`make golden`): computes all figures, writes those that changed and prints them."""

from __future__ import annotations

import datetime

from tests.golden import record
from tests.golden.figures import GROUPS


def main() -> None:
    found = {group: compute() for group, compute in GROUPS.items()}
    recorded = record.load() if record.PATH.exists() else {}
    changed = [
        line
        for group in sorted(found.keys() | recorded.keys())
        for line in record.changes(recorded.get(group, {}), found.get(group, {}))
    ]
    if changed:
        record.save(found, record.head(), datetime.date.today())
    print("\n".join([*changed, f"{len(changed)} figures changed"]))


if __name__ == "__main__":
    main()
