"""How Numba compiles the steps of the engine, and keeps the result."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

from numba import njit

from sim.kept import kept

step = njit(forceinline=True, error_model="numpy", _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Part of a cycle. It counts no references to the arrays of a run, which outlive it: with two atomic additions
for each array and call, simulations took 7 times as long. So a step allocates nothing, and copies rows by loops.
LLVM inlines it: inlined by Numba (`inline="always"`), these steps ran forever. Python cannot call it."""

whole = kept(forceinline=False, error_model="numpy", _nrt=True)
"""A function with arrays of its own. Numba hands the flags of a caller on to what it compiles for it, so that
without a word a step would forbid them."""


def _digest() -> str:
    """Of all modules of this package, by name and content."""
    modules = sorted((file for file in files(__package__).iterdir() if file.name.endswith(".py")), key=str)
    return sha256(b"".join(file.name.encode() + file.read_bytes() for file in modules)).hexdigest()[:16]


SOURCES = _digest()
"""Numba compiles again what it keeps on disk when the file of the function changes, not when one does that
holds a function it calls. So what is kept and calls into other files takes this as an argument with a default:
the type of an argument left out is its default, and code of other types is not taken up."""
