"""The file of figures, and how a change of one reads."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.golden.figures import Figures, Value

PATH = Path(__file__).with_name("metrics.json")
REWRITE = "make golden"


def load(path: Path = PATH) -> dict[str, Figures]:
    """Figures by group."""
    groups: dict[str, Figures] = json.loads(path.read_text())["figures"]
    return groups


def save(groups: Mapping[str, Figures], commit: str, date: datetime.date, path: Path = PATH) -> None:
    """One figure a line, sorted; `commit` is what the figures were computed on, before the change is committed."""
    content = {"written": {"on commit": commit, "date": date.isoformat()}, "figures": groups}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def head() -> str:
    """The commit that is checked out."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, cwd=PATH.parent, check=True, capture_output=True, text=True).stdout.strip()


def changes(was: Figures, now: Figures) -> list[str]:
    """A line for every figure that is not what it was: `figure: was -> is (ratio)`."""
    return [
        f"{name}: {_shown(was, name)} -> {_shown(now, name)}{_ratio(was.get(name), now.get(name))}"
        for name in sorted(was.keys() | now.keys())
        if _shown(was, name) != _shown(now, name)
    ]


def _shown(figures: Figures, name: str) -> str:
    if name not in figures:
        return "none"
    value = figures[name]
    if isinstance(value, str):
        return value
    return "unknown" if value is None else f"{value:,}"


def _ratio(was: Value, now: Value) -> str:
    if isinstance(was, int | float) and isinstance(now, int | float) and was:
        return f" ({now / was:.4g})"
    return ""
