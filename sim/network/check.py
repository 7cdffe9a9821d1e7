"""Checks that the layers share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sim.errors import InputError
from sim.limits import LARGEST


def require(condition: bool, field: str, value: object, problem: str, fix: str) -> None:
    """Raises InputError unless the condition holds."""
    if not condition:
        raise InputError(field, value, problem, fix)


def require_output(name: str, multipliers: Iterable[int], shift: int, low: int, high: int) -> None:
    """Multipliers of 16 bits, a shift from 1 to 47 and a clamp inside INT8."""
    for multiplier in multipliers:
        require(
            0 <= multiplier < 2**16,
            f"{name}.multiplier",
            multiplier,
            "must be from 0 to 65535",
            "scale m and s together",
        )
    require(1 <= shift <= 47, f"{name}.shift", shift, "must be from 1 to 47", "rescale m")
    require_clamp(name, low, high)


def require_clamp(name: str, low: int, high: int) -> None:
    """A clamp inside INT8."""
    require(
        -128 <= low <= high <= 127, f"{name}.clamp", (low, high), "must lie in -128..127", "clamp to INT8"
    )


def require_array(field: str, array: np.ndarray, dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    """An array of one type and shape."""
    require(
        array.dtype == dtype and array.shape == shape,
        field,
        f"{array.dtype}{list(array.shape)}",
        f"must be {np.dtype(dtype)}{list(shape)}",
        "store it so",
    )


def require_filled(field: str, array: np.ndarray) -> None:
    """An array with elements."""
    require(array.size > 0, field, list(array.shape), "has no element", "leave out what computes nothing")


def require_window(
    name: str,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int],
) -> None:
    """Positive kernel, stride and dilation, padding of at least 0."""
    for field, pair, least in (
        ("kernel", kernel, 1),
        ("stride", stride, 1),
        ("dilation", dilation, 1),
        ("padding", padding, 0),
    ):
        require(
            min(pair) >= least,
            f"{name}.{field}",
            pair,
            f"must be at least {least}",
            "give (y, x) of the layer",
        )
        require(
            max(pair) <= LARGEST,
            f"{name}.{field}",
            pair,
            f"must be at most {LARGEST}",
            "give (y, x) of the layer",
        )
