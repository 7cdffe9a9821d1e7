"""The methods by name; a new one is a file beside this one and a line here."""

from __future__ import annotations

from typing import Any

from algos.methods import aqlm, compensated, mvq, ssvq, vim_vq, vq, vq4all
from algos.methods.method import Method
from sim.errors import InputError, nearest

_ALL: tuple[Method[Any], ...] = (
    *(vq.METHOD, mvq.METHOD, ssvq.METHOD, vq4all.METHOD, vim_vq.METHOD, aqlm.METHOD),
    *vim_vq.RELATIVES,
    *compensated.METHODS,
)
METHODS = {method.name: method for method in _ALL}


def named(name: str) -> Method[Any]:
    """
    Raises:
        InputError: no such method.
    """
    if name not in METHODS:
        raise InputError("method", name, "unknown", nearest(name, METHODS))
    return METHODS[name]
