"""What an exporter rounds once, so that nobody else evaluates exp() or a square root of a float."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, floor, log2

import numpy as np

from sim.errors import InputError


def exponent_table(scale: float) -> np.ndarray:
    """uint16 [256] for `Softmax`: floor(65535 exp(-d scale) + 1/2); scale of the INT8 logits.

    Raises:
        InputError: the scale is not positive.
    """
    if not scale > 0:
        raise InputError("scale", scale, "must be positive", "give the scale of the logits")
    return np.array([floor(65535 * exp(-d * scale) + 0.5) for d in range(256)], np.uint16)


def activation_table(
    function: Callable[[float], float], scale: float, zero_point: int, out_scale: float, out_zero_point: int
) -> np.ndarray:
    """int8 [256] for `Table` and `Requantization`: q = floor(f(x) / out_scale + 1/2) + zero, clamped.

    Args:
        function: of the real value (q - zero_point) * scale.
    """
    values = (floor(function((q - zero_point) * scale) / out_scale + 0.5) for q in range(-128, 128))
    return np.array([min(max(v + out_zero_point, -128), 127) for v in values], np.int8)


def norm_constants(
    gain: np.ndarray, bias: np.ndarray, epsilon: float, scale: float, out_scale: float, count: int = 0
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Gain int16 [C], bias int32 [C], shift and epsilon of `LayerNorm`, with the largest shift that fits.

    Args:
        gain, bias: real [C].
        epsilon: real, added to the variance.
        scale, out_scale: of the INT8 input and output.
        count: of the values that are normalized together, by default C.

    Raises:
        InputError: a gain or bias too large for the output scale, an epsilon for the input's.
    """
    count = count or len(gain)
    g, b = np.asarray(gain, float) / out_scale, np.asarray(bias, float) / out_scale
    tops = (float(np.abs(g).max()) * 2.0**-12 / 32766, float(np.abs(b).max()) / (2**31 - 2**10))
    shift = min([floor(-log2(top)) for top in tops if top > 0] + [30])
    if shift < 1:
        raise InputError("gain", max(tops), "too large for the output scale", "use a larger output scale")
    rounded = (np.floor(v * 2.0**s + 0.5) for v, s in ((g, shift - 12), (b, shift)))
    whole_gain, whole_bias = rounded
    added = max(floor(epsilon / scale**2 * count**2 + 0.5), 1)
    bits = 38 + 2 * max(0, (count - 1).bit_length() - 15)  # as `LayerNorm` bounds it
    if added >= 2**bits:
        raise InputError(
            "epsilon", epsilon, f"is {added} in integer units, beyond 2^{bits}", "use a larger input scale"
        )
    return whole_gain.astype(np.int16), whole_bias.astype(np.int32), shift, added
