"""The definition by values: what a neuron has heard less what it has said, rounded to the weight of its next digit.

No charge is doubled here; engine, Verilog and PyTorch keep a charge, and must say the same digits.
"""

from __future__ import annotations

import numpy as np

from sim.digit_serial.convert import SpikingLayer, SpikingNetwork, Synapses, input_one
from sim.errors import InputError


def spoken(net: SpikingNetwork, images: np.ndarray, steps: int, silent: int) -> dict[str, np.ndarray]:
    """Digits int8 [T, batch, C, H, W] of `input` and every layer of neurons, and int64 [batch, classes] of the last.

    Args:
        images: int8 [batch, C, H, W].

    Raises:
        InputError: images of another shape.
    """
    if images.shape[1:] != tuple(net.source.input.shape) or images.dtype != np.int8:
        wanted = list(net.source.input.shape)
        given = [*images.shape, str(images.dtype)]
        raise InputError("images", given, f"the network takes int8 {wanted}", "quantize them")
    found = {"input": input_digits(images, net.source.input.zero_point, steps)}
    for layer in net.layers:
        parts = [_current(one, _heard(layer, found[one.source])) for one in layer.synapses]
        currents = np.sum(parts, 0)
        currents[0] += layer.bias[:, None, None]
        if layer.threshold is None:
            weights = 1 << np.arange(steps - 1, -1, -1)
            found[layer.name] = np.tensordot(weights, currents, 1).reshape(images.shape[0], -1)
        else:
            found[layer.name] = _says(currents, layer.threshold[:, None, None], silent, layer.signed)
    return found


def input_digits(images: np.ndarray, zero_point: int, steps: int) -> np.ndarray:
    """Binary digits of the value, rounded to the nearest that T digits say, halves to even, int8 [T, ...].

    Those of a value below 0 are all 0 or -1.
    """
    whole = np.rint((images.astype(np.int64) - zero_point) / input_one(zero_point) * 2**steps).astype(
        np.int64
    )
    size = np.minimum(np.abs(whole), 2**steps - 1)
    bits = np.stack([size >> place & 1 for place in range(steps - 1, -1, -1)])
    return (bits * np.sign(whole)).astype(np.int8)


def values(digits: np.ndarray) -> np.ndarray:
    """What digits [T, ...] say, in units of 2^-T, int32."""
    weights = 1 << np.arange(len(digits) - 1, -1, -1)
    return np.tensordot(weights, digits.astype(np.int64), 1).astype(np.int32)


def _heard(layer: SpikingLayer, digits: np.ndarray) -> np.ndarray:
    return digits.sum((3, 4), keepdims=True, dtype=np.int64) if layer.pooled else digits.astype(np.int64)


def _says(currents: np.ndarray, theta: np.ndarray, silent: int, signed: bool) -> np.ndarray:
    """Digits of a layer; all values in units of 2^-(T + Tc + 1), in which a half of the last digit is whole."""
    steps = len(currents)
    unit = steps + silent + 1
    heard, said = np.zeros_like(currents[0]), np.zeros_like(currents[0])
    ever = np.full(currents[0].shape, signed)
    digits = np.zeros(currents.shape, np.int8)
    for k in range(1, steps + silent + 1):
        if k <= steps:
            heard = heard + (currents[k - 1] << (unit - k))
        if k > silent:
            weight = theta << (unit - (k - silent))
            left = heard - said
            digit = np.where(left >= weight // 2, 1, np.where((left <= -(weight // 2)) & ever, -1, 0))
            said = said + digit * weight
            ever |= digit == 1
            digits[k - silent - 1] = digit
    return digits


def _current(synapses: Synapses, digits: np.ndarray) -> np.ndarray:
    """I of every step, int64 [T, batch, outputs, H, W], a product for each place of the kernel."""
    outputs, own, height, width = synapses.weights.shape
    (py, px), (sy, sx), (gy, gx) = synapses.padding, synapses.stride, synapses.dilation
    padded = np.pad(digits, ((0, 0), (0, 0), (0, 0), (py, py), (px, px)))
    out_h = (padded.shape[3] - (height - 1) * gy - 1) // sy + 1
    out_w = (padded.shape[4] - (width - 1) * gx - 1) // sx + 1
    found = np.zeros((*digits.shape[:2], outputs, out_h, out_w), np.float64)
    each = outputs // synapses.groups
    for ky, kx in np.ndindex(height, width):
        seen = padded[
            :,
            :,
            :,
            ky * gy : ky * gy + (out_h - 1) * sy + 1 : sy,
            kx * gx : kx * gx + (out_w - 1) * sx + 1 : sx,
        ].astype(np.float64)
        for g in range(synapses.groups):
            weights = synapses.weights[g * each : (g + 1) * each, :, ky, kx].astype(np.float64)
            part = seen[:, :, g * own : (g + 1) * own]
            found[:, :, g * each : (g + 1) * each] += np.einsum(
                "oc,tbchw->tbohw", weights, part, optimize=True
            )
    return found.astype(np.int64)  # sums of integers below 2^53 are exact
