"""How Numba compiles the functions of this package, and keeps the result."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

from numba import njit

from sim.kept import kept

step = njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""A function that others of this package call, and Python does not; it is kept with them."""

entry = kept(error_model="numpy", nogil=True)
"""A function that Python calls. It takes SOURCES as an argument with a default (see `sim.systolic.engine.compiled`)."""

_CONSTANTS = ("sim/shapes.py", "sim/systolic/results.py", "sim/systolic/mapping.py")
"""Modules whose constants are compiled in."""


def _digest() -> str:
    root = files("sim").joinpath("..")
    own = [
        f"sim/systolic/bulk/{file.name}" for file in files(__package__).iterdir() if file.name.endswith(".py")
    ]
    return sha256(
        b"".join(name.encode() + root.joinpath(name).read_bytes() for name in sorted((*own, *_CONSTANTS)))
    ).hexdigest()[:16]


SOURCES = _digest()
"""Of all modules of this package and their constants: when one changes, what is kept is compiled again."""
