"""Why a published value is missed by more than a quarter."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

LIMIT = 0.25
"""A cell further off needs a reason."""


@dataclass(frozen=True)
class Reason:
    """Of some cells of a row.

    Attributes:
        table, row, columns: which cells, by their names in published.toml.
        variants: the experiments, by `what` of machine.toml; none where the reason is arithmetic.
    """

    table: str
    row: str
    columns: tuple[str, ...]
    text: str
    variants: tuple[str, ...] = ()


def reasons() -> list[Reason]:
    """Entries of reasons.toml."""
    found = tomllib.loads((Path(__file__).parent / "reasons.toml").read_text())["reasons"]
    return [
        Reason(**{**one, "columns": tuple(one["columns"]), "variants": tuple(one.get("variants", ()))})
        for one in found
    ]
