"""Figures that say where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import BaseModel, ConfigDict

Label = Literal["table", "derived", "fit", "counted", "measured", "assumed", "missing"]
"""table: published or of a library's file; derived: arithmetic on such values; fit: between or near such
values; measured: by our own synthesis or simulation; counted: by the closed form or the engine; assumed: our
choice; missing: nobody knows, and the source is the reason."""


_LEAST_SURE_FIRST: tuple[Label, ...] = ("assumed", "fit", "derived", "table", "measured")


class Strict(BaseModel):
    """Part of a coefficient file: every field known, none more."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class Figure:
    """A value and its origin; None when nobody knows it, and then `source` is the reason.

    Attributes:
        value: pJ of an event, mm2 of a component, and so on.
        uncertainty: what is known of it, or "".
    """

    value: float | None
    label: Label
    source: str
    uncertainty: str = ""

    def times(self, factor: float) -> Figure:
        """The same figure of another unit, or of several."""
        return self if self.value is None else replace(self, value=self.value * factor)

    @property
    def why(self) -> str:
        """One line for people."""
        return f"{self.label}: {self.source}" + (f" ({self.uncertainty})" if self.uncertainty else "")

    def to_json(self) -> dict[str, str]:
        """The origin without the value."""
        return {"label": self.label, "source": self.source, "uncertainty": self.uncertainty}


def missing(reason: str) -> Figure:
    """What nobody knows."""
    return Figure(None, "missing", reason)


def total(parts: Mapping[str, Figure]) -> Figure:
    """Sum of parts by name, as sure as the least sure of them; missing if one is, and says which."""
    unknown = {name: part.source for name, part in parts.items() if part.value is None}
    if unknown:
        return missing("; ".join(f"{name}: {reason}" for name, reason in unknown.items()))
    labels = [part.label for part in parts.values()]
    return Figure(
        sum(part.value for part in parts.values() if part.value is not None),
        next((label for label in _LEAST_SURE_FIRST if label in labels), "counted"),
        "; ".join(dict.fromkeys(part.source for part in parts.values())),
        "; ".join(dict.fromkeys(part.uncertainty for part in parts.values() if part.uncertainty)),
    )
