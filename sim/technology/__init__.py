"""Coefficients with provenance: energy of an event, area of a component.

One TOML file a technology; every coefficient says where it comes from and how sure it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.technology.loading import Figure, Technology, load, mapping_energy, off_chip

__all__ = ["DEFAULT", "NAMES", "Figure", "Technology", "load", "mapping_energy", "off_chip"]

DEFAULT = "mvq40"
NAMES = (DEFAULT, "sg13g2", "sky130hd", "asap7")


def __getattr__(name: str) -> Any:
    """Loads on first use: the names alone, which the command's help shows, cost nothing."""
    if name in __all__:
        from sim.technology import loading

        return getattr(loading, name)
    raise AttributeError(f"module 'sim.technology' has no attribute {name!r}")
