"""The page of accelerator fields is what the descriptions say today."""

from __future__ import annotations

from pathlib import Path

from sim.accelerator.page import page

PAGE = Path(__file__).parents[2] / "docs" / "accelerator.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "run: python -m sim.accelerator > docs/accelerator.md"


def test_every_field_says_what_it_is() -> None:
    """No empty description, and none that is a symbol alone."""
    rows = [line.split(" | ") for line in page().splitlines() if line.startswith("| `")]
    fields = [row for row in rows if len(row) == 4]
    assert len(fields) > 40
    for name, *_, what in fields:
        assert len(what.rstrip(" |").split()) >= 2, f"{name}: {what!r}"
