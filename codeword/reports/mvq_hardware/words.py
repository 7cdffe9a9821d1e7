"""How the report writes numbers, names and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codeword.reports.mvq_hardware import storage
from codeword.reports.mvq_hardware.machine import document
from codeword.reports.mvq_hardware.published import Rows


def toml(value: object) -> str:
    """As a TOML file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def number(value: float | None) -> str:
    """About three digits."""
    if value is None:
        return "null"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def kib(size: int) -> str:
    """Of bytes."""
    return f"{size / 1024:,.0f}"


def name_of(row: str, table: str = "") -> str:
    """A network and size as one reads them, or a row of Tables 3 to 6."""
    if table in ("macs", "pruned", "ratios"):
        return storage.settings()[row].name
    for key, setting in document()["networks"].items():
        if row == key or row.startswith(f"{key}-"):
            size = row[len(key) + 1 :]
            return setting["name"] + (f", {size}x{size}" if size.isdigit() else f", {size}" if size else "")
    return row


def grid(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def digit(value: float | None) -> float | None:
    """To six digits."""
    return None if value is None else float(f"{value:.6g}")


def digits(rows: Rows) -> dict[str, list[float | None]]:
    """Each to six digits."""
    return {row: [digit(value) for value in values] for row, values in rows.items()}
