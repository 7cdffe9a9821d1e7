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

SOURCES = sha256(
    b"".join(
        file.name.encode() + file.read_bytes()
        for file in sorted(
            (file for file in files(__package__).iterdir() if file.name.endswith(".py")), key=str
        )
    )
).hexdigest()[:16]
"""Of all modules of this package, by name and content: when one of them changes, what is kept is compiled again."""
