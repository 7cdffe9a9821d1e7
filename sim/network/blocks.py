"""Weights of few bits of other software: elements with real scales of blocks, where our formats hold them exactly."""

from __future__ import annotations

import numpy as np

from sim.errors import InputError
from sim.network.narrow import Int2Weight, Int3Weight, Int4Weight, Mxfp4Weight, Nvfp4Weight, ScaledWeight

MULTIPLES: dict[type[ScaledWeight], np.ndarray] = {
    **{
        kind: np.arange(kind.scale_bounds[0], kind.scale_bounds[1] + 1)
        for kind in (Int4Weight, Int3Weight, Int2Weight, Nvfp4Weight)
    },
    Mxfp4Weight: 1 << np.arange(Mxfp4Weight.scale_bounds[1] + 1),
}
"""Of the step of an output, that scales of its groups may be; in the order of their codes."""


def exactly(
    kind: type[ScaledWeight], elements: np.ndarray, scales: np.ndarray, group: int, name: str = "weight"
) -> tuple[ScaledWeight, np.ndarray]:
    """The same weight with whole scales on top of a step of each output.

    Args:
        elements: codes of the format, [K, C].
        scales: of each group of inputs, real, [K, ceil(C / group)]; of E2M1 those of its own values, not of twice them.
        name: of the tensor, for messages.

    Returns:
        The weight [K, C, 1, 1], and float64 [K], what its integer 1 stands for.

    Raises:
        InputError: scales that are no multiples of one step, up to the rounding of their own type, that the format
            has; or a scale that is not positive.
    """
    allowed, real = MULTIPLES[kind], scales.astype(np.float64)
    empty = np.logical_and.reduceat(
        kind.products(elements, np.full_like(elements[:1], kind.scale_bounds[0]).astype(np.uint8)) == 0,
        np.arange(0, elements.shape[1], group),
        axis=1,
    )
    if not (np.isfinite(real).all() and (real[~empty] > 0).all()):
        raise InputError(name, "scales", "are not all positive", "quantize it again, symmetrically")
    real = np.where(empty, 0, real)
    top = real.max(1, keepdims=True)
    top[top == 0] = 1
    precision = 2 * np.finfo(scales.dtype).eps if scales.dtype.kind == "f" else 0.0
    chosen = np.zeros(real.shape, np.int64)
    multiple = np.zeros(len(real), np.int64)
    for largest in allowed[::-1]:
        ratios = real / top * largest
        nearest = allowed[np.abs(ratios[..., None] - allowed).argmin(-1)]
        fits = (empty | (np.abs(ratios - nearest) <= precision * ratios)).all(1)
        chosen[fits] = nearest[fits]
        multiple[fits] = largest
    if not multiple.all():
        raise _apart(
            kind, real[np.flatnonzero(multiple == 0)[0]], int(np.flatnonzero(multiple == 0)[0]), name
        )
    chosen = np.where(empty, allowed[0], chosen)
    codes = kind.scale_bounds[0] + np.searchsorted(allowed, chosen)
    units = top[:, 0] / multiple
    if kind in (Mxfp4Weight, Nvfp4Weight):
        units = units / 2  # their integers are twice the values of E2M1
    return kind(elements[:, :, None, None], codes.astype(np.uint8)[:, :, None, None], group), units


def _apart(kind: type[ScaledWeight], scales: np.ndarray, output: int, name: str) -> InputError:
    known = scales[scales > 0]
    allowed = MULTIPLES[kind]
    what = (
        f"the scales of output {output} reach from {known.min():.4g} to {known.max():.4g} and are no multiples of one "
        f"step by {', '.join(map(str, allowed[:3]))} .. {allowed[-1]}, which {kind.format} has"
    )
    return InputError(
        name, kind.format, what, "quantize it anew with codeword compress, or with a scale for each output"
    )
